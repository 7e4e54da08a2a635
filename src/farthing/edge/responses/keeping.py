"""Stores a response for its client, under the id that the client is told.

Sits between the writer of the answer and the client. In the events that pass, a provider's or the gateway's
own, the response object gets the store's id. The last event, or the whole answer, is sent after the response
is stored, and says whether it was.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from functools import partial
from time import time
from typing import Any

import msgspec
from msgspec import Raw

from farthing.edge.forms import FormWriter
from farthing.edge.http.body import LARGE_BYTES
from farthing.edge.responses.items import changed, items_of, without_encrypted
from farthing.edge.through import ThroughSink
from farthing.errors import FarthingError, StoreError
from farthing.protocols import ResponseStore, Sink, StoredResponse
from farthing.text.lenient_json import write_json
from farthing.types import Answer, Keep, Request

log = logging.getLogger("farthing.edge")

FINAL = (b'"response.completed"', b'"response.incomplete"', b'"response.failed"')
RESPONSE = b'"response"'
ENCRYPTED = b'"encrypted_content"'
ITEM_DONE = b'"response.output_item.done"'
DATA = b"data:"
EMPTY = (b"[]", b"null")
UNREADABLE = (ValueError, RecursionError)

_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode


class Keeping(ThroughSink):
    """The sink for an answer that is stored, or that continues a stored one."""

    __slots__ = (
        "_held",
        "_items",
        "_keep",
        "_last",
        "_last_events",
        "_request",
        "_shows_encrypted",
        "_store",
        "_stores",
        "_ttl_s",
    )

    def __init__(self, sink: Sink, request: Request, keep: Keep, store: ResponseStore, ttl_s: float) -> None:
        super().__init__(sink)
        self._request = request
        self._keep = keep
        self._store = store
        self._ttl_s = ttl_s
        self._stores = bool(keep.id)
        self._shows_encrypted = keep.shows_encrypted or not keep.id
        self._held = b""
        """The last event and what follows it."""
        self._last = False
        self._last_events = b""
        """Set for a stream that failed."""
        self._items: list[bytes] = []
        """The events with complete items: some providers end with an output that lacks them."""

    async def begin(self) -> None:
        """Raises:
        StoreError: the client demands that its response is kept, and it cannot be.
        """
        if not self._stores:
            return
        try:
            await self._store.ready()
        except StoreError as error:
            if self._keep.demanded:
                raise
            log.warning("request %s: its response is not stored: %s", self._request.id, error)
            self._stores = False

    def send(self, events: bytes) -> None:
        self._sink.send(self._passed(events))

    def closing(self, reply: Answer) -> Answer:
        return reply

    async def finished(self, reply: Answer) -> Answer:
        """The last bytes of the answer for its client, once the response is stored."""
        if not reply.stream:
            return Answer(body=await self._kept(reply.body))
        return Answer(body=await self._ended(self._passed(reply.body)), stream=True)

    def breaks_off(self, writer: FormWriter) -> Callable[[FarthingError], bytes | None]:
        """Set what writes the last events of a failed stream: those of `writer`, which is not referenced
        here, because it refers to this and to the request, and cycles are freed late."""
        return partial(self._broken, writer)

    async def failed(self, error: FarthingError, writer: FormWriter) -> None:
        """Store the response of a stream that failed, if its client was told of one."""
        events = writer.broken(error)
        if events:
            self._last_events = await self._ended(self._passed(events))

    def _broken(self, writer: FormWriter, error: FarthingError) -> bytes | None:
        if not self._last_events:  # it was cut, and there is no time to keep it
            self._stores = False
            return self._told_all(writer.broken(error) or b"") or None
        return self._last_events

    async def _ended(self, events: bytes) -> bytes:
        """`events`, then the last one, which says whether the response was stored."""
        pieces = [events]
        for event in _events(self._held):
            data = _data(event)
            if data is not None and "response" in data:
                response = Raw(await self._kept(self._whole(bytes(data["response"]))))
                event = _with_data(event, {**data, "response": response})
            pieces.append(event)
        self._held = b""
        return b"".join(pieces)

    def _whole(self, response: bytes) -> bytes:
        """The final response of a stream, with the items from earlier events if it has none itself."""
        if not self._items:
            return response
        try:
            fields: dict[str, object] = {**_decode_object(response)}
        except UNREADABLE:
            return response
        output = fields.get("output")
        if output is not None and bytes(output) not in EMPTY:  # type: ignore[call-overload]
            return response
        told = [data for data in map(_data, self._items) if data is not None and "item" in data]
        items = [data["item"] for data in told if bytes(data.get("type", b"")) == ITEM_DONE]
        return write_json({**fields, "output": items}) if items else response

    def _passed(self, events: bytes) -> bytes:
        """The part of `events` that is sent now: all before the last one of the answer."""
        if self._last:
            self._held += events
            return b""
        if self._stores:
            self._items += _holding(events, ITEM_DONE)
        pieces = []
        at = 0
        for start, end in _worth_a_look(events):
            event = events[start:end]
            pieces.append(events[at:start])
            at = end
            if _is_last(event):
                self._last = True
                self._held += events[start:]
                return b"".join(pieces)
            pieces.append(self._told(event))
        return b"".join([*pieces, events[at:]]) if pieces else events

    def _told_all(self, events: bytes) -> bytes:
        return b"".join([self._told(event) for event in _events(events)])

    def _told(self, event: bytes) -> bytes:
        """`event` as its client gets it. Never raises: the caller is a provider's connection."""
        try:
            return self._edited(event)
        except UNREADABLE:  # of a shape that the dialect does not have
            return event

    def _edited(self, event: bytes) -> bytes:
        if RESPONSE in event:
            data = _data(event)
            if data is not None and "response" in data:
                response = self._changed(bytes(data["response"]), stored=self._stores)
                return _with_data(event, {**data, "response": Raw(response)})
        if ENCRYPTED in event and not self._shows_encrypted:
            data = _data(event)
            if data is not None and "item" in data:
                return _with_data(event, {**data, "item": Raw(without_encrypted(bytes(data["item"])))})
        return event

    def _changed(self, response: bytes, *, stored: bool, shows_encrypted: bool | None = None) -> bytes:
        """A response object as its client gets it or, with everything encrypted, as it is stored."""
        keep = self._keep
        changes: dict[str, object] = {"store": stored}
        if keep.id:
            changes["id"] = keep.id
        if keep.previous:
            changes["previous_response_id"] = keep.previous
        shown = self._shows_encrypted if shows_encrypted is None else shows_encrypted
        return changed(response, changes, shows_encrypted=shown)

    async def _kept(self, response: bytes) -> bytes:
        """The complete `response` as its client gets it once it is stored."""
        try:
            stored = self._stores and await self._put(
                self._changed(response, stored=True, shows_encrypted=True)
            )
            return self._changed(response, stored=stored)
        except UNREADABLE:
            log.exception("request %s: its response cannot be read, and is not stored", self._request.id)
            return response

    async def _put(self, response: bytes) -> bool:
        request = self._request
        assert request.sent is not None, "a request of Responses"
        now_s, given = time(), items_of(request.sent.body.get("input"))
        if len(request.sent.raw) > LARGE_BYTES:
            items = await asyncio.to_thread(write_json, given)
        else:
            items = write_json(given)
        try:
            kept = await self._store.put(
                StoredResponse(
                    id=self._keep.id,
                    tenant=request.tenant.name,
                    endpoint=request.endpoint.name,
                    created_unix_s=now_s,
                    expires_unix_s=now_s + self._ttl_s,
                    body=response,
                    items=items,
                )
            )
        except StoreError as error:
            log.warning("request %s: its response could not be stored: %s", request.id, error)
            return False
        if not kept:
            log.warning(
                "request %s: its response is not stored: it is larger than responses.response_bytes_max or "
                "the share of its tenant",
                request.id,
            )
        return kept


