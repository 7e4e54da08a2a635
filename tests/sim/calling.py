"""The real `Caller` before providers that have a capacity, on a virtual clock."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from tests.asking import asked

from farthing.brain.contract.memory import MemoryContract
from farthing.config import CallConfig, OpenAIProviderConfig
from farthing.errors import FarthingError, ProviderTimeout
from farthing.ledger.memory import MemoryLedger
from farthing.models.calling.caller import Caller
from farthing.models.calling.request import Besides, CallRequest
from farthing.models.health.health import Health
from farthing.types import Endpoint, Json, Prompt, Receipt, Route, Target, Terms, replace
from farthing.wiring.providers import build_provider

GOOD = json.dumps(
    {
        "id": "c-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11},
    }
).encode()
BUSY = b'{"error": {"message": "slow down", "type": "rate_limit_error", "code": "rate_limit_exceeded"}}'


class Answered:
    """An exchange that is complete."""

    def __init__(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> None:
        self.status, self.headers, self._body = status, headers, body
        self.opened = None
        self.rtt_ms = None

    async def read(self, bytes_max: int, *, within_s: float | None = None) -> bytes:
        return self._body

    def limit(self, **_: object) -> None:
        return None

    def relay(self, data: Callable[[bytes], None], end: Callable[[Exception | None], None]) -> None:
        raise AssertionError("whole answers only")

    def pause(self) -> None:
        return None

    def resume(self) -> None:
        return None

    def leave(self) -> None:
        return None

    def close(self) -> None:
        return None


class Plant:
    """One provider: how many calls it takes at once, how long each takes, and what it saw."""

    def __init__(self, *, capacity: int = 10**9, takes_s: float = 1.0) -> None:
        self.capacity = capacity
        self.takes_s = takes_s
        self.down = False
        self.fails: Callable[[], bool] = lambda: False
        self.headers: Callable[[int], Mapping[bytes, bytes]] = lambda status: {}
        self.in_flight = self.most = 0
        self.calls: list[tuple[float, int]] = []
        """When each came, and its status."""
        self.bodies: list[bytes] = []

    def share_refused(self, since_s: float = 0.0) -> float:
        """The share of the calls that it refused."""
        statuses = [status for at_s, status in self.calls if at_s >= since_s]
        return statuses.count(429) / max(1, len(statuses))

    def answered(self, since_s: float = 0.0) -> int:
        return sum(status == 200 for at_s, status in self.calls if at_s >= since_s)

    async def answer(self, first_byte_s: float) -> Answered:
        now_s = asyncio.get_running_loop().time()
        if self.down:
            self.calls.append((now_s, 503))
            return Answered(503, {}, b'{"error": {"message": "down"}}')
        if self.in_flight >= self.capacity:
            self.calls.append((now_s, 429))
            await asyncio.sleep(0.01)
            return Answered(429, self.headers(429), BUSY)
        failed = self.fails()
        self.calls.append((now_s, 500 if failed else 200))
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            if self.takes_s > first_byte_s:
                await asyncio.sleep(first_byte_s)
                raise ProviderTimeout("no sign of the whole answer in time")
            await asyncio.sleep(0.01 if failed else self.takes_s)
        finally:
            self.in_flight -= 1
        if failed:
            return Answered(500, {}, b'{"error": {"message": "odd"}}')
        return Answered(200, self.headers(200), GOOD)


class Plants:
    """See `protocols.Transport`: an origin's host is the name of a plant."""

    def __init__(self, plants: Mapping[str, Plant]) -> None:
        self._plants = plants

    async def send(
        self, origin: Any, head: bytes, body: bytes, *, first_byte_s: float, whole: bool
    ) -> Answered:
        plant = self._plants[origin.host]
        plant.bodies.append(body)
        return await plant.answer(first_byte_s)

    async def aclose(self) -> None:
        return None


class Outcome(Struct):
    """What one client got."""

    at_s: float
    took_s: float
    target: str
    """Empty: no answer."""
    receipt: Receipt
    error: FarthingError | None = None


class Desk:
    """A caller of `plants`, the first of which is asked first."""

    def __init__(
        self,
        plants: Mapping[str, Plant],
        *,
        config: CallConfig | None = None,
        deadline_s: float | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        tables = {name: OpenAIProviderConfig(base_url=f"http://{name}/v1") for name in plants}
        self.clock = loop.time
        self.health: dict[str, Health] = {}
        self.caller = Caller(
            providers={name: build_provider(name, table, {}) for name, table in tables.items()},
            limits=tables,
            transport=Plants(plants),
            ledger=MemoryLedger(),
            config=config or CallConfig(),
            clock=self.clock,
            health=self.health,
        )
        self.targets = tuple(Target(name=f"{name}/m", provider=name, model="m") for name in plants)
        self.outcomes: list[Outcome] = []
        self._contract = MemoryContract(clock=self.clock)
        self._endpoint = Endpoint(name="e", terms=Terms(deadline_s=deadline_s))
        self._asked = 0

    async def ask(
        self,
        targets: Sequence[Target] | None = None,
        *,
        body: Json | None = None,
        media: bool = False,
        besides: Besides | None = None,
    ) -> Outcome:
        """`media`: `body` holds more than text."""
        began_s = self.clock()
        self._asked += 1
        request = asked(f"q{self._asked}", body=body, endpoint=self._endpoint, received_s=began_s)
        prompt = Prompt(
            body=request.body,
            input_tokens=10,
            input_tokens_bound=None,
            output_tokens_max=None,
            stream=False,
            media_tokens=5 if media else 0,
        )
        receipt = Receipt(request_id=f"r-{self._asked}", at_unix_s=0.0, started_s=began_s)
        hold = self._contract.reserve(request, prompt)
        call = CallRequest(
            request=request, prompt=prompt, hold=hold, receipt=receipt, keep_bytes_max=0, besides=besides
        )
        route = Route(tier="t", targets=tuple(targets or self.targets), reason="a test")
        target, failure = "", None
        try:
            target = (await self.caller.call(call, route)).target.name
        except FarthingError as error:
            failure = error
        finally:
            hold.settle(None)
        found = Outcome(began_s, self.clock() - began_s, target, receipt, failure)
        self.outcomes.append(found)
        return found

    async def offer(self, per_s: float, for_s: float) -> list[Outcome]:
        """Requests at a steady rate, open loop; returns when the last is over."""
        asking, count = [], int(per_s * for_s)
        began = len(self.outcomes)
        for _ in range(count):
            asking.append(asyncio.create_task(self.ask()))
            await asyncio.sleep(1 / per_s)
        await asyncio.gather(*asking)
        return sorted(self.outcomes[began:], key=lambda one: one.at_s)

    async def crowd(self, clients: int, for_s: float) -> list[Outcome]:
        """So many clients that each ask again at once, as agents do."""
        ends_s, began = self.clock() + for_s, len(self.outcomes)

        async def client() -> None:
            while self.clock() < ends_s:
                found = await self.ask()
                if not found.target:
                    await asyncio.sleep(0.5)

        await asyncio.gather(*(client() for _ in range(clients)))
        return self.outcomes[began:]


def with_config(**changes: Any) -> CallConfig:
    changed: CallConfig = replace(CallConfig(), **changes)
    return changed
