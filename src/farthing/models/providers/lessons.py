"""What all targets were seen to refuse, over reloads and restarts."""

import logging
import time
from collections.abc import Callable, Collection, Coroutine
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from farthing.models.providers.learnt import Known, Lessons
from farthing.stores.state_file import StateFile

log = logging.getLogger("farthing.models")

FILE = "refusals.json"
"""In the state directory."""
VERSION = 1
BYTES_MAX = 8_388_608
"""A file that is larger is not ours."""


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    version: int = VERSION
    providers: dict[str, dict[str, Known]]


class AllLessons:
    """The `Lessons` of each provider. Belongs to one event loop; `open` and `save` do the I/O."""

    def __init__(self, state_dir: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        """Without `state_dir` nothing outlives the process. `clock` gives Unix seconds."""
        self.changed = False
        """Whether anything was learnt since `dump`."""
        self._clock = clock
        self._of: dict[str, Lessons] = {}
        self._file = None
        if state_dir is not None:
            anew = "what targets refuse is learnt anew"
            self._file = StateFile(self, state_dir / FILE, log=log, anew=anew)
        self._opened = False
        self.run: Callable[[], Coroutine[Any, Any, None]] | None = (
            None if self._file is None else self._file.run
        )

    def open(self) -> None:
        """Read what was known before. A second call does nothing."""
        if not self._opened and self._file is not None:
            self._file.open()
        self._opened = True

    def save(self) -> None:
        """Save what changed."""
        if self._file is not None:
            self._file.save()

    def of(self, name: str, base_url: str) -> Lessons:
        """Those of a provider where it is: at another address, another server answers."""
        return self._at(_place(name, base_url))

    def _at(self, place: str) -> Lessons:
        found = self._of.get(place)
        if found is None:
            found = self._of[place] = Lessons(self._clock, self._noted)
        return found

    def _noted(self) -> None:
        self.changed = True

    def keep(self, providers: Collection[tuple[str, str]]) -> None:
        """Forget those of all others than `providers`, as of `of`."""
        for gone in self._of.keys() - {_place(*one) for one in providers}:
            del self._of[gone]

    def dump(self) -> bytes:
        self.changed = False
        known = {place: lessons.lasting() for place, lessons in self._of.items()}
        return msgspec.json.encode(_Kept(providers={place: one for place, one in known.items() if one}))

    def restore(self, data: bytes) -> None:
        """Raises:
        ValueError: it is no such file.
        """
        if len(data) > BYTES_MAX:
            raise ValueError("it is larger than any such file")
        kept = msgspec.json.decode(data, type=_Kept)
        if kept.version != VERSION:
            raise ValueError(f"its version is {kept.version}, not {VERSION}")
        for place, known in kept.providers.items():
            self._at(place).restore(known)


def _place(name: str, base_url: str) -> str:
    """A digest, since an address may hold a secret."""
    return blake2b(f"{name} {base_url}".encode(), digest_size=16).hexdigest()
