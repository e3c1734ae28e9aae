"""Request bodies: read with limits on size and time, and checked before decoding."""

import asyncio
import re
from collections.abc import AsyncGenerator, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from PIL import Image as PILImage
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from ..errors import ImageError
from ..io.image import image_size
from .held_bytes import HeldBytes
from .refusals import Refusal
from .settings import ServerSettings

ACCEPTED = re.compile(
    rb"\xff\xd8\xff|\x89PNG|GIF8|BM|RIFF....WEBP|II\*\0|MM\0\*|....ftypavi[fs]",
    re.DOTALL,
)
"""Magic bytes of the supported image formats."""
EXPECTED = "JPEG, PNG, WebP, AVIF, GIF, BMP or TIFF"
MAX_SCANS = 100
"""Maximum number of scans in a progressive JPEG; each is decoded in full, and ten are typical."""
HELD_BYTES_KEY = "lineament.held_bytes"
"""Key in the request's scope for the size of its body."""
MAX_FIELDS = 1000
"""Maximum number of fields in a form, in addition to its boxes."""
MULTIPART = "multipart/form-data"
RAW_TYPES = (
    "",
    "application/octet-stream",
    # the default of curl --data-binary and other clients
    "application/x-www-form-urlencoded",
)


@dataclass(frozen=True)
class Upload:
    """One file of a request."""

    name: str
    """Name given by the client; only repeated in the response."""
    data: bytes


@dataclass(frozen=True)
class Form:
    """Files and fields of a request."""

    uploads: list[Upload]
    fields: dict[str, list[str]] = field(default_factory=dict)


class BodyReader:
    """Reads request bodies, and counts their size until the requests are answered."""

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self.held = HeldBytes(settings.max_pending_bytes)

    async def read(self, request: Request) -> Form:
        """Return the files and fields of a request; call `release` after the response.

        Raises:
            Refusal: If the body has an unsupported type, or is too large, too slow or broken.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == MULTIPART:
            body = await self._body(request)
            return await self._form(request.headers, body)
        if kind not in RAW_TYPES and not kind.startswith("image/"):
            raise Refusal(
                415,
                "the body has an unsupported type; "
                f"expected an image ({EXPECTED}) or {MULTIPART}",
            )
        return Form([Upload("", await self._body(request))])

    def release(self, scope: MutableMapping[str, Any]) -> None:
        """Stop counting the body of an answered request."""
        self.held.release(scope.pop(HELD_BYTES_KEY, 0))

    async def _body(self, request: Request) -> bytes:
        limit = self.settings.max_bytes
        length = request.headers.get("content-length", "0")
        if length.isdecimal() and int(length) > limit:
            raise self._too_large()
        body = bytearray()
        try:
            async with asyncio.timeout(self.settings.body_timeout_s):
                async for chunk in request.stream():
                    if len(body) + len(chunk) > limit:
                        raise self._too_large()
                    self.held.add(len(chunk))
                    request.scope[HELD_BYTES_KEY] = len(body) + len(chunk)
                    body += chunk
        except TimeoutError as error:
            raise Refusal(
                408,
                f"the body did not arrive within {self.settings.body_timeout_s:g} s",
            ) from error
        return bytes(body)

    def _too_large(self) -> Refusal:
        limit = self.settings.max_bytes / 1e6
        return Refusal(
            413, f"the body is larger than {limit:g} MB; send smaller images"
        )

    async def _form(self, headers: Headers, body: bytes) -> Form:
        # every box of a form is a field
        fields = self.settings.max_boxes + MAX_FIELDS
        parser = _MemoryParser(
            headers, _once(body), max_files=self.settings.max_files, max_fields=fields
        )
        try:
            found = _uploads_and_fields(await parser.parse())
        except MultiPartException as error:
            raise Refusal(400, f"the form is broken: {error.message}") from error
        except Exception as error:
            # hostile forms make the parser raise almost any exception
            raise Refusal(400, "the form is broken") from error
        finally:
            parser.close()
        if not found.uploads:
            raise Refusal(400, "the form has no file; add one with a file name")
        return found


def _uploads_and_fields(form: FormData) -> Form:
    found = Form([], {})
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            found.uploads.append(Upload(value.filename or "", value.file.read()))
        else:
            found.fields.setdefault(name, []).append(value)
    return found


class _MemoryParser(MultiPartParser):
    # files in forms stay in memory, because the server never writes to disk
    spool_max_size = 2**40

    def close(self) -> None:
        """Close all files, including those of an incomplete form."""
        for file in self._files_to_close_on_error:
            file.close()


async def _once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body


def check_image(data: bytes, max_pixels: int) -> None:
    """Check the bytes of an image before it is decoded.

    Raises:
        Refusal: If they are not an image, or are unsupported, broken or too large.
    """
    if not data:
        raise Refusal(400, f"the image is empty; expected {EXPECTED}")
    if not ACCEPTED.match(data):
        raise Refusal(415, f"not a supported image; expected {EXPECTED}")
    try:
        width, height = image_size(data)
    except ImageError as error:
        if isinstance(error.__cause__, PILImage.DecompressionBombError):
            raise _too_many_pixels(max_pixels) from error
        raise Refusal(400, "the image is broken; get the file again") from error
    if width * height > max_pixels:
        raise _too_many_pixels(max_pixels)
    if data.startswith(b"\xff\xd8") and data.count(b"\xff\xda") > MAX_SCANS:
        raise Refusal(413, "the JPEG has too many progressive scans; save it again")


def _too_many_pixels(limit: int) -> Refusal:
    return Refusal(
        413, f"the image has more than {limit / 1e6:g} million pixels; shrink it first"
    )
