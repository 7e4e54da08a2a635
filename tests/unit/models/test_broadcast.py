"""One stream for several clients, each at its own pace."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import pytest

from farthing.config import CallConfig
from farthing.dialects.chat.streams.event_reader import EventReader
from farthing.errors import ContractExceeded, ProviderUnavailable, StreamBroken
from farthing.models.broadcast import Broadcast
from farthing.models.calling.request import CallResult
from farthing.models.health.health import Health
from farthing.models.stream import Stream, Within
from farthing.types import Answer, Attempt, Target

NEVER_S = 1e18
TARGET = Target(name="a/m", provider="a", model="m")


def chunk(number: int, size: int = 0) -> bytes:
    text = f"{number:04d}".ljust(size, ".")
    return b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % text.encode()


class Upstream:
    """An exchange whose pieces the test brings."""

    status = 200
    headers: Mapping[bytes, bytes] = {}

    def __init__(self) -> None:
        self.paused = False
        self.closed = False

    def relay(self, data: Callable[[bytes], None], end: Callable[[Exception | None], None]) -> None:
        self.data, self.end = data, end

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def leave(self) -> None:
        self.closed = True

    def close(self) -> None:
        self.closed = True

    def limit(self, *, idle_s: float, limit_s: float, bytes_max: int, now_s: float) -> None:
        pass

    async def read(self, bytes_max: int, *, within_s: float | None = None) -> bytes:
        raise AssertionError


class Client:
    """A sink that can fall behind."""

    def __init__(self) -> None:
        self.got = b""
        self.pause: Callable[[], None] = lambda: None
        self.resume: Callable[[], None] = lambda: None

    def send(self, events: bytes) -> None:
        self.got += events

    def when_writable(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self.pause, self.resume = pause, resume

    def outlive(self, left: Callable[[Callable[[], None]], bool]) -> None:
        raise AssertionError

    def returned(self, lines: bytes) -> None:
        raise AssertionError

    def closing(self, reply: Answer) -> Answer:
        return reply


class Scene:
    """A stream that has begun, its leader, and those who follow."""

    def __init__(self, held_bytes_max: int = 10_000) -> None:
        self.upstream = Upstream()
        within = Within(
            first_s=NEVER_S,
            whole_s=NEVER_S,
            idle_s=NEVER_S,
            end_s=NEVER_S,
            deadline_s=None,
            bytes_max=1_000_000,
        )
        self.stream = Stream(
            self.upstream,
            within,
            EventReader(10_000),
            choices=1,
            keep_bytes_max=held_bytes_max,
            output_chunks_max=None,
            in_answer=lambda body: ProviderUnavailable(body.decode()),
        )
        self.result = CallResult(
            TARGET, Attempt(target="a/m", tier="t", started_ms=0), Health(CallConfig(), lambda: 0.0)
        )
        self.result.stream = self.stream
        self.leader = Client()
        self.broadcast = Broadcast(self.result, self.leader, held_bytes_max=held_bytes_max)
        self.outgrown = 0

    async def begin(self) -> "asyncio.Task[None]":
        opening = asyncio.get_running_loop().create_task(self.stream.open())
        await asyncio.sleep(0)
        self.bring(0)
        await opening
        return await task(self.broadcast.relay(self._outgrown))

    def _outgrown(self) -> None:
        self.outgrown += 1

    def bring(self, number: int, size: int = 0) -> None:
        self.upstream.data(chunk(number, size))

    def finish(self) -> None:
        self.upstream.data(b"data: [DONE]\n\n")


async def task(what: Awaitable[None]) -> "asyncio.Task[None]":
    """Begin it, and let it run to its first wait."""

    async def run() -> None:
        await what

    begun = asyncio.get_running_loop().create_task(run())
    await turns()
    return begun


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def all_of(count: int) -> bytes:
    return b"".join(map(chunk, range(count)))


def test_everyone_gets_all_of_it_whenever_they_come() -> None:
    async def go() -> None:
        scene = Scene()
        leading = await scene.begin()
        scene.bring(1)
        early, late = Client(), Client()
        following = [await task(scene.broadcast.follow(early))]
        assert early.got == scene.leader.got == all_of(2)
        scene.bring(2)
        following.append(await task(scene.broadcast.follow(late)))
        scene.bring(3)
        assert early.got == late.got == scene.leader.got == all_of(4)
        scene.finish()
        await leading
        assert not any(one.done() for one in following), "until the leader has accounted for it"
        scene.broadcast.end(None)
        await asyncio.gather(*following)

    asyncio.run(go())


def test_one_who_is_behind_keeps_its_place_and_holds_up_nobody() -> None:
    async def go() -> None:
        scene = Scene()
        leading = await scene.begin()
        slow, quick = Client(), Client()
        following = [await task(scene.broadcast.follow(client)) for client in (slow, quick)]
        slow.pause()
        scene.bring(1)
        scene.bring(2)
        assert not scene.upstream.paused
        assert (slow.got, quick.got, scene.leader.got) == (all_of(1), all_of(3), all_of(3))
        scene.finish()
        await leading
        scene.broadcast.end(None)
        await turns()
        assert [one.done() for one in following] == [False, True]
        slow.resume()
        await asyncio.gather(*following)
        assert slow.got == all_of(3)

    asyncio.run(go())


def test_a_leader_who_is_behind_at_the_end_holds_up_nobody_and_gets_the_rest() -> None:
    async def go() -> None:
        scene = Scene()
        leading = await scene.begin()
        quick = Client()
        following = await task(scene.broadcast.follow(quick))
        scene.leader.pause()
        scene.bring(1)
        scene.finish()
        await leading
        scene.broadcast.end(None)
        await following
        taking = await task(scene.broadcast.caught_up())
        assert quick.got == all_of(2) and scene.leader.got == all_of(1) and not taking.done()
        scene.leader.resume()
        await taking
        assert scene.leader.got == all_of(2)

    asyncio.run(go())


def test_a_leader_who_is_behind_when_it_breaks_gets_what_came_before_it_is_told() -> None:
    async def go() -> None:
        scene = Scene()
        leading = await scene.begin()
        quick = Client()
        following = await task(scene.broadcast.follow(quick))
        scene.leader.pause()
        scene.bring(1)
        scene.upstream.end(ProviderUnavailable("reset"))
        with pytest.raises(StreamBroken):
            await following
        assert not leading.done() and scene.outgrown == 1, "nobody waits for the whole of it"
        scene.leader.resume()
        with pytest.raises(StreamBroken):
            await leading
        assert scene.leader.got == quick.got == all_of(2)

    asyncio.run(go())


def test_the_provider_waits_only_while_all_are_behind() -> None:
    async def go() -> None:
        scene = Scene()
        await scene.begin()
        follower = Client()
        following = await task(scene.broadcast.follow(follower))
        scene.leader.pause()
        assert not scene.upstream.paused
        follower.pause()
        assert scene.upstream.paused
        scene.leader.resume()
        assert not scene.upstream.paused
        scene.leader.pause()
        assert scene.upstream.paused
        following.cancel()
        await turns()
        assert scene.upstream.paused, "its leader is behind still"
        scene.broadcast.leader_left()
        assert not scene.upstream.paused

    asyncio.run(go())


def test_a_leader_that_was_behind_when_somebody_came_is_behind_still() -> None:
    async def go() -> None:
        scene = Scene()
        await scene.begin()
        scene.leader.pause()
        assert scene.upstream.paused
        scene.leader.when_writable = _behind  # type: ignore[method-assign]
        await task(scene.broadcast.follow(Client()))
        assert not scene.upstream.paused, "the follower can read"

    def _behind(pause: Callable[[], None], resume: Callable[[], None]) -> None:
        pause()

    asyncio.run(go())


def test_a_follower_a_whole_list_behind_is_cut_and_told_why() -> None:
    async def go() -> None:
        scene = Scene(held_bytes_max=1_000)
        leading = await scene.begin()
        slow, quick = Client(), Client()
        following = [await task(scene.broadcast.follow(client)) for client in (slow, quick)]
        slow.pause()
        assert scene.broadcast.open
        for number in range(1, 100):
            scene.bring(number)
        assert scene.outgrown == 1 and not scene.broadcast.open
        with pytest.raises(StreamBroken, match="fell more than 1000 bytes behind"):
            await following[0]
        assert slow.got == all_of(1)
        scene.finish()
        await leading
        scene.broadcast.end(None)
        await following[1]
        assert quick.got == scene.leader.got == all_of(100)

    asyncio.run(go())


def test_a_follower_that_is_still_given_what_came_before_is_not_slow() -> None:
    async def go() -> None:
        scene = Scene(held_bytes_max=300_000)
        leading = await scene.begin()
        for number in range(1, 4):
            scene.bring(number, 90_000)
        client = Client()
        following = asyncio.ensure_future(scene.broadcast.follow(client))
        await asyncio.sleep(0)
        scene.bring(4, 200_000)
        assert scene.upstream.paused, "it waits until the follower has had what a turn of the loop gives it"
        await turns()
        assert not scene.upstream.paused
        scene.finish()
        await leading
        scene.broadcast.end(None)
        await following
        assert client.got == scene.leader.got

    asyncio.run(go())


def test_a_leader_a_whole_list_behind_paces_its_provider() -> None:
    async def go() -> None:
        scene = Scene(held_bytes_max=1_000)
        leading = await scene.begin()
        quick = Client()
        following = await task(scene.broadcast.follow(quick))
        scene.leader.pause()
        sent = 1
        while not scene.upstream.paused:
            scene.bring(sent)
            sent += 1
        assert 10 < sent < 40 and quick.got == all_of(sent)
        scene.leader.resume()
        await turns()
        assert not scene.upstream.paused and scene.leader.got == all_of(sent)
        scene.finish()
        await leading
        scene.broadcast.end(None)
        await following

    asyncio.run(go())


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (StreamBroken("it broke"), StreamBroken),
        (ContractExceeded("too late", limit="deadline_s"), ContractExceeded),
        (asyncio.CancelledError("draining"), StreamBroken),
        (RuntimeError("a bug"), StreamBroken),
    ],
)
def test_who_saw_a_part_is_told_how_it_ended_after_all_that_came(
    error: BaseException, raised: type[Exception]
) -> None:
    async def go() -> None:
        scene = Scene()
        await scene.begin()
        client = Client()
        following = await task(scene.broadcast.follow(client))
        client.pause()
        scene.bring(1)
        scene.broadcast.end(error)
        await turns()
        assert not following.done()
        client.resume()
        with pytest.raises(raised):
            await following
        assert client.got == all_of(2)

    asyncio.run(go())


@pytest.mark.parametrize("begun", [False, True])
def test_without_its_leader_it_goes_on_for_the_others(begun: bool) -> None:
    async def go() -> None:
        scene = Scene()
        if begun:
            leading = await scene.begin()
            scene.leader.pause()
            scene.broadcast.leader_left()
            assert not scene.upstream.paused
        else:
            scene.broadcast.leader_left()
            leading = await scene.begin()
        before = scene.leader.got
        client = Client()
        following = await task(scene.broadcast.follow(client))
        scene.bring(1)
        scene.finish()
        await leading
        scene.broadcast.end(None)
        await following
        assert client.got == all_of(2) and scene.leader.got == before

    asyncio.run(go())
