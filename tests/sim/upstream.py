"""A provider without sockets, under a virtual clock: a `Transport` that answers chat completions as it is
told, and keeps its own account of what it was asked for.

The gateway before it is the one that `build` wires; nothing but the transport and the clock is replaced.
"""

import asyncio
import dataclasses
import json
import random
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec
import pytest
from tests import virtual
from tests.asking import ACME
from tests.wired import parts_in_memory

from farthing.config import loads
from farthing.edge.openai import Asked
from farthing.errors import ProviderTimeout
from farthing.ledger.memory import MemoryLedger
from farthing.models.transport.origin import HttpOrigin
from farthing.pipeline.answer import answer
from farthing.pipeline.steps import Steps
from farthing.types import Answer, Receipt
from farthing.wiring.build import build

KEYS = {name: f"sk-of-key-{name.lower()}-0123456789" for name in "ABCD"}
PROMPT_TOKENS, OUTPUT_TOKENS = 100, 20


@dataclasses.dataclass(slots=True)
class Call:
    """One call as the provider saw it."""

    address: str
    key: str
    model: str
    stream: bool
    began_s: float
    ended_s: float | None = None
    status: int = 200
    left: bool = False
    """The gateway closed it before its end."""


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of one call."""

    status: int = 200
    headers: Mapping[bytes, bytes] = dataclasses.field(default_factory=dict)
    first_s: float = 0.1
    """Until its answer begins; a whole one is complete then."""
    total_s: float = 0.5
    """Until a stream ends."""


Serve = Callable[[Call], Plan]


class Exchange:
    """See `protocols.Exchange`."""

    def __init__(self, call: Call, plan: Plan, loop: asyncio.AbstractEventLoop) -> None:
        self._call = call
        self._plan = plan
        self._loop = loop
        self._timers: list[asyncio.TimerHandle] = []
        self.status = plan.status
        self.headers = plan.headers
        self.opened = None
        self.rtt_ms = None

    def limit(self, *, idle_s: float, limit_s: float, bytes_max: int, now_s: float) -> None:
        return None

    async def read(self, bytes_max: int, *, within_s: float | None = None) -> bytes:
        return error_body(self.status) if self.status != 200 else whole_body()

    def relay(self, data: Callable[[bytes], None], end: Callable[[Exception | None], None]) -> None:
        def over() -> None:
            self._call.ended_s = self._loop.time()
            data(LAST_EVENTS)
            end(None)

        first_s = max(self._loop.time(), self._call.began_s + self._plan.first_s)
        self._timers = [
            self._loop.call_at(first_s, data, FIRST_EVENT),
            self._loop.call_at(max(first_s, self._call.began_s + self._plan.total_s), over),
        ]

    def pause(self) -> None:
        return None

    def resume(self) -> None:
        return None

    def leave(self) -> None:
        return None

    def close(self) -> None:
        for timer in self._timers:
            timer.cancel()
        if self._call.ended_s is None:
            self._call.ended_s, self._call.left = self._loop.time(), True


class Upstream:
    """See `protocols.Transport`. `calls` is what it was asked for."""

    def __init__(self, serve: Serve) -> None:
        self.serve = serve
        self.calls: list[Call] = []

    async def send(
        self, origin: HttpOrigin, head: bytes, body: bytes, *, first_byte_s: float, whole: bool
    ) -> Exchange:
        loop = asyncio.get_running_loop()
        asked = json.loads(body)
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:] if ": " in line)
        key = fields.get("authorization", "").removeprefix("Bearer ")
        call = Call(str(origin), key, asked["model"], bool(asked.get("stream")), loop.time())
        self.calls.append(call)
        plan = self.serve(call)
        call.status = plan.status
        stays = whole or plan.status != 200
        wait_s = (plan.first_s if plan.status == 200 else 0.01) if stays else 0.01
        try:
            await asyncio.sleep(min(wait_s, first_byte_s))
        except asyncio.CancelledError:
            call.ended_s, call.left = loop.time(), True
            raise
        if wait_s > first_byte_s:
            call.ended_s, call.left = loop.time(), True
            raise ProviderTimeout("no sign of the first byte in time")
        if stays:
            call.ended_s = loop.time()
        return Exchange(call, plan, loop)

    async def aclose(self) -> None:
        return None


class Sink:
    """Takes everything."""

    def send(self, events: bytes) -> None:
        return None

    def when_writable(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        return None

    def outlive(self, left: Callable[[Callable[[], None]], bool]) -> None:
        return None

    def returned(self, lines: bytes) -> None:
        return None

    def closing(self, reply: Answer) -> Answer:
        return reply


class World:
    """One gateway before one provider."""

    def __init__(self, config: str, serve: Serve) -> None:
        self.upstream = Upstream(serve)
        self.ledger = MemoryLedger()
        self.parts = msgspec.structs.replace(parts_in_memory(self.ledger), transport=self.upstream)
        self._serving = build(loads(config, KEYS), self.parts)
        self.steps: Steps = self._serving.steps
        self._count = 0

    async def ask(self, session: str | None = None, **fields: Any) -> Receipt:
        """The receipt of one request, whatever became of it; raises CancelledError alone."""
        self._count += 1
        text = f"question {self._count}"
        body = {"model": "auto", "messages": [{"role": "user", "content": text}], **fields}
        headers = {} if session is None else {b"x-farthing-session": session.encode()}
        now_s = time.monotonic()
        asked = Asked(
            id=f"r{self._count}", tenant=ACME, headers=headers, received_s=now_s, body_bytes=len(text)
        )
        request = self._serving.reader.chat(body, asked)
        receipt = Receipt(request_id=request.id, at_unix_s=0.0, started_s=now_s)
        try:
            await answer(request, self.steps, receipt, Sink())
        except Exception:  # noqa: BLE001  # the receipt says what it was
            assert receipt.error is not None
        return receipt

    async def offered(self, per_s: float, seconds: float, seed: int = 1, **fields: Any) -> list[Receipt]:
        """The receipts of requests that come by chance, so many a second, whatever becomes of the others."""
        chance, loop = random.Random(seed), asyncio.get_running_loop()
        end_s, tasks = loop.time() + seconds, []
        while loop.time() < end_s:
            await asyncio.sleep(chance.expovariate(per_s))
            tasks.append(loop.create_task(self.ask(**fields)))
        return list(await asyncio.gather(*tasks))


def run(
    monkeypatch: pytest.MonkeyPatch,
    config: str,
    serve: Serve,
    what: Callable[[World], Coroutine[Any, Any, None]],
    seed: int = 1,
) -> None:
    """Run `what` in a world of its own, at whose end no task is left."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(time, "monotonic", loop.time)
        random.seed(seed)
        await what(World(config, serve))
        await asyncio.sleep(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, "no task is left behind"

    try:
        virtual.run(main())
    finally:
        monkeypatch.undo()


def error_body(status: int) -> bytes:
    kind = "rate_limit_exceeded" if status == 429 else "invalid_api_key" if status == 401 else "server_error"
    return json.dumps({"error": {"message": "no", "type": kind, "code": kind}}).encode()


def whole_body() -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}
    return json.dumps({**_FRAME, "object": "chat.completion", "choices": [choice], "usage": _USAGE}).encode()


_USAGE = {
    "prompt_tokens": PROMPT_TOKENS,
    "completion_tokens": OUTPUT_TOKENS,
    "total_tokens": PROMPT_TOKENS + OUTPUT_TOKENS,
}
_FRAME = {"id": "c-1", "created": 1, "model": "m"}


def _event(choices: list[dict[str, Any]], **more: Any) -> bytes:
    chunk = {**_FRAME, "object": "chat.completion.chunk", "choices": choices, **more}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


FIRST_EVENT = _event([{"index": 0, "delta": {"role": "assistant", "content": "yes"}, "finish_reason": None}])
LAST_EVENTS = (
    _event([{"index": 0, "delta": {}, "finish_reason": "stop"}])
    + _event([], usage=_USAGE)
    + b"data: [DONE]\n\n"
)
