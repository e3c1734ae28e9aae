"""Text of label files, in the encodings that annotation tools and spreadsheets write."""

from pathlib import Path

from ...errors import DataError

UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
"""Byte order marks of UTF-16, which Excel writes as "Unicode text"."""
ENCODINGS = ("utf-8-sig", "cp1252")
"""Encodings of files without such a mark; the second is that of imglab and Excel on Windows."""


def label_encoding(path: Path, expected: str) -> str:
    """Return the encoding of a file: UTF-8, UTF-16 with a byte order mark, or Windows-1252.

    Args:
        path: The file, which is read line by line.
        expected: Description of the file that is expected, for the error.

    Raises:
        DataError: If the file cannot be read, or has another encoding.
    """
    reason = ""
    try:
        with path.open("rb") as file:
            is_utf16 = file.read(2) in UTF16_MARKS
        for encoding in ("utf-16",) if is_utf16 else ENCODINGS:
            try:
                with path.open(encoding=encoding) as text:
                    for _ in text:
                        pass
                return encoding
            except UnicodeDecodeError as error:
                reason = str(error)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error}); expected {expected}"
        ) from error
    raise DataError(
        f"{path}: neither UTF-8 nor Windows-1252 ({reason}); expected {expected}: save it "
        "as UTF-8"
    )


def read_label_text(path: Path, expected: str) -> str:
    """Return the text of a file; see `label_encoding`."""
    return path.read_text(encoding=label_encoding(path, expected))
