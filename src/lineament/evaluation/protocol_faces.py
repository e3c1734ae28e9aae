"""Selection of the faces scored by a protocol, and a check of their number."""

from collections.abc import Sequence

from ..data.sample import Sample, to_scheme
from ..errors import ProtocolError
from .protocols import Protocol


def count_note(protocol: Protocol, samples: Sequence[Sample]) -> str:
    """Return a one-line note if the number of `samples` is not the official one, otherwise ""."""
    official, found, unit = protocol.faces, len(samples), "faces"
    if protocol.videos is not None:
        official, unit = protocol.videos, "videos"
        found = len({sample.image for sample in samples})
    if official is None or found == official:
        return ""
    return f"{found} of the official {official} {unit} are here"


def select_samples(protocol: Protocol, samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples scored by the protocol, converted to its scheme.

    Raises:
        ProtocolError: If there are none, or one has another scheme.
    """
    if protocol.select == "all":
        kept = list(samples)
    else:
        kept = [sample for sample in samples if sample.is_validation()]
    if not kept:
        raise ProtocolError(
            f"protocol {protocol.id!r} selects none of the {len(samples)} faces given; "
            f"give the {protocol.part!r} part of the data set {protocol.data!r}"
        )
    if protocol.truth_from:
        kept = [_in_scheme(sample, protocol) for sample in kept]
    for sample in kept:
        if sample.scheme != protocol.scheme:
            raise ProtocolError(
                f"{sample.name} has {sample.scheme} points, protocol {protocol.id!r} is scored on "
                f"{protocol.scheme}; give the data of that protocol, "
                "or choose the protocol 'folder' with that scheme"
            )
    return kept


def _in_scheme(sample: Sample, protocol: Protocol) -> Sample:
    """Convert `sample` to the protocol's scheme if it has the scheme of the data set."""
    if sample.scheme != protocol.truth_from:
        return sample
    return to_scheme(sample, protocol.scheme)
