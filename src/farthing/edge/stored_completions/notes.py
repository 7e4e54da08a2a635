"""What is noted of each chat completion that a provider keeps: who it is for, and what lists are made by."""

import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from hashlib import blake2b
from time import time
from typing import Any

import msgspec
from msgspec import Struct

from farthing.errors import StoreError, UnknownCompletion
from farthing.models.stored_completions import Keepers
from farthing.protocols import ResponseStore, StoredResponse

log = logging.getLogger("farthing.edge")

ID_CHARS_MAX = 200
ID_CHARS_SHOWN = 100
LABELS_MAX = 16  # as at OpenAI
AT_ONCE = 200  # notes that are read at a time


class Note(Struct, frozen=True, kw_only=True):
    """What is noted of one completion."""

    provider: str
    target: str
    """`provider/model` that made it."""
    mark: str = ""
    """Which address or account of the provider keeps it, as `Keepers` has it; empty: it has one."""
    models: tuple[str, ...] = ()
    """Names that its model goes by: the provider's and the client's."""
    labels: tuple[str, ...] = ()
    """Keyed digests of the pairs of its `metadata`, which are not kept themselves."""


class Kept(Struct, frozen=True):
    """One completion that a provider keeps."""

    id: str
    created_unix_s: float
    note: Note
    endpoint: str
    """Whose request made it."""


class Wanted(Struct, frozen=True, kw_only=True):
    """Which completions a list is to have."""

    model: str = ""
    labels: frozenset[str] = frozenset()

    def has(self, note: Note) -> bool:
        return (not self.model or self.model in note.models) and self.labels.issubset(note.labels)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Note).decode


class Notes:
    """Notes of one configuration. Bounded as its `store` is."""

    def __init__(
        self,
        store: ResponseStore,
        *,
        ttl_s: float,
        key: bytes,
        keepers: Keepers,
        clock: Callable[[], float] = time,
    ) -> None:
        """`key` is that of the installation. What a provider keeps that is not among `keepers` is not known
        while it is not."""
        self._store = store
        self._ttl_s = ttl_s
        self._digest = blake2b(digest_size=8, key=key)
        self.keepers = keepers
        self.clock = clock

    async def add(self, tenant: str, endpoint: str, id: str, note: Note) -> bool:
        """Whether it is noted; where it is not, the log says why."""
        now_s = self.clock()
        stored = StoredResponse(
            id=id,
            tenant=tenant,
            endpoint=endpoint,
            created_unix_s=now_s,
            expires_unix_s=now_s + self._ttl_s,
            body=_encode(note),
            items=b"",
        )
        return await self._put(stored)

    async def find(self, tenant: str, id: str, param: str | None = None) -> Kept:
        """Raises:
        UnknownCompletion: there is none for this tenant. StoreError.
        """
        stored = None if not id or len(id) > ID_CHARS_MAX else await self._store.get(tenant, id)
        kept = None if stored is None else _read(stored)
        if kept is None or not self._is_there(kept.note):
            raise UnknownCompletion(id[:ID_CHARS_SHOWN], param=param)
        return kept

    async def relabel(self, tenant: str, id: str, labels: tuple[str, ...]) -> None:
        """Note other metadata. Nothing where it is not there any more."""
        stored = await self._store.get(tenant, id)
        kept = None if stored is None else _read(stored)
        if stored is not None and kept is not None:
            note = msgspec.structs.replace(kept.note, labels=labels)
            await self._put(msgspec.structs.replace(stored, body=_encode(note)))

    async def forget(self, tenant: str, id: str) -> None:
        """Never fails: what cannot be forgotten now is asked for in vain until it expires."""
        try:
            await self._store.delete(tenant, id)
        except StoreError as error:
            log.warning("a stored chat completion that is gone could not be forgotten: %s", error)

    async def all(
        self, tenant: str, wanted: Wanted, *, after: str, newest_first: bool, may: Callable[[Kept], bool]
    ) -> AsyncGenerator[Kept, None]:
        """Those of a tenant from behind `after` on that `may` be asked for.

        Raises:
            UnknownCompletion: there is no `after` for this tenant. StoreError.
        """
        if after:
            await self.find(tenant, after, "after")
        while True:
            page = await self._store.page(tenant, after=after, limit=AT_ONCE, newest_first=newest_first)
            for stored in page or ():
                kept = _read(stored)
                if kept is None or not wanted.has(kept.note):
                    continue
                if self._is_there(kept.note) and may(kept):
                    yield kept
            if page is None or len(page) < AT_ONCE:  # None: `after` has expired meanwhile
                return
            after = page[-1].id

    def labels_of(self, tenant: str, metadata: Any) -> tuple[str, ...]:
        """The digests of what `metadata` says; none where it is no object of texts."""
        if not isinstance(metadata, Mapping):
            return ()
        pairs = [(name, value) for name, value in metadata.items() if isinstance(value, str)]
        return tuple([self.label_of(tenant, name, value) for name, value in pairs[:LABELS_MAX]])

    def label_of(self, tenant: str, name: str, value: str) -> str:
        digest = self._digest.copy()
        digest.update(_encode((tenant, name, value)))
        return digest.hexdigest()

    def _is_there(self, note: Note) -> bool:
        return self.keepers.keeps(note.provider, note.mark)

    async def _put(self, stored: StoredResponse) -> bool:
        try:
            kept = await self._store.put(stored)
        except StoreError as error:
            log.warning("a stored chat completion could not be noted: %s", error)
            return False
        if not kept:
            log.warning("a stored chat completion is not noted: its note is larger than its tenant's share")
        return kept


def _read(stored: StoredResponse) -> Kept | None:
    """None: a note of a later version."""
    try:
        return Kept(stored.id, stored.created_unix_s, _decode(stored.body), stored.endpoint)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
