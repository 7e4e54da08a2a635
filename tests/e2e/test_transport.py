"""The pool of upstream connections counts right whatever happens to those who wait for one."""

import asyncio
import json
from collections.abc import Iterator

import pytest
import uvloop
from tests.faults.provider import FaultProvider

from farthing.errors import ProviderBusy, ProviderError
from farthing.models.transport import http1
from farthing.models.transport.http1 import Http1Transport
from farthing.models.transport.origin import HttpOrigin
from farthing.runtime.loop_batch import LoopBatch

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"


def body(model: str) -> bytes:
    return json.dumps({"model": model, "messages": [{"role": "user", "content": "x"}]}).encode()


@pytest.fixture(scope="module")
def secure() -> Iterator[FaultProvider]:
    with FaultProvider(tls="good") as provider:
        yield provider


@pytest.mark.parametrize("tls", [False, True])
def test_cancelling_at_any_moment_neither_leaks_nor_invents_a_connection(
    upstream: FaultProvider, secure: FaultProvider, tls: bool
) -> None:
    provider = secure if tls else upstream

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for turns in range(30):
            transport = Http1Transport(loop, LoopBatch(loop))
            ca_file = provider.ca_file if tls else None
            origin = HttpOrigin(
                "upstream", "127.0.0.1", provider.port, tls, connections_max=2, ca_file=ca_file
            )
            asked = [
                asyncio.create_task(transport.send(origin, HEAD, body("good"), first_byte_s=30.0, whole=True))
                for _ in range(4)
            ]
            for _ in range(turns):
                await asyncio.sleep(0.0005 if tls else 0)
            for each in asked:
                each.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
            exchange = await transport.send(origin, HEAD, body("good"), first_byte_s=30.0, whole=True)
            assert exchange.status == 200
            pool = transport._pools[origin]
            assert 1 <= pool._open <= 2, turns
            await transport.aclose()
            await asyncio.sleep(0.01)
            assert pool._open == 0, turns

    uvloop.run(main())


def test_those_who_find_every_connection_in_use_are_told_so_in_time(upstream: FaultProvider) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport = Http1Transport(loop, LoopBatch(loop))
        origin = HttpOrigin("upstream", "127.0.0.1", upstream.port, False, connections_max=1)
        slow = asyncio.create_task(
            transport.send(origin, HEAD, body("fault:delay=0.3"), first_byte_s=30.0, whole=True)
        )
        await asyncio.sleep(0.05)
        with pytest.raises(ProviderBusy) as busy:
            await transport.send(origin, HEAD, body("good"), first_byte_s=0.1, whole=True)
        assert not busy.value.sent, "it never reached the provider, so it costs nothing"
        waiting = await transport.send(origin, HEAD, body("good"), first_byte_s=30.0, whole=True)
        assert waiting.status == 200 and (await slow).status == 200
        await transport.aclose()

    uvloop.run(main())


def test_a_reply_is_never_taken_for_anothers(upstream: FaultProvider) -> None:
    """Callers that give up, resets, wrong lengths: every reply that comes echoes its own question."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport = Http1Transport(loop, LoopBatch(loop))
        origin = HttpOrigin("upstream", "127.0.0.1", upstream.port, False, connections_max=4)
        scripts = [
            "good",
            "fault:delay=0.01",
            "fault:reset",
            "fault:length=short",
            "fault:truncate=1,end=cut",
        ]

        async def ask(number: int) -> None:
            raw = {"model": scripts[number % 5], "messages": [{"role": "user", "content": f"q{number}"}]}
            sending = transport.send(origin, HEAD, json.dumps(raw).encode(), first_byte_s=1.0, whole=True)
            try:
                async with asyncio.timeout(0.004 if number % 7 == 0 else 2.0):
                    exchange = await sending
                    reply = json.loads(await exchange.read(100_000))
            except (TimeoutError, ProviderError):  # any failure will do, a mix-up will not
                return
            assert reply["choices"][0]["message"]["content"] == f"echo: q{number}"

        await asyncio.gather(*(ask(number) for number in range(300)))
        await transport.aclose()

    uvloop.run(main())


def test_idle_connections_are_looked_at_while_quick_calls_go_on(
    upstream: FaultProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One call after another, none of which lasts until the next look: an earlier burst is closed anyway."""
    monkeypatch.setattr(http1, "IDLE_S", 0.3)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport = Http1Transport(loop, LoopBatch(loop))
        origin = HttpOrigin("upstream", "127.0.0.1", upstream.port, False, connections_max=8)
        burst = [transport.send(origin, HEAD, body("good"), first_byte_s=9.0, whole=True) for _ in range(8)]
        for exchange in await asyncio.gather(*burst):
            await exchange.read(1 << 20)
        pool = transport._pools[origin]
        assert pool._open > 1
        ends_s = loop.time() + 30.0
        while pool._open > 1 and loop.time() < ends_s:
            exchange = await transport.send(origin, HEAD, body("good"), first_byte_s=9.0, whole=True)
            await exchange.read(1 << 20)
            await asyncio.sleep(0.002)
        assert pool._open == 1
        await transport.aclose()

    uvloop.run(main())
