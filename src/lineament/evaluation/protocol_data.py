"""Read the faces of a protocol from its data set, and report missing ones."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..atomic import write_text
from ..data.label_checks import check_faces
from ..data.readers.find_annotations import find_annotations
from ..data.readers.own_data import DEFAULT_OWN_DATA, OwnData, ignore
from ..data.readers.registry import DataSet, data_folder, data_set
from ..data.sample import Sample, data_root
from ..errors import ProtocolError
from ..schemes import check_scheme, scheme
from .protocol_faces import count_note, select_samples
from .protocols import Protocol, resolve_protocol

MAX_LISTED = 10
"""Maximum number of missing images listed in messages; the complete list is written to a file."""


@dataclass(frozen=True)
class ProtocolData:
    """The available faces of a protocol."""

    protocol: Protocol
    """The protocol, applied to the scheme of the data."""
    samples: list[Sample]
    """Faces whose image is available."""
    missing: tuple[str, ...] = ()
    """Missing official folders, then names of annotated faces without an image."""

    remarks: tuple[str, ...] = ()
    """Messages of the reader, e.g. about a scheme guessed from the number of points."""

    def notes(self) -> list[str]:
        """Return notes for the report: missing faces, and the reader's messages."""
        missing = [f"missing: {_shortened(self.missing)}"] if self.missing else []
        return [*missing, *self.remarks]


def read_protocol(
    given: str | Protocol,
    root: str | os.PathLike[str] | None = None,
    scheme_name: str | None = None,
    *,
    allow_missing: bool = False,
    missing_file: Path | None = None,
    wanted: str = "",
    own: OwnData = DEFAULT_OWN_DATA,
) -> ProtocolData:
    """Read the faces of a protocol.

    Args:
        given: Protocol, or its name.
        root: Folder of the data sets; None: $LINEAMENT_DATA. For the protocol 'folder', a folder of
            annotated images in any format, or an annotation file.
        scheme_name: Scheme of the points, for the protocol 'folder'.
        allow_missing: Accept missing faces.
        missing_file: File for the complete list of missing faces, one name per line.
        wanted: Scheme tried first for the points of a user's data, such as the model's.
        own: Category of the faces and folder of the images of a user's data.

    Raises:
        ProtocolError: If the protocol is unknown or does not accept the scheme, if there are
            no faces, or, without `allow_missing`, if some are missing.
        DataError: If the data are broken.
    """
    fixed = resolve_protocol(given)
    scheme_name = check_scheme(scheme_name) if scheme_name else None
    known, own_folder, part = _find_data(fixed, root)
    remarks: list[str] = []
    # a scheme given by the user needs no note about guessing
    note = ignore if scheme_name else remarks.append
    of_protocol = "" if fixed.any_scheme else fixed.truth_from or fixed.scheme
    first = scheme_name or of_protocol or wanted
    own = replace(own, wanted=first, note=note)
    samples = known.read(own_folder, part, absent=True, own=own)
    layout = known.layout(fixed.part)
    if not samples:
        raise _no_faces(fixed, [own_folder / name for name in layout or [""]])
    if fixed.any_scheme:
        fixed = fixed.for_scheme(scheme_name or samples[0].scheme)
        samples = [_renamed(sample, scheme_name) for sample in samples]
    elif scheme_name:
        fixed = fixed.for_scheme(scheme_name)
    samples = select_samples(fixed, samples)
    available, absent = _with_image(samples)
    if known.is_format:
        available = check_faces(available, str(own_folder), remarks.append)
    lacking = [name for name in layout if not any(own_folder.glob(name))]
    missing = [str(own_folder / name) for name in lacking] + absent
    if missing_file is not None:
        _write_list(missing, missing_file)
    data = ProtocolData(fixed, available, tuple(missing), tuple(remarks))
    if not available or not allow_missing:
        _check_complete(data, len(samples), missing_file)
    return data


def _with_image(samples: Sequence[Sample]) -> tuple[list[Sample], list[str]]:
    """Return the faces whose image exists, and the names of the others."""
    images = {sample.image for sample in samples}
    absent = {image for image in images if not image.is_file()}
    here = [sample for sample in samples if sample.image not in absent]
    return here, [sample.name for sample in samples if sample.image in absent]


def _no_faces(fixed: Protocol, paths: Sequence[Path]) -> ProtocolError:
    looked = " or ".join(str(path) for path in paths)
    return ProtocolError(
        f"protocol {fixed.id!r} found no faces of the data set {fixed.data!r} in "
        f"{looked}; give its folder with --data"
    )


def _find_data(
    fixed: Protocol, root: str | os.PathLike[str] | None
) -> tuple[DataSet, Path, str]:
    """Return the reader of a protocol's data, the path of the data, and the part to read."""
    if not fixed.any_scheme:
        folder = data_folder(fixed.data, data_root(root))
        return data_set(fixed.data), folder, fixed.part
    if root is None:
        raise ProtocolError(
            f"protocol {fixed.id!r} has no data of its own; give a folder of images with --data "
            "or another protocol with --protocol"
        )
    location = Path(root)
    found = find_annotations(location)
    tested = [each for each in found if each.split == "test"] or found
    if len(tested) > 1:
        listed = ", ".join(str(each.location) for each in tested)
        raise ProtocolError(
            f"{location}: {len(tested)} annotation files ({listed}); give one of them "
            "with --data"
        )
    return data_set(tested[0].reader), tested[0].path, tested[0].part


def _renamed(sample: Sample, name: str | None) -> Sample:
    """Return `sample` with scheme `name` if the number of points matches."""
    if name and len(scheme(name)) == len(sample.landmarks):
        return replace(sample, scheme=name)
    return sample


def _check_complete(
    data: ProtocolData, annotated: int, missing_file: Path | None
) -> None:
    """Raise ProtocolError if official or annotated faces are missing."""
    fixed, found = data.protocol, len(data.samples)
    short = count_note(fixed, data.samples)
    if fixed.videos is None and fixed.faces is not None and found > fixed.faces:
        short = ""  # more faces than official, which the report mentions
    if not short and not data.missing:
        return
    facts = [short or f"{found} of {annotated} faces have their image"]
    if data.missing:
        facts.append(f"missing: {_shortened(data.missing)}")
        if missing_file is not None:
            facts.append(f"the complete list: {missing_file}")
        elif len(data.missing) > MAX_LISTED:
            facts.append("--report FOLDER writes the complete list")
    remedy = "score the rest with --allow-missing"
    if not found:
        remedy = "give another folder with --data"
    raise ProtocolError(
        f"protocol {fixed.id!r}: {'; '.join(facts)}; get them, or {remedy}"
    )


def _shortened(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return ", ".join(names[:MAX_LISTED]) + more


def _write_list(names: list[str], path: Path) -> None:
    """Write one name per line; without names, remove the list of an earlier run."""
    if not names:
        path.unlink(missing_ok=True)
        return
    write_text(path, "".join(f"{name}\n" for name in names))