def _worth_a_look(events: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of each event that may have to change. All others are skipped: a block may have a hundred
    thousand of them."""
    response, encrypted, end = events.find(RESPONSE), events.find(ENCRYPTED), 0
    while response >= 0 or encrypted >= 0:
        place = min(found for found in (response, encrypted) if found >= 0)
        start = max(events.rfind(b"\n\n", end, place) + 2, end)
        end = events.find(b"\n\n", place) + 2
        if end < 2:
            end = len(events)
        yield start, end
        if 0 <= response < end:
            response = events.find(RESPONSE, end)
        if 0 <= encrypted < end:
            encrypted = events.find(ENCRYPTED, end)


def _holding(events: bytes, mark: bytes) -> Iterator[bytes]:
    """Each event that contains `mark`."""
    place, end = events.find(mark), 0
    while place >= 0:
        start = max(events.rfind(b"\n\n", end, place) + 2, end)
        end = events.find(b"\n\n", place) + 2
        if end < 2:
            end = len(events)
        yield events[start:end]
        place = events.find(mark, end)


def _events(events: bytes) -> Iterator[bytes]:
    """Each event, with the blank line that ends it."""
    *whole, rest = events.split(b"\n\n")
    for lines in whole:
        yield lines + b"\n\n"
    if rest:
        yield rest


def _is_last(event: bytes) -> bool:
    """Whether the event ends the response, by its type, since a text may contain the same words."""
    if not any([mark in event for mark in FINAL]):
        return False
    data = _data(event)
    return data is not None and "response" in data and bytes(data.get("type", b"")) in FINAL


def _data(event: bytes) -> dict[str, Any] | None:
    """The object in the data of an event; None if there is none."""
    lines = [line[len(DATA) :].strip() for line in event.split(b"\n") if line.startswith(DATA)]
    try:
        return {**_decode_object(b"\n".join(lines))} if lines else None
    except UNREADABLE:
        return None


def _with_data(event: bytes, data: dict[str, Any]) -> bytes:
    """`event` with its data replaced."""
    lines = [line for line in event.split(b"\n") if line and not line.startswith(DATA)]
    return b"\n".join([*lines, b"data: " + write_json(data), b"", b""])
