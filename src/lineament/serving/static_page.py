"""`/` of the server: a folder of static files, or a plain page if none is given."""

import gzip
from os import PathLike, stat_result
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketClose

from ..errors import DataError

PLAIN_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Lineament</title>
<h1>Lineament</h1>
<p>This server finds facial landmarks. Send an image to <code>POST /v1/detect</code>:</p>
<pre>curl --data-binary @photo.jpg http://HOST:PORT/v1/detect</pre>
<p><a href="openapi.json">Description of all requests</a></p>
</html>
"""
POLICY = "Content-Security-Policy"
PLAIN_POLICY = "default-src 'none'; frame-ancestors 'none'"
FOLDER_POLICY = "frame-ancestors 'none'"
"""Policy sent in addition to the page's <meta> policy, which does not support this directive."""
COMPRESSED_FROM = 1000
"""Bytes from which a file is sent compressed."""
MODULES = (".js", ".mjs")
MODULE_TYPE = "text/javascript; charset=utf-8"
"""Type of modules, which browsers require; Windows may state another one in its registry."""
COPIED_HEADERS = ("content-type", "etag", "last-modified", "vary", POLICY)
"""Headers of a file that its compressed form has, too."""


def add_page(app: FastAPI, folder: Path | None) -> None:
    """Serve a folder's files at `/`, with lower priority than all routes; None: a plain page.

    Raises:
        DataError: If the folder has no index.html.
    """
    if folder is None:
        app.add_api_route("/", _plain_page, include_in_schema=False)
        return
    if not (folder / "index.html").is_file():
        raise DataError(
            f"{folder} has no index.html; give --page the folder that lineament page wrote"
        )
    app.mount("/", _Folder(folder), name="page")


class _Folder(StaticFiles):
    """The files of a folder, compressed once when the server starts."""

    def __init__(self, folder: Path) -> None:
        super().__init__(directory=folder, html=True)
        self.compressed: dict[str, tuple[float, bytes]] = {}
        """Modification time and gzip by path, of files that become smaller."""
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.stat().st_size >= COMPRESSED_FROM:
                content = path.read_bytes()
                packed = gzip.compress(content, mtime=0)
                if len(packed) < len(content):
                    self.compressed[str(path.resolve())] = path.stat().st_mtime, packed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a WebSocket is rejected, because no file can answer it."""
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
            return
        await super().__call__(scope, receive, send)

    def file_response(
        self,
        full_path: str | PathLike[str],
        stat_result: stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers[POLICY] = FOLDER_POLICY
        if Path(full_path).suffix in MODULES:
            response.headers["content-type"] = MODULE_TYPE
        modified, packed = self.compressed.get(str(Path(full_path).resolve()), (0, b""))
        if modified != stat_result.st_mtime:
            return response
        response.headers["Vary"] = "Accept-Encoding"
        headers = Headers(scope=scope)
        is_plain_get = scope["method"] == "GET" and "range" not in headers
        if (
            not is_plain_get
            or response.status_code != 200
            or "gzip" not in headers.get("accept-encoding", "")
        ):
            return response
        kept = {name: response.headers[name] for name in COPIED_HEADERS}
        return Response(packed, headers={**kept, "Content-Encoding": "gzip"})


async def _plain_page() -> HTMLResponse:
    return HTMLResponse(PLAIN_PAGE, headers={POLICY: PLAIN_POLICY})
