"""What the settings of prompt caches come to."""

import asyncio

import pytest
from tests.wired import parts_in_memory

from farthing import config as configuration
from farthing.brain.route.cascade import CascadeRouter
from farthing.brain.route.rules import RulesRouter
from farthing.brain.route.warm import WarmRouter
from farthing.ledger.memory import MemoryLedger
from farthing.pipeline.steps import Steps
from farthing.wiring.build import build

TIERS = """
[providers.a]
base_url = "http://127.0.0.1:1/v1"
[tiers.cheap]
targets = ["a/small"]
[tiers.expensive]
targets = ["a/large"]
"""
OWN_RULE = '[[route.rules]]\nwhen = \'task == "tag"\'\ntier = "cheap"\n'
CASCADE = '[endpoints.faq.cascade]\nfirst = "cheap"\nthen = "expensive"\nchecks = [{ kind = "plain" }]\n'


def steps_of(text: str) -> Steps:
    async def built() -> Steps:
        parts = parts_in_memory(MemoryLedger())
        config = configuration.loads(TIERS + text, {})
        try:
            return build(config, parts).steps
        finally:
            await parts.aclose()

    return asyncio.run(built())


@pytest.mark.parametrize(
    ("text", "stays"),
    [
        ("", True),
        (OWN_RULE, False),
        (f"{OWN_RULE}[prompt_cache]\nstay = true\n", True),
        ("[prompt_cache]\nstay = false\n", False),
        ("[prompt_cache]\nmeasure = false\n", False),
        (f"{OWN_RULE}[prompt_cache]\nstay = true\nmeasure = false\n", False),
    ],
)
def test_sessions_stay_by_default_under_shipped_rules_alone(text: str, stays: bool) -> None:
    router = steps_of(text).router
    assert isinstance(router, WarmRouter if stays else RulesRouter)
    assert router.immediate


@pytest.mark.parametrize(
    ("text", "stays"), [("", True), (OWN_RULE, True), ("[prompt_cache]\nstay = false\n", False)]
)
def test_a_cascade_goes_straight_to_what_is_warm_by_default(text: str, stays: bool) -> None:
    router = steps_of(f"{CASCADE}{text}").router
    assert isinstance(router, CascadeRouter)
    assert (router._stays is not None) == stays


def test_what_is_not_measured_costs_nothing() -> None:
    assert steps_of("").caller.context.prompt_caches is not None
    assert steps_of("[prompt_cache]\nmeasure = false\n").caller.context.prompt_caches is None
