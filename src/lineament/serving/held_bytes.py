"""HeldBytes: one count of the bytes that requests and live tracks keep in memory."""

import threading

from .refusals import Refusal


class HeldBytes:
    """Total size of the bodies of open requests and the frames of tracks. Thread-safe.

    Args:
        limit: Maximum total, bytes.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.count = limit, 0
        self._changed = threading.Lock()

    def add(self, count: int, spare: int = 0) -> None:
        """Add to the total.

        Args:
            count: Number of bytes.
            spare: Number of bytes by which the total may exceed the limit.

        Raises:
            Refusal: If the limit would be exceeded; nothing is added then.
        """
        with self._changed:
            if self.count + count > self.limit + spare:
                raise Refusal(
                    503,
                    f"the server's limit of {self.limit / 1e6:g} MB of images is reached; "
                    "try again in 1 s",
                    headers={"Retry-After": "1"},
                )
            self.count += count

    def release(self, count: int) -> None:
        """Subtract from the total."""
        with self._changed:
            self.count -= count
