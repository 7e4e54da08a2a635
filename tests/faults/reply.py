"""One reply, good or bad, as its plan says. Every way a provider misbehaves is in this file."""

import asyncio
import json
import struct
import zlib
from collections.abc import Iterator
from email.utils import formatdate
from http import HTTPStatus
from time import time
from typing import Any

from tests.faults.connection import PIECE_BYTES, Connection
from tests.faults.exact import DELIVERED_S, HELD_LOOK_S, HELD_S, Exact
from tests.faults.said import Dialect, Event, Said
from tests.faults.script import Plan
from tests.faults.truth import Call

EOLS = {"lf": b"\n", "crlf": b"\r\n", "cr": b"\r"}
JSON_TYPE = "application/json"
SSE_TYPE = "text/event-stream; charset=utf-8"
GZIP_HEAD = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
HTML = b"<html><body><h1>Service</h1><p>not what you asked for</p></body></html>"


def encode(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


class Reply:
    """Writes the reply to `call` on `wire`."""

    def __init__(self, wire: Connection, call: Call, plan: Plan, dialect: Dialect) -> None:
        self._wire, self._call, self._plan, self._dialect = wire, call, plan, dialect

    async def run(self, body: dict[str, Any], *, ready: bytes | None = None) -> bool:
        """Do all of it; False when the connection cannot be used again. `ready` is the good answer, where it
        is none to a question."""
        plan, call = self._plan, self._call
        if plan.delay:
            await asyncio.sleep(plan.delay)
        if plan.hang:
            return await self._hold()
        if plan.reset:
            return self._end("reset")
        if plan.status != HTTPStatus.OK:
            return await self.fail(plan.status, plan.code, plan.message)
        if ready is not None:
            return await self._whole(ready)
        told = self._dialect.ready(call, body, plan)
        if told is not None:
            return await self._whole(encode(told))
        return await self._answer(self._dialect.say(call, body, plan))

    async def fail(self, status: int, code: str | None = None, message: str | None = None) -> bool:
        """Answer with an error status and the body that the plan names."""
        good = encode(self._dialect.error(self._call, status, code, message).data)
        kind, data = {
            "json": (JSON_TYPE, good),
            "broken": (JSON_TYPE, good[: len(good) // 2]),
            "text": ("text/plain", b"upstream connect error or disconnect before headers"),
            "html": ("text/html", HTML),
            "empty": (JSON_TYPE, b""),
        }[self._plan.body]
        return await self._whole(data, kind, status)

    async def exactly(self, given: Exact) -> bool:
        """Write `given` as it is; False when the connection cannot be used again."""
        self._call.status = given.status
        held_at, until = given.held or (-1, None)
        for place, (pause_s, data) in enumerate(given.pieces):
            if pause_s:
                await asyncio.sleep(pause_s)
            while place == held_at and until is not None and not until.is_set():  # noqa: ASYNC110 - by a thread
                await asyncio.sleep(HELD_LOOK_S)
            await self._wire.write(data)
        if given.end == "keep":
            return True
        if given.end == "hold":
            await asyncio.sleep(HELD_S)
        await self._wire.delivered(DELIVERED_S)
        return self._end("reset" if given.end == "reset" else "cut")

    async def _answer(self, said: Said) -> bool:
        if self._call.stream and self._plan.bad != "html":
            return await self._stream(said)
        return await self._whole(encode(said.whole() if self._plan.error is None else self._failed().data))

    def _failed(self) -> Event:
        return self._dialect.error(self._call, 500, self._plan.code, "The model failed.")

    # -- whole --------------------------------------------------------------------------------------

    async def _whole(self, data: bytes, kind: str = JSON_TYPE, status: int = 200) -> bool:
        plan = self._plan
        data, kind = self._spoilt(data, kind)
        headers = {"content-type": kind}
        if plan.endless:
            return await self._endless(headers | {"transfer-encoding": "chunked"}, status)
        if plan.gzip:
            data = await asyncio.to_thread(_squeeze, data, plan.gzip)
            headers["content-encoding"] = "gzip"
        size = len(data)
        lengths = {"short": [size - min(10, size)], "long": [size + 10], "double": [size, size + 7]}
        await self._head(status, headers, lengths.get(plan.length, [size]))
        partial = plan.stall is not None or plan.truncate is not None
        await self._write(data[: size // 2] if partial else data)
        if plan.stall is not None:
            return await self._hold()
        if plan.truncate is not None or plan.length == "long":
            return self._end("reset" if plan.end == "reset" else "cut")
        self._call.tokens_sent = self._call.completion_tokens
        return True

    def _spoilt(self, data: bytes, kind: str) -> tuple[bytes, str]:
        bad = self._plan.bad
        if bad == "html":
            return HTML, "text/html"
        spoilt = {"json": data[: len(data) // 2], "sse": data[1:], "empty": b"", "type": b"[]"}
        return (_invalid_utf8(data) if bad == "utf8" else spoilt.get(bad, data)), kind

    async def _endless(self, headers: dict[str, str], status: int) -> bool:
        await self._head(status, headers, [])
        await self._chunk(b'{"id":"')
        while self._call.bytes_sent < self._plan.endless:
            await self._chunk(b"a" * PIECE_BYTES)
        return self._end("cut")

    # -- streamed -----------------------------------------------------------------------------------

    async def _stream(self, said: Said) -> bool:
        plan, call = self._plan, self._call
        events = self._events(said)
        kind = getattr(self._dialect, "stream_type", SSE_TYPE)
        if plan.length or plan.gzip:
            return await self._whole(b"".join(data for data, _ in events), kind)
        headers = {"content-type": kind, "cache-control": "no-cache", "transfer-encoding": "chunked"}
        await self._head(200, headers, [])
        for data, event in events:
            await self._chunk(data)
            call.tokens_sent += event.tokens
            if plan.gap and event.counts:
                await asyncio.sleep(plan.gap)
        if plan.stall is not None:
            return await self._hold()
        if plan.endless or (plan.truncate is not None and plan.end != "clean"):
            return self._end("cut" if plan.endless else plan.end)
        await self._wire.write(b"0\r\n\r\n")
        return True

    def _events(self, said: Said) -> Iterator[tuple[bytes, Event]]:
        """The events to send, faults included."""
        plan = self._plan
        if plan.bad == "empty":
            return
        stops = [k for k in (plan.stall, plan.truncate, plan.error) if k is not None]
        end = min(stops, default=None)
        index = -1
        for event in said.events():
            index += event.counts
            if end is not None and index >= end:
                break
            data = self._event(event, index)
            yield data, event
            while plan.endless and index == 1 and self._call.bytes_sent < plan.endless:
                yield data, event
        last = self._failed() if plan.error is not None else said.ending
        if plan.error is not None or not (stops or plan.endless):
            yield self._event(last, 0), last

    def _event(self, event: Event, index: int) -> bytes:
        plan = self._plan
        if event.raw is not None:
            spoils = plan.bad and index == 1 and event.counts
            return event.raw[:-5] + bytes([event.raw[-5] ^ 1]) + event.raw[-4:] if spoils else event.raw
        data = event.data.encode() if isinstance(event.data, str) else encode(event.data)
        eol = list(EOLS.values())[index % 3] if plan.eol == "mixed" else EOLS[plan.eol]
        lines = [f"event: {event.name}".encode()] if event.name else []
        if plan.bad and index == 1 and event.counts:
            if plan.bad == "sse":
                bad = [*lines, b"this line has no field", b"\x00data:" + data, b":"]
                return eol.join(bad) + eol + eol
            data = self._spoilt(data, SSE_TYPE)[0]
        if plan.comments:
            lines = [b": keep-alive", *(lines or [b"event: message"]), b"id: 7", b"retry: 1000"]
        return eol.join([*lines, b"data: " + data]) + eol + eol

    # -- shared -------------------------------------------------------------------------------------

    async def _head(self, status: int, headers: dict[str, str], lengths: list[int]) -> None:
        plan, call = self._plan, self._call
        call.status = status
        told = self._dialect.fields(call, status, plan) | {"x-call-id": call.id} | headers
        lines = [f"HTTP/1.1 {status} {_phrase(status)}", *(f"{name}: {told[name]}" for name in told)]
        lines += [f"content-length: {length}" for length in lengths]
        if plan.retry_after is not None:
            lines.append(f"retry-after: {plan.retry_after}")
        if plan.retry_after_ms is not None:
            lines.append(f"retry-after-ms: {plan.retry_after_ms}")
        if plan.retry_date is not None:
            lines.append(f"retry-after: {formatdate(time() + plan.retry_date, usegmt=True)}")
        text = "\r\n".join(lines).encode() + b"\r\n"
        if plan.header:
            await self._wire.write(text + b"x-huge: ")
            for sent in range(0, plan.header, PIECE_BYTES):
                await self._wire.write(b"h" * min(PIECE_BYTES, plan.header - sent))
            text = b"\r\n"
        await self._wire.write(text + b"\r\n", rate=plan.head_rate)

    async def _write(self, data: bytes) -> None:
        await self._wire.write(data, split=self._plan.split, rate=self._plan.rate)

    async def _chunk(self, data: bytes) -> None:
        await self._write(b"%x\r\n%b\r\n" % (len(data), data))

    async def _hold(self) -> bool:
        """Say nothing for `hold` seconds, then end without a word."""
        await asyncio.sleep(self._plan.hold)
        return self._end("cut")

    def _end(self, how: str) -> bool:
        self._call.finished = True
        if how == "reset":
            self._wire.reset()
        else:
            self._wire.cut()
        return False


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Unknown"


def _invalid_utf8(data: bytes) -> bytes:
    """Put bytes that no UTF-8 text has into the last string of a JSON object."""
    return data[:-1] + b',"spoilt":"\xff\xc3("}'


def _squeeze(data: bytes, size_bytes: int) -> bytes:
    """Compress `data` and as many spaces as make it `size_bytes` when expanded (at most 1 GiB).

    The spaces are compressed once and repeated, so that a bomb is ready before anybody's patience ends.
    """
    missing = max(min(size_bytes, 2**30) - len(data), 0)
    spaces, times = b" " * 2**20, missing // 2**20
    rest = b" " * (missing % 2**20)
    check = zlib.crc32(data)
    for _ in range(times):
        check = zlib.crc32(spaces, check)
    ending = struct.pack("<II", zlib.crc32(rest, check), len(data) + missing)
    parts = [_deflated(data), *([_deflated(spaces)] * times), _deflated(rest, zlib.Z_FINISH)]
    return b"".join([GZIP_HEAD, *parts, ending])


def _deflated(data: bytes, ending: int = zlib.Z_FULL_FLUSH) -> bytes:
    """`data` as blocks that may stand between any others, or after `Z_FINISH` be the last."""
    packer = zlib.compressobj(level=1, wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush(ending)
