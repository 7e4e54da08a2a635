"""The targets that are called where none is left: full, doubted by the catalogue, or at rest."""

import asyncio
from collections.abc import Callable

import pytest
from tests import virtual
from tests.sim.calling import GOOD, Answered, Desk, Plant

from farthing.errors import NoProviderLeft, ProviderUnavailable
from farthing.protocols import Credentials
from farthing.types import Target, replace

REFUSED = b'{"error": {"message": "no such key", "code": "invalid_api_key"}}'
UNTAKEN = (
    b'{"error": {"message": "Unsupported parameter: \'user\'", "type": "invalid_request_error",'
    b' "param": "user", "code": "unsupported_parameter"}}'
)
NO_IMAGES = b'{"error": {"message": "this model reads no images", "code": "invalid_request"}}'
PIXEL = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
PICTURED = {"model": "auto", "messages": [{"role": "user", "content": [PIXEL]}]}


def good() -> Answered:
    return Answered(200, {}, GOOD)


def stale() -> Answered:
    raise ProviderUnavailable("the connection was closed", nothing_received=True)


class Scripted(Plant):
    """Answers as each entry says, and well after the last."""

    def __init__(self, *entries: Callable[[], Answered]) -> None:
        super().__init__()
        self._entries = list(entries)

    async def answer(self, first_byte_s: float) -> Answered:
        entry = self._entries.pop(0) if self._entries else good
        self.calls.append((asyncio.get_running_loop().time(), 0))
        return entry()


class Tokens(Credentials):
    """See `protocols.Credentials`."""

    def __init__(self) -> None:
        self.number = 1

    async def ready(self, within_s: float) -> int:
        return self.number

    def refused(self, number: int, *, lacks_right: bool = False) -> bool:
        self.number += 1
        return True


def fill(desk: Desk, target: Target) -> None:
    """Let it be full for half a second: it takes one call, and has it."""
    limits = desk.caller.health(target).limits
    for _ in range(2):
        limits.begin(10)
    limits.refused(2, desk.clock())
    limits.leave()
    asyncio.get_running_loop().call_later(0.5, limits.leave)


@pytest.mark.parametrize(
    "first",
    [stale, lambda: Answered(401, {}, REFUSED), lambda: Answered(400, {}, UNTAKEN)],
    ids=["a stale connection", "an expired token", "a parameter that is not taken"],
)
@pytest.mark.parametrize("full", [False, True])
def test_what_may_succeed_at_once_is_asked_again_at_once_also_after_waiting(
    first: Callable[[], Answered], full: bool
) -> None:
    async def main() -> None:
        plant = Scripted(first)
        desk = Desk({"a": plant})
        desk.caller.context.providers["a"].credentials = Tokens()
        body = {"model": "auto", "messages": [{"role": "user", "content": "q"}], "user": "u"}
        if full:
            fill(desk, desk.targets[0])
        found = await desk.ask(body=body)
        assert found.target == "a/m", found.error
        assert (found.receipt.queue_ms > 400) is full
        (began_s, _), (again_s, _) = plant.calls
        assert again_s == began_s, "at once"

    virtual.run(main())


def test_one_that_stays_stale_is_asked_twice_and_no_more() -> None:
    async def main() -> None:
        plant = Scripted(*[stale] * 9)
        desk = Desk({"a": plant})
        fill(desk, desk.targets[0])
        found = await desk.ask()
        assert isinstance(found.error, NoProviderLeft) and len(plant.calls) == 2

    virtual.run(main())


def blind(target: Target) -> Target:
    found: Target = replace(target, lacks=frozenset({"vision"}))
    return found


def test_a_target_that_the_catalogue_doubts_answers_where_the_others_do_not() -> None:
    async def main() -> None:
        seeing, doubted = Plant(), Scripted()
        desk = Desk({"b": doubted, "a": seeing})
        targets = blind(desk.targets[0]), desk.targets[1]
        found = await desk.ask(targets, body=PICTURED, media=True)
        assert (found.target, found.receipt.skipped) == ("a/m", {"b/m": "cannot_say"})
        seeing.down = True
        began_s = desk.clock()
        found = await desk.ask(targets, body=PICTURED, media=True)
        assert (found.target, found.receipt.skipped) == ("b/m", {}), "the list was wrong"
        assert desk.clock() == began_s, "and it is asked before anybody is waited for"

    virtual.run(main())


def test_a_full_target_is_waited_for_before_one_that_the_catalogue_doubts() -> None:
    async def main() -> None:
        doubted = Scripted()
        desk = Desk({"b": doubted, "a": Plant()})
        fill(desk, desk.targets[1])
        found = await desk.ask((blind(desk.targets[0]), desk.targets[1]), body=PICTURED, media=True)
        assert (found.target, doubted.calls) == ("a/m", []) and found.receipt.queue_ms > 400

    virtual.run(main())


def test_that_a_doubted_target_refuses_is_not_what_the_client_is_told() -> None:
    async def main() -> None:
        seeing = Plant()
        seeing.down = True
        desk = Desk({"b": Scripted(lambda: Answered(400, {}, NO_IMAGES)), "a": seeing})
        for _ in range(9):  # its retries are used up
            desk.caller.health(desk.targets[1]).may_retry()
        found = await desk.ask((blind(desk.targets[0]), desk.targets[1]), body=PICTURED, media=True)
        assert isinstance(found.error, NoProviderLeft)
        assert found.error.retry is not False and found.error.status == 502, (
            "another time it may well be answered"
        )

    virtual.run(main())
