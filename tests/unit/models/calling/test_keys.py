"""Keys that are refused: all of an address are gone through, whatever else bounds the calls of a request."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests import virtual
from tests.sim.calling import GOOD, Answered, Desk, Plant

from farthing.config import CallConfig, OpenAIProviderConfig
from farthing.errors import NoProviderLeft
from farthing.models.lanes.pick import Place
from farthing.types import Json
from farthing.wiring.providers import build_provider

KEYS = 6


def refused(status: int, message: str, **more: Any) -> Answered:
    return Answered(status, {}, json.dumps({"error": {"message": message, **more}}).encode())


REFUSALS = {
    "401": lambda: refused(401, "bad key", code="invalid_api_key"),
    "402": lambda: refused(402, "Insufficient credits"),
    "Anthropic": lambda: refused(
        400,
        "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade "
        "or purchase credits.",
        type="invalid_request_error",
    ),
    "xAI": lambda: Answered(
        400,
        {},
        b'{"code":"Client specified an invalid argument","error":"Incorrect API key provided: na***ys. You '
        b'can obtain an API key from https://console.x.ai."}',
    ),
    "DashScope": lambda: refused(
        400, "Access denied, please make sure your account is in good standing.", code="Arrearage"
    ),
    "Moonshot": lambda: refused(
        429, "Your account is suspended", type="exceeded_current_quota_error"
    ),
    "Fireworks": lambda: refused(
        412,
        "Account some is suspended, possibly due to reaching the monthly spending limit or failure to pay "
        "past invoices.",
        code="PRECONDITION_FAILED",
    ),
}  # fmt: skip


class Refusing(Plant):
    """Answers `refusal` so many times, and well after that."""

    def __init__(self, refusal: Callable[[], Answered], times: int) -> None:
        super().__init__()
        self._refusal = refusal
        self._times = times

    async def answer(self, first_byte_s: float) -> Answered:
        self.calls.append((0.0, 0))
        return self._refusal() if len(self.calls) <= self._times else Answered(200, {}, GOOD)


def desk(plant: Plant, attempts_max: int = 3) -> Desk:
    """With `KEYS` keys of `a`, whose calls are `plant`'s, before `b`."""
    found = Desk({"a": plant, "b": Plant()}, config=CallConfig(attempts_max=attempts_max))
    provider = build_provider("a", OpenAIProviderConfig(base_url="http://a/v1"), {})
    places = [Place(provider, label=f"key {n}", address="http://a/v1", identity=str(n)) for n in range(KEYS)]
    found.caller.use_lanes({"a": places})
    return found


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
def test_each_key_of_an_address_is_tried_until_one_is_taken(refusal: Callable[[], Answered]) -> None:
    async def main() -> None:
        plant = Refusing(refusal, KEYS - 1)
        asked = desk(plant)
        outcome = await asked.ask(asked.targets[:1])
        assert outcome.error is None, outcome.error
        assert len(plant.calls) == len(outcome.receipt.attempts) == KEYS
        again = await asked.ask(asked.targets[:1])
        assert again.error is None and len(again.receipt.attempts) == 1, "the others rest"

    virtual.run(main())


def test_an_address_whose_keys_are_all_refused_counts_as_one_call() -> None:
    async def main() -> None:
        plant = Refusing(REFUSALS["401"], 99)
        asked = desk(plant, attempts_max=2)
        outcome = await asked.ask()
        assert outcome.target == "b/m" and len(plant.calls) == KEYS
        alone = await asked.ask(asked.targets[:1])
        assert isinstance(alone.error, NoProviderLeft) and len(plant.calls) <= 2 * KEYS

    virtual.run(main())


def test_keys_that_are_busy_count_each() -> None:
    async def main() -> None:
        plant = Refusing(lambda: refused(429, "slow down", code="rate_limit_exceeded"), KEYS)
        outcome = await desk(plant).ask()
        assert outcome.target == "b/m" and len(plant.calls) == 2

    virtual.run(main())


@pytest.mark.parametrize("name", ["Anthropic", "xAI"])
def test_words_that_the_request_has_itself_are_no_refusal_of_a_key(name: str) -> None:
    words = "your CREDIT balance is too low" if name == "Anthropic" else "Incorrect API Key provided"
    body: Json = {"model": "auto", "messages": [{"role": "user", "content": f"It says: {words}"}]}

    async def main() -> None:
        plant = Refusing(REFUSALS[name], 1)
        asked = desk(plant)
        outcome = await asked.ask(asked.targets[:1], body=body)
        assert isinstance(outcome.error, NoProviderLeft) and outcome.error.status == 400
        assert len(plant.calls) == 1

    virtual.run(main())
