"""Why the first target of a route was not called stands on the receipt; that of a request that ended, in the
log."""

import asyncio
import logging
from collections.abc import Callable

import pytest
from tests import virtual
from tests.sim.calling import Desk, Plant
from tests.unit.models.calling.test_keys import desk as with_keys
from tests.unit.models.calling.test_once_more import fill

from farthing.errors import ProviderBusy, ProviderUnavailable
from farthing.models.calling.telling import Telling
from farthing.models.health.health import IN_A_ROW_MAX, Health
from farthing.models.lanes.pick import Lanes
from farthing.models.retry import Failed
from farthing.types import Route


def busy(health: Health) -> None:
    health.failed(ProviderBusy("busy", upstream_status=429, retry_after_s=30.0, again=True))


def failing(health: Health) -> None:
    for _ in range(IN_A_ROW_MAX):
        health.failed(ProviderUnavailable("down", upstream_status=503), health.begin())


def ejected(health: Health) -> None:
    health.suspect = health.ejection.active = True
    health.ejection.tried(health._clock())


@pytest.mark.parametrize(
    ("why", "done"),
    [("paused 29.0 s", busy), ("breaker_open", failing), ("ejected", ejected)],
)
def test_why_the_first_target_of_a_route_was_not_called_stands_on_the_receipt(
    why: str, done: Callable[[Health], None]
) -> None:
    async def main() -> None:
        asked = Desk({"a": Plant(), "b": Plant()})
        done(asked.caller.health(asked.targets[0]))
        await asyncio.sleep(1.0)
        found = await asked.ask()
        assert found.target == "b/m"
        assert found.receipt.skipped["a/m"].startswith(why)
        alone = await asked.ask(asked.targets[:1])
        assert not alone.receipt.skipped or not alone.receipt.attempts, "one that is called was not skipped"

    virtual.run(main())


def test_one_that_is_full_is_said_to_be_and_one_that_is_called_after_all_is_not() -> None:
    async def main() -> None:
        asked = Desk({"a": Plant(), "b": Plant()})
        fill(asked, asked.targets[0])
        assert (await asked.ask()).receipt.skipped == {"a/m": "full"}
        fill(asked, asked.targets[0])
        found = await asked.ask(asked.targets[:1])
        assert (found.target, found.receipt.skipped) == ("a/m", {})
        assert (await asked.ask()).receipt.skipped == {}

    virtual.run(main())


def test_of_several_lanes_the_one_that_is_back_first_says_why() -> None:
    async def main() -> None:
        asked = with_keys(Plant())
        lanes = asked.caller.context.ways.open(asked.targets[0])
        assert isinstance(lanes, Lanes)
        for number, lane in enumerate(lanes.all):
            error = ProviderBusy("busy", upstream_status=429, retry_after_s=5.0 + number, again=True)
            lane.health.failed(error)
        assert (await asked.ask()).receipt.skipped == {"a/m": "paused 5.0 s"}

    virtual.run(main())


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_request_that_goes_on_is_not_said_to_have_failed(
    goes_on: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        target = Desk({"a": Plant()}).targets[0]
        error = ProviderUnavailable("down", upstream_status=503)
        route = Route(tier="t", targets=(target,), reason="a test")
        Telling(lambda: 0.0).of_end(route, [Failed(target, error)], [error], goes_on=goes_on)

    virtual.run(main())
    (told,) = caplog.records
    assert told.levelno == (logging.WARNING if goes_on else logging.ERROR)
    assert ("a request failed" in told.getMessage()) is not goes_on
