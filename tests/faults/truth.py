"""What the provider itself saw: one `Call` for each request, and the same as JSON lines in a file.

The file gets a `start` line before the first byte of the reply and an `end` line after the last, each by
one `write` on a descriptor opened with O_APPEND: it survives the death of either side, and several
providers may share it. Times ending in `_s` are CLOCK_MONOTONIC, which all processes of a machine share.
"""

import dataclasses
import itertools
import json
import os
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any, Self

CALLS_KEPT_MAX = 100_000
BODIES_KEPT_BYTES_MAX = 256 * 1024 * 1024
_MEMORY_ONLY = frozenset({"body", "headers"})


@dataclasses.dataclass(slots=True, kw_only=True)
class Call:
    """One request as the provider saw it. `end_s` is None while it runs."""

    id: str
    request_id: str = ""
    """The `x-request-id` that came with it; empty without one."""
    model: str = ""
    path: str = ""
    query: str = ""
    """What stands behind the `?`."""
    batch: str = ""
    """The batch it was a line of; empty for a request of its own."""
    stream: bool = False
    script: str = ""
    """Every script that had a say, in order."""
    struck: bool = False
    """Something other than a good answer was planned, and its `share` and `first` let it happen."""
    at_unix_s: float = 0.0
    arrived_s: float = 0.0
    end_s: float | None = None
    status: int | None = None
    """The status written; None when none was."""
    bytes_received: int = 0
    bytes_sent: int = 0
    """Given to the transport: reply bytes, head and framing included (before TLS)."""
    bytes_accepted: int = 0
    """Taken by the kernel. After a reset while it was full: at most 64 KiB too few."""
    tokens_sent: int = 0
    """Completion tokens whose bytes were all given to the kernel."""
    prompt_tokens: int = 0
    """All of them, those that were read from a cache or written to one included."""
    cached_tokens: int = 0
    """Of the prompt's: read from the provider's cache."""
    written_5m_tokens: int = 0
    written_1h_tokens: int = 0
    """Of the prompt's: written to the provider's cache for so long."""
    completion_tokens: int = 0
    """What the answer would hold if all of it were sent; what `usage` says."""
    finished: bool = False
    """All that was planned was done."""
    aborted_s: float | None = None
    """When the client was seen to leave before the reply was complete; a half-close counts as leaving."""
    connection: int = 0
    """Ordinal of its connection: equal numbers are a reused connection."""
    connections: int = 0
    """Connections open when it arrived, its own included."""
    body: bytes = b""
    """As received, in this process only; empty once the calls before it fill 256 MiB."""
    headers: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def aborted(self) -> bool:
        return self.aborted_s is not None

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Truth:
    """The ledger. Written by the provider's loop, read from any thread."""

    def __init__(self, path: Path | None, *, keep_bodies: bool) -> None:
        self._kept: deque[Call] = deque(maxlen=CALLS_KEPT_MAX)
        self._changed = threading.Condition()
        self._bodies_left_bytes = BODIES_KEPT_BYTES_MAX if keep_bodies else 0
        self._ended = 0
        self._prefix = f"{os.getpid():x}{os.urandom(4).hex()}"
        self._number = itertools.count(1)
        self._descriptor = -1
        if path is not None:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def open_call(self) -> Call:
        return Call(
            id=f"{self._prefix}-{next(self._number)}", at_unix_s=time.time(), arrived_s=time.monotonic()
        )

    def start(self, call: Call) -> None:
        self._bodies_left_bytes -= len(call.body)
        if self._bodies_left_bytes < 0:
            self._bodies_left_bytes, call.body, call.headers = 0, b"", {}
        self._write("start", call)
        with self._changed:
            self._kept.append(call)
            self._changed.notify_all()

    def end(self, call: Call) -> None:
        call.end_s = time.monotonic()
        self._write("end", call)
        with self._changed:
            self._ended += 1
            self._changed.notify_all()

    def _write(self, line: str, call: Call) -> None:
        if self._descriptor >= 0:
            fields = {f.name: getattr(call, f.name) for f in dataclasses.fields(call)}
            row = {"line": line} | {name: fields[name] for name in fields if name not in _MEMORY_ONLY}
            os.write(self._descriptor, json.dumps(row).encode() + b"\n")

    def calls(self) -> tuple[Call, ...]:
        with self._changed:
            return tuple(self._kept)

    def wait(self, ended: int, timeout_s: float) -> bool:
        """Wait until `ended` calls have ended; False when they had not in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._ended >= ended, timeout_s)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_truth(path: Path) -> dict[str, Call]:
    """The calls in a truth file by id, in order of arrival; `end_s` is None where no end was written."""
    calls: dict[str, Call] = {}
    for text in path.read_text().split("\n")[:-1]:  # a line without its end was never whole
        row: dict[str, Any] = json.loads(text)
        del row["line"]
        calls[row["id"]] = Call(**row)
    return calls
