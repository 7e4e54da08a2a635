"""A router with cascades chooses as the one within, and adds what to ask when the first answer is doubted."""

import asyncio
from typing import Any, Literal

import pytest
from tests.asking import asked

from farthing.brain.route.cascade import CascadeRouter, Steps
from farthing.brain.route.rules import Policy, RulesRouter
from farthing.config import DirectConfig, RuleConfig
from farthing.types import Endpoint, Route, Target, Traits

MINI = Target(name="a/mini", provider="a", model="mini", context_tokens_max=1_000)
BIG = Target(name="a/big", provider="a", model="big", context_tokens_max=1_000)
HUGE = Target(name="a/huge", provider="a", model="huge")
FAQ = Endpoint(name="faq")


def router(streams: Literal["wait", "skip"] = "wait", *rules: RuleConfig) -> CascadeRouter:
    within = RulesRouter(
        Policy(
            tiers={"cheap": (MINI,), "expensive": (BIG, HUGE), "other": (HUGE,)},
            targets={one.name: one for one in (MINI, BIG, HUGE)},
            aliases={"small": "cheap"},
            rules=rules,
            default_tier="cheap",
            endpoints=("faq",),
            directs=(DirectConfig(name="hours", text="Nine to five.", phrases=("when are you open",)),),
        )
    )
    steps = Steps(first="cheap", then="expensive", streams=streams)
    return CascadeRouter(within, {"faq": steps}, to_tier=within.to_tier, tiers=within.tiers)


def routed(of: CascadeRouter, traits: Traits | None = None, **changes: Any) -> Route:
    request = asked(**{"endpoint": FAQ, **changes})
    return asyncio.run(of.route(request, traits or Traits()))


def test_the_first_tier_gets_the_other_one_as_its_escalation() -> None:
    route = routed(router())
    assert (route.tier, route.targets) == ("cheap", (MINI,))
    assert route.escalation is not None
    assert (route.escalation.tier, route.escalation.targets) == ("expensive", (BIG, HUGE))
    assert route.escalation.reason == "escalated from cheap by a check"


def test_the_escalation_leaves_out_targets_that_are_too_small_for_the_prompt() -> None:
    route = routed(router(), Traits(input_tokens=5_000))
    assert route.escalation is not None and route.escalation.targets == (HUGE,)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "a/mini"},
        {"model": "mini"},
        {"model": "cheap"},
        {"tier": "cheap"},
        {"endpoint": Endpoint(name="another")},
        {"endpoint": Endpoint(name="faq", tier="other")},
        {"text": "When are you open?"},
    ],
)
def test_what_the_client_names_and_other_tiers_and_endpoints_are_left_as_they_are(
    changes: dict[str, Any],
) -> None:
    text = changes.pop("text", None)
    body = {"messages": [{"role": "user", "content": text}], "model": "auto"}
    route = routed(router(), **changes, **({"body": body, "text": text} if text else {}))
    assert route.escalation is None


def test_an_alias_for_a_tier_leaves_the_choice_to_us() -> None:
    assert routed(router(), model="small").escalation is not None


def test_a_rule_that_escalates_elsewhere_keeps_its_word() -> None:
    rule = RuleConfig(when="stream", tier="cheap", escalate="other")
    route = routed(router("skip", rule), stream=True)
    assert route.escalation is not None and route.escalation.tier == "other"


def test_a_stream_waits_or_skips_as_the_endpoint_says() -> None:
    assert routed(router("wait"), stream=True).escalation is not None
    route = routed(router("skip"), stream=True)
    assert (route.tier, route.targets, route.escalation) == ("expensive", (BIG, HUGE), None)
    assert "streamed" in route.reason
    assert routed(router("skip"), stream=False).escalation is not None


def test_the_fallback_is_cascaded_too() -> None:
    assert router().fallback(asked(endpoint=FAQ)).escalation is not None
    assert router().fallback(asked(endpoint=FAQ, model="a/mini")).escalation is None
