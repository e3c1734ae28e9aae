"""Text of label files, in the encodings that annotation tools and spreadsheets write."""

from pathlib import Path

from ...errors import DataError

UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
"""Byte order marks of UTF-16, which Excel writes as "Unicode text"."""
WINDOWS = "cp1252"
"""Encoding of imglab and of Excel's CSV on Windows, if the text is not UTF-8."""


def read_label_text(path: Path, expected: str) -> str:
    """Return the text of a file in UTF-8, UTF-16 with a byte order mark, or Windows-1252.

    Args:
        path: The file.
        expected: Description of the file that is expected, for the error.

    Raises:
        DataError: If the file cannot be read, or has another encoding.
    """
    try:
        content = path.read_bytes()
        if content.startswith(UTF16_MARKS):
            return content.decode("utf-16")
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError:
            return content.decode(WINDOWS)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error}); expected {expected}"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: neither UTF-8 nor Windows-1252 ({error}); expected {expected}: save it "
            "as UTF-8"
        ) from error
