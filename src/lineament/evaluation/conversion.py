"""Convert predicted faces to a protocol's scheme; depends on schemes."""

import numpy as np

from ..errors import ProtocolError, SchemeError
from ..face import Face
from ..geometry import Array
from ..schemes import convert, scheme
from .protocols import Protocol


def can_score(scheme_name: str, protocol: Protocol) -> bool:
    """Return True if landmarks of this scheme convert to all points counted by the protocol."""
    if scheme_name == protocol.scheme:
        return True
    nowhere = np.zeros((len(scheme(scheme_name)), 2))
    try:
        made = convert(nowhere, scheme_name, protocol.scheme)
    except SchemeError:
        return False
    return not (made.status[list(protocol.indices())] == "missing").any()


class FaceConverter:
    """Converts faces to the protocol's scheme, and keeps a note for the report."""

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self.points = list(protocol.indices())
        self.source = ""
        """Scheme of the predictions if it differs from the protocol's."""
        self.note = ""
        """Note for the report about interpolated points."""

    def __call__(self, face: Face) -> tuple[Array, Array]:
        """Return landmarks (N, 2) and sigma (N,) in the protocol's scheme, pixels.

        Points that are not counted may be 0.

        Raises:
            ProtocolError: If a counted point cannot be derived.
            SchemeError: If the scheme is unknown.
        """
        target = self.protocol.scheme
        if face.scheme == target:
            return face.landmarks, face.sigma_px
        made = convert(face.landmarks, face.scheme, target)
        status = made.status[self.points]
        lacking = int((status == "missing").sum())
        if lacking:
            raise ProtocolError(
                f"the model predicts {len(face)} landmarks ({face.scheme}), from which {lacking} "
                f"of the {len(self.points)} points of protocol {self.protocol.id!r} ({target}) "
                f"cannot be derived; choose a model trained on {target}"
            )
        self.source = face.scheme
        mixed = int((status == "interpolated").sum())
        if mixed:
            self.note = f"{mixed} of {len(self.points)} points are interpolated from {face.scheme}"
        return np.nan_to_num(made.points), made.convert_values(
            face.sigma_px, missing=0.0
        )

    def visible(self, face: Face) -> Array:
        """Return the predicted visibility, (N,), in the protocol's scheme; nan if unknown."""
        if face.scheme == self.protocol.scheme:
            return face.visible
        made = convert(face.landmarks, face.scheme, self.protocol.scheme)
        return made.convert_values(face.visible)
