"""Command `cache`: list and remove the crops that training keeps on disk."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from .app import app, note, show, show_table
from .options import Cache

if TYPE_CHECKING:
    from ..data.cache_files import CacheFile


@app.command()
def cache(
    remove: Annotated[
        bool,
        typer.Option(
            "--remove",
            help="Delete the cached crops; training creates them again when needed.",
        ),
    ] = False,
    older_than: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="DAYS",
            help="With --remove: only files at least this many days old.",
        ),
    ] = 0.0,
    cache: Cache = None,
) -> None:
    """List or delete the cached training crops.

    Each training run caches crops of its faces, about 0.3 MB per face, so that the next
    run starts immediately. Files of `lineament mine-negatives` are not deleted.
    """
    from ..data.cache_files import list_cache, remove_cache
    from ..data.sample import cache_root

    folder = cache_root(cache)
    if remove:
        _show_sums(remove_cache(folder, older_than), f"removed from {folder}")
        return
    _show_sums(list_cache(folder), f"in {folder}")
    note(
        "lineament cache --remove deletes them; --cache or XDG_CACHE_HOME chooses "
        "another folder"
    )


def _show_sums(files: "Sequence[CacheFile]", where: str) -> None:
    """Print number, size and age of the files, by kind."""
    rows = []
    for kind in dict.fromkeys(file.kind for file in files):
        same_kind = [file for file in files if file.kind == kind]
        oldest = max(file.age_days for file in same_kind)
        rows.append([kind, str(len(same_kind)), _megabytes(same_kind), f"{oldest:.0f}"])
    if rows:
        show_table(["kind", "files", "MB", "days old"], rows)
    show(f"{len(files)} files, {_megabytes(files)} MB, {where}")


def _megabytes(files: "Sequence[CacheFile]") -> str:
    return f"{sum(file.size for file in files) / 1e6:.1f}"
