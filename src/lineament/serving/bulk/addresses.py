"""Addresses of files: local paths, and S3, Google Cloud or `file://` URIs through pyarrow."""

import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from ...errors import DataError, InputError, missing_extra, short_reason
from ...io.media_files import find_files, find_images

GLOB_SIGNS = "*?["
GLOB_PART = re.compile(r"\*\*/|\*|\?|\[[^]]+\]")
OPTIONS = re.compile(r"(\w+=[^&?]*(&\w+=[^&?]*)*)?")
"""Options after the last question mark of a URI; any other text there belongs to the key."""


def arrow_module(name: str) -> Any:
    """Return the module `name` of pyarrow, such as "fs" or "parquet".

    Raises:
        ExtraError: If pyarrow is not installed.
    """
    try:
        from importlib import import_module

        return import_module(f"pyarrow.{name}")
    except ImportError as error:
        raise missing_extra("pyarrow", "bulk") from error


def is_remote(address: str) -> bool:
    """Return True if `address` is a URI outside the local file system."""
    scheme, separator, _ = address.partition("://")
    return bool(separator) and scheme != "file"


def local_path(address: str) -> Path:
    """Return the absolute local path of an address that is not remote.

    Raises:
        InputError: If a `file://` URI is not valid.
    """
    if address.startswith("file://"):
        # pyarrow drops an unescaped query or fragment, which here is part of the name
        uri = address.replace("?", "%3F").replace("#", "%23")
        try:
            address = arrow_module("fs").FileSystem.from_uri(uri)[1]
        except (ValueError, OSError) as error:
            raise InputError(
                f"{address}: not a URI of a local file ({short_reason(error)}); write "
                "file:///PATH with %20 for a space, or give the path itself"
            ) from error
    return Path(address).absolute()


def shown_address(address: str) -> str:
    """Return an address without the options and user of a URI, as shown in rows."""
    if not is_remote(address):
        return address
    scheme, path, _ = _split(address)
    return f"{scheme}://{path}"


def _split(address: str) -> tuple[str, str, str]:
    """Return scheme, path without user, and user with options, of a remote address.

    A key may contain "?": options are name=value pairs after the last one. If the key itself ends
    like that, "?" follows it, with or without options.
    """
    scheme, _, rest = address.partition("://")
    before, mark, options = rest.rpartition("?")
    if mark and OPTIONS.fullmatch(options):
        rest = before
    else:
        mark = options = ""
    root, slash, below = rest.partition("/")
    user, at, bucket = root.rpartition("@")
    return scheme, f"{bucket}{slash}{below}", f"{user}{at}{bucket}{mark}{options}"


def child_address(folder: str, path: str) -> str:
    """Return the address of the file at `path` in the file system of a remote `folder`."""
    scheme, _, root = _split(folder)
    place, mark, options = root.partition("?")
    user, at, _ = place.rpartition("@")
    _, sign, end = path.rpartition("?")
    if sign and OPTIONS.fullmatch(end):
        mark = "?"  # ends the key
    return f"{scheme}://{user}{at}{path}{mark}{options}"


def file_system(address: str) -> tuple[Any, str]:
    """Return the pyarrow file system of an address, and the path in it.

    Raises:
        DataError: If no file system is known for the URI.
    """
    if not is_remote(address):
        return arrow_module("fs").LocalFileSystem(), str(local_path(address))
    scheme, path, root = _split(address)
    # the path is passed unquoted, because a key may contain a percent sign
    return _remote_system(f"{scheme}://{root}"), path


@lru_cache(maxsize=64)
def _remote_system(root: str) -> Any:
    """Return the file system of a bucket, cached to reuse its connections."""
    try:
        return arrow_module("fs").FileSystem.from_uri(root)[0]
    except (ValueError, OSError) as error:
        raise DataError(
            f"{shown_address(root)}: cannot be opened ({short_reason(error)}); "
            "expected a path, s3://BUCKET/KEY, gs://BUCKET/KEY or file:///PATH"
        ) from error


