"""Connecting to a host of several addresses, some of them dead, by names that may not resolve."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop
from tests.faults.network import black_hole, closed_port

from farthing.models.transport import dial
from farthing.models.transport.dial import Dialler, in_turn

V4, V6 = socket.AF_INET, socket.AF_INET6


class Resolved:
    """An event loop whose resolver says what it is told to; everything else is the real loop's."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *answers: Any) -> None:
        self._loop = loop
        self.answers = list(answers)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    async def getaddrinfo(self, host: str, port: int, *, type: int) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        if callable(answer):
            answer = await answer()
        return [(family, type, 6, "", address) for family, address in answer]


def dialled(work: Callable[[asyncio.AbstractEventLoop, int], Awaitable[None]]) -> None:
    """Run `work` beside a server, and see that it closed what it did not use."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        await work(loop, server.sockets[0].getsockname()[1])
        server.close()

    uvloop.run(main())


def test_a_dead_ipv6_address_costs_a_quarter_of_a_second_and_not_the_time_limit() -> None:
    async def work(loop: asyncio.AbstractEventLoop, port: int) -> None:
        with black_hole() as dead:
            # stands for a black-holed IPv6 route, which not every machine has
            there = Resolved(loop, [(V4, ("127.0.0.1", dead)), (V4, ("127.0.0.1", port))])
            began_s = time.monotonic()
            sock = await Dialler("x.test", port, there).dial()  # type: ignore[arg-type]
            assert 0.2 < time.monotonic() - began_s < 60.0, "the system gives up after minutes"
            assert sock.getpeername()[1] == port
            sock.close()

    dialled(work)


def test_an_address_that_refuses_is_followed_by_the_next_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dial, "HEAD_START_S", 30.0)

    async def work(loop: asyncio.AbstractEventLoop, port: int) -> None:
        with closed_port() as refusing:
            there = Resolved(
                loop,
                [(V6, ("::1", refusing, 0, 0)), (V4, ("127.0.0.1", refusing)), (V4, ("127.0.0.1", port))],
            )
            began_s = time.monotonic()
            sock = await Dialler("x.test", port, there).dial()  # type: ignore[arg-type]
            assert time.monotonic() - began_s < 25.0
            sock.close()

    dialled(work)


def test_where_every_address_refuses_the_first_refusal_is_told() -> None:
    async def work(loop: asyncio.AbstractEventLoop, port: int) -> None:
        with closed_port() as one, closed_port() as two:
            there = Resolved(loop, [(V4, ("127.0.0.1", one)), (V4, ("127.0.0.1", two))])
            with pytest.raises(OSError, match=str(one)):
                await Dialler("x.test", port, there).dial()  # type: ignore[arg-type]

    dialled(work)


@pytest.mark.slow
def test_cancelled_at_any_moment_no_socket_is_left() -> None:
    open_before: list[int] = []

    async def work(loop: asyncio.AbstractEventLoop, port: int) -> None:
        with black_hole() as dead:
            places = [(V4, ("127.0.0.1", dead)), (V4, ("127.0.0.1", port)), (V4, ("127.0.0.1", port))]
            open_before.append(_sockets_to(dead, port))
            for turns in range(8):
                there = Resolved(loop, places)
                task = loop.create_task(Dialler("x.test", port, there).dial())  # type: ignore[arg-type]
                await asyncio.sleep(turns * 0.04)
                if not task.cancel():
                    task.result().close()
                else:
                    with pytest.raises(asyncio.CancelledError):
                        await task
            await asyncio.sleep(0.05)
            assert _sockets_to(dead, port) == open_before[0]

    dialled(work)


def _sockets_to(*ports: int) -> int:
    """Client sockets of this process that are connected, or about to be, to one of the ports."""
    wanted = {f"{port:04X}" for port in ports}
    with open("/proc/self/net/tcp") as table:
        rows = [line.split() for line in list(table)[1:]]
    return sum(row[2].rpartition(":")[2] in wanted and row[3] in ("01", "02") for row in rows)


def test_a_resolver_that_fails_or_hangs_is_bridged_by_the_last_good_addresses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dial, "RESOLVE_S", 0.1)

    async def hang() -> Any:
        await asyncio.sleep(60)

    async def work(loop: asyncio.AbstractEventLoop, port: int) -> None:
        good = [(V4, ("127.0.0.1", port))]
        gone = socket.gaierror(-3, "Temporary failure in name resolution")
        there = Resolved(loop, good, gone, hang, gone)
        dialler = Dialler("x.test", port, there)  # type: ignore[arg-type]
        for _ in range(3):
            (await dialler.dial()).close()
        dialler._last_good_s -= dial.LAST_GOOD_S + 1
        with pytest.raises(socket.gaierror):
            await dialler.dial()

    dialled(work)


def test_a_name_that_is_none_is_an_error_of_the_connection() -> None:
    async def work(loop: asyncio.AbstractEventLoop, port: int) -> None:
        for name in ("x" * 64 + ".test", "a..test"):
            with pytest.raises(OSError):
                await Dialler(name, port, loop).dial()

    dialled(work)


def test_the_families_take_turns_and_no_address_is_tried_twice() -> None:
    six = [(V6, (f"::{index}", 1, 0, 0)) for index in (1, 2, 3, 1)]
    four = [(V4, ("127.0.0.1", 1))]
    assert [family for family, _ in in_turn([*six, *four])] == [V6, V4, V6, V6]
    assert in_turn([]) == ()


def test_a_connection_shows_signs_of_life_while_a_model_thinks() -> None:
    async def work(loop: asyncio.AbstractEventLoop, port: int) -> None:
        sock = await Dialler("127.0.0.1", port, loop).dial()
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == dial.KEEP_ALIVE_S
        sock.close()

    dialled(work)
