"""`/` of the server: a folder of static files, or a plain page if none is given."""

from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles

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
    app.mount("/", _Folder(directory=folder, html=True), name="page")


class _Folder(StaticFiles):
    def file_response(self, *arguments: Any, **options: Any) -> Response:
        response = super().file_response(*arguments, **options)
        response.headers[POLICY] = FOLDER_POLICY
        return response


async def _plain_page() -> HTMLResponse:
    return HTMLResponse(PLAIN_PAGE, headers={POLICY: PLAIN_POLICY})
