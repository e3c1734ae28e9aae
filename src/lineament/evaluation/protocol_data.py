"""The faces of a protocol, from the reader of its data set."""

import os
from dataclasses import replace

from ..data.readers.registry import read_data
from ..data.sample import Sample, data_root
from ..errors import ProtocolError
from ..schemes import scheme
from .protocols import Protocol, select_samples, resolve_protocol


def read_protocol(
    given: str | Protocol,
    root: str | os.PathLike[str] | None = None,
    scheme_name: str | None = None,
) -> tuple[Protocol, list[Sample]]:
    """The protocol, and its faces below `root` ($LINEAMENT_DATA where None), only those that are here.

    scheme_name: what the points of the protocol 'folder' are, where their number does not tell.
    Raises: ProtocolError for an unknown protocol, a scheme it does not take, or no face; DataError for broken data.
    """
    fixed = resolve_protocol(given)
    if fixed.any_scheme and root is None:
        raise ProtocolError(
            f"protocol {fixed.id!r} has no data of its own; give a folder of images with --data"
        )
    samples = read_data(fixed.data, data_root(root), fixed.part)
    if fixed.any_scheme and samples:
        fixed = fixed.for_scheme(scheme_name or samples[0].scheme)
        samples = [_called(sample, scheme_name) for sample in samples]
    elif scheme_name:
        fixed = fixed.for_scheme(scheme_name)
    return fixed, select_samples(fixed, samples)


def _called(sample: Sample, name: str | None) -> Sample:
    """`sample` with its points called `name`, where they are as many."""
    return (
        replace(sample, scheme=name)
        if name and len(scheme(name)) == len(sample.landmarks)
        else sample
    )