def read_bytes(address: str) -> bytes:
    """Return the bytes of a file.

    Raises:
        InputError: If the file does not exist or may not be read.
        OSError: If the network or disk fails; retrying may succeed.
    """
    system, path = file_system(address)
    name = shown_address(address)
    try:
        with system.open_input_file(path) as file:
            return bytes(file.read())
    except FileNotFoundError as error:
        raise InputError(f"{name}: no such file; check the address") from error
    except PermissionError as error:
        raise InputError(f"{name}: permission denied; check its permissions") from error


def expand(address: str, predicate: Callable[[Path], bool]) -> list[str]:
    """Return the addresses of the files matched by an input, sorted within each folder.

    Args:
        address: A file with any name, a folder, which is searched recursively, or a pattern
            with *, ?, [] and **.
        predicate: Decides by name which files in a folder are used.

    Raises:
        InputError: If it matches no file.
    """
    if is_remote(address):
        return _expand_remote(address, predicate)
    path = local_path(address)
    if path.is_dir():
        return [str(found) for found in find_files(path, predicate)]
    return [str(found) for found in find_images(path)]


def _expand_remote(address: str, predicate: Callable[[Path], bool]) -> list[str]:
    system, path = file_system(address)
    fs = arrow_module("fs")
    try:
        # first as it is: a key may look like a pattern
        info = system.get_file_info(path)
        if info.type == fs.FileType.File:
            return [address]
        is_folder = info.type == fs.FileType.Directory
        if not is_folder and any(sign in path for sign in GLOB_SIGNS):
            fixed = _fixed_folder(path)
            pattern = glob_pattern(path)
            found = _files_below(system, fixed)
            return [child_address(address, p) for p in found if pattern.fullmatch(p)]
        found = _files_below(system, path)
    except OSError as error:
        raise DataError(
            f"{shown_address(address)}: cannot be listed ({short_reason(error)}); check the "
            "address, the credentials and the network"
        ) from error
    matched = [p for p in found if predicate(Path(p)) and not _is_dotted(p, path)]
    return [child_address(address, p) for p in matched]


def _fixed_folder(pattern: str) -> str:
    """Return the folder part of a pattern before the first wildcard."""
    fixed = []
    for part in pattern.split("/")[:-1]:
        if any(sign in part for sign in GLOB_SIGNS):
            break
        fixed.append(part)
    return "/".join(fixed)


def glob_pattern(pattern: str) -> re.Pattern[str]:
    """Convert a path pattern to a regular expression: * within a name, **/ for any folders.

    Raises:
        InputError: If it is not a pattern.

    >>> bool(glob_pattern("a/**/*.jpg").fullmatch("a/b/c.jpg"))
    True
    """
    signs = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    text, end = "", 0
    for match in GLOB_PART.finditer(pattern):
        text += re.escape(pattern[end : match.start()])
        text += signs.get(match[0], match[0].replace("[!", "[^"))
        end = match.end()
    try:
        return re.compile(text + re.escape(pattern[end:]))
    except re.error as error:
        raise InputError(
            f"{pattern}: not a pattern ({error}); expected *, ?, [] or **"
        ) from error


def _files_below(system: Any, path: str) -> list[str]:
    """Return the paths of all files in a folder, recursively, sorted; empty if it is missing."""
    fs = arrow_module("fs")
    selector = fs.FileSelector(path, recursive=True, allow_not_found=True)
    infos = system.get_file_info(selector)
    return sorted(info.path for info in infos if info.type == fs.FileType.File)


def _is_dotted(path: str, folder: str) -> bool:
    """Return True if a name below `folder` begins with a dot."""
    below = PurePosixPath(path).relative_to(PurePosixPath(folder))
    return any(part.startswith(".") for part in below.parts)
