"""Run a peer as a process and exchange JSON lines with it: the parent's side of the protocol."""

import json
import os
import select
import subprocess
from pathlib import Path
from typing import Any

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)


class PeerError(Exception):
    """Error of a peer that did not start, died, timed out or replied with an error."""


def parse_answer(line: str, name: str) -> dict[str, Any]:
    """Parse a reply in one line.

    Raises:
        PeerError: If it is not a reply, or it is an error.
    """
    try:
        reply = json.loads(line)
    except json.JSONDecodeError:
        reply = None
    if not isinstance(reply, dict):
        raise PeerError(
            f"{name}: {line.strip()[:80]!r} is not an answer; expected one JSON object on a line"
        )
    if "error" in reply:
        raise PeerError(f"{name}: {reply['error']}")
    return reply


class PeerProcess:
    """A running peer process; call `close` when done."""

    def __init__(
        self, name: str, command: list[str], log: Path, timeout_s: float = 120.0
    ) -> None:
        """Start the peer.

        Raises:
            PeerError: If that fails.
        """
        self.name, self.timeout_s, self.log = name, timeout_s, log
        environment = {
            k: v for k, v in os.environ.items() if k != "PYTHONPATH"
        } | ONE_THREAD
        with log.open("w", encoding="utf-8") as errors:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment,
            )
        try:
            self.hello = self._read()
        except PeerError:
            self.close()
            raise

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], self.timeout_s)[0]:
            self.process.kill()
            raise PeerError(
                f"{self.name}: no answer in {self.timeout_s:g} s; it was ended"
            )
        line = self.process.stdout.readline()
        if not line:
            tail = self.log.read_text(
                encoding="utf-8", errors="replace"
            ).strip().splitlines() or ["nothing on stderr"]
            raise PeerError(
                f"{self.name}: it ended without an answer ({tail[-1][:160]})"
            )
        return parse_answer(line, self.name)

    def ask(self, **request: Any) -> dict[str, Any]:
        """Return the reply to `request`.

        Raises:
            PeerError: If there is none.
        """
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise PeerError(
                f"{self.name}: it ended before it was asked to {request.get('do')}"
            ) from None
        return self._read()

    def close(self) -> None:
        """End the process."""
        if self.process.stdin is not None:
            self.process.stdin.close()  # the peer exits at the end of its input
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
