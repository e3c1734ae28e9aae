"""Text of label files, in the encodings that annotation tools and spreadsheets write."""

from pathlib import Path

from ...errors import DataError

UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
"""Byte order marks of UTF-16, which Excel writes as "Unicode text"."""
ENCODINGS = ("utf-8-sig", "cp1252")
"""Encodings of files without such a mark; the second is that of imglab and Excel on Windows."""

UNPACK = "unpack it, and give the folder"
ADVICE = {
    **dict.fromkeys((".zip", ".gz", ".tgz", ".tar", ".bz2", ".7z", ".rar"), UNPACK),
    **dict.fromkeys((".xlsx", ".xls", ".ods", ".numbers"), "save the table as CSV"),
}
"""What to do with files that contain labels, but are not text, by suffix."""


def check_is_text(path: Path) -> None:
    """Raise DataError for an archive or a spreadsheet, which readers cannot read."""
    if advice := ADVICE.get(path.suffix.lower()):
        raise DataError(f"{path}: not an annotation file; {advice}")


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
            start = file.read(2)
        for encoding in _encodings_of(start):
            try:
                with path.open(encoding=encoding) as text:
                    for _ in text:
                        pass
                return encoding
            except UnicodeDecodeError as error:
                reason = str(error)
    except OSError as error:
        raise _unreadable(path, expected, error) from error
    raise _undecodable(path, expected, reason)


def read_label_text(path: Path, expected: str) -> str:
    """Return the text of a file, with line ends as "\\n"; see `label_encoding`."""
    reason = ""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, expected, error) from error
    for encoding in _encodings_of(content[:2]):
        try:
            text = content.decode(encoding)
            return text.replace("\r\n", "\n").replace("\r", "\n")
        except UnicodeDecodeError as error:
            reason = str(error)
    raise _undecodable(path, expected, reason)


def _encodings_of(start: bytes) -> tuple[str, ...]:
    return ("utf-16",) if start in UTF16_MARKS else ENCODINGS


def _unreadable(path: Path, expected: str, error: OSError) -> DataError:
    return DataError(f"{path}: cannot be read ({error}); expected {expected}")


def _undecodable(path: Path, expected: str, reason: str) -> DataError:
    return DataError(
        f"{path}: neither UTF-8 nor Windows-1252 ({reason}); expected {expected}: save it "
        "as UTF-8"
    )


def read_utf8_bytes(path: Path, size: int = -1) -> bytes:
    """Return the first `size` bytes of a file, all if negative; UTF-16 is converted to UTF-8.

    Args:
        size: An even number, or -1.
    """
    with path.open("rb") as file:
        content = file.read(size)
    if not content.startswith(UTF16_MARKS):
        return content
    return content.decode("utf-16", "replace").encode("utf-8")
