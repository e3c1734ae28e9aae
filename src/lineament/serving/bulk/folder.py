"""The output folder of a bulk job, local or remote, with atomically written files."""

import os

from ...atomic import write_bytes
from ...errors import DataError, short_reason
from .addresses import (
    arrow_module,
    child_address,
    file_system,
    is_remote,
    local_path,
    shown_address,
)


class OutputFolder:
    """Files below one address, by name.

    Args:
        address: A local folder, created on the first write, or a URI.
    """

    def __init__(self, address: str | os.PathLike[str]) -> None:
        address = os.fspath(address)
        self.remote = is_remote(address)
        self.address = address if self.remote else str(local_path(address))

    def __str__(self) -> str:
        return shown_address(self.address)

    def file(self, name: str) -> str:
        """Return the address of a file."""
        _, path = file_system(self.address)
        path = f"{path.rstrip('/')}/{name}"
        return child_address(self.address, path) if self.remote else path

    def names(self, folder: str) -> list[str]:
        """Return the names of the files in a subfolder, sorted."""
        system, path = file_system(self.file(folder))
        fs = arrow_module("fs")
        try:
            infos = system.get_file_info(fs.FileSelector(path, allow_not_found=True))
        except OSError as error:
            raise self._unusable(error) from error
        return sorted(i.base_name for i in infos if i.type == fs.FileType.File)

    def read(self, name: str) -> bytes | None:
        """Return the contents of a file; None if it is missing."""
        system, path = file_system(self.file(name))
        try:
            with system.open_input_file(path) as file:
                return bytes(file.read())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(error) from error

    def has(self, name: str) -> bool:
        """Return True if the file exists."""
        system, path = file_system(self.file(name))
        kind = system.get_file_info(path).type
        return bool(kind == arrow_module("fs").FileType.File)

    def write(self, name: str, data: bytes) -> None:
        """Write a file atomically, replacing an existing one with that name."""
        if self.remote:
            system, path = file_system(self.file(name))
            # the object becomes visible when its stream is closed
            with system.open_output_stream(path) as file:
                file.write(data)
            return
        # synced, so that after a power cut a part is complete or missing, never empty
        write_bytes(local_path(self.file(name)), data, sync=True)

    def remove_partial_files(self, folder: str) -> None:
        """Delete files left behind by killed processes; call only when nothing is being written."""
        if self.remote:
            return
        for path in local_path(self.file(folder)).glob(".*.part"):
            path.unlink(missing_ok=True)

    def _unusable(self, error: OSError) -> DataError:
        return DataError(
            f"{self}: cannot be used for the results ({short_reason(error)}); check the "
            "address, the credentials and the network"
        )
