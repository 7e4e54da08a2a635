"""The prompt-cache plan adds up what calls had from prompt caches, and unknown stays unknown."""

import pytest

from farthing.insight.prompt_cache import words
from farthing.insight.prompt_cache.plan import PlanSums, lines
from farthing.insight.prompt_cache.session import UnknownSession, gather, story
from farthing.types import Attempt, PromptCacheResult, PromptCacheUse, Receipt, Usage, replace

READ = PromptCacheUse(
    result="read", missed_tokens=0, missed_nusd=0, saved_nusd=9_000_000, written_nusd=40_000
)


def receipt(*uses: PromptCacheUse | None, session: str = "s", cached: int = 800, at: float = 1.0) -> Receipt:
    usage = Usage(input_tokens=1_000, cached_tokens=cached, cache_write_5m_tokens=100)
    attempts = [
        Attempt(target="a/b", tier="t", started_ms=1.0, usage=usage, prompt_cache=use) for use in uses
    ]
    return Receipt(
        request_id=f"r{at:g}", at_unix_s=at, started_s=0.0, session=session, tenant="acme", attempts=attempts
    )


def test_tokens_are_read_missed_or_new_and_money_is_added_up() -> None:
    sums = PlanSums()
    changed = PromptCacheUse(
        result="changed", missed_tokens=700, missed_nusd=5_000_000, saved_nusd=-40_000, written_nusd=40_000,
        segment="message 7", byte=0,
    )  # fmt: skip
    sums.add(receipt(READ, changed))
    sums.add(receipt(replace(changed, segment="system")))
    plan = sums.plan("agents")
    assert (plan.calls, plan.input_tokens, plan.read_tokens, plan.written_tokens) == (3, 3_000, 2_400, 300)
    assert (plan.missed_tokens, plan.new_tokens) == (1_400, 0)
    assert (plan.saved_nusd, plan.written_nusd, plan.money_unknown) == (8_920_000, 120_000, 0)
    (miss,) = plan.misses
    assert (miss.calls, miss.tokens, miss.cost_nusd) == (2, 1_400, 10_000_000)
    assert miss.segments == {"messages": 1, "system": 1}
    first, second = lines(plan)
    assert first == (
        "agents: of 3,000 input tokens in 3 calls 80.0% were read, 10.0% written, 46.7% missed; "
        "caching saved $0.00892, its writes cost $0.00012"
    )
    assert second.startswith(
        "  prompt changed (messages 1, system 1): 2 calls, 1,400 tokens, $0.01 more: keep"
    )


def test_what_costs_more_than_it_saves_is_told_as_a_cost() -> None:
    sums = PlanSums()
    sums.add(receipt(replace(READ, saved_nusd=-40_000)))
    assert "caching cost $0.00004, its writes cost $0.00004" in next(lines(sums.plan("x")))


def test_unknown_is_counted_beside_the_sums() -> None:
    sums = PlanSums()
    sums.add(receipt(PromptCacheUse(result="untold"), None, cached=0))
    plan = sums.plan("x")
    assert (plan.calls, plan.not_measured, plan.input_tokens, plan.read_share) == (1, 1, 0, None)
    assert (plan.saved_nusd, plan.money_unknown) == (None, 1)
    (miss,) = plan.misses
    assert (miss.tokens, miss.cost_nusd, miss.cost_unknown) == (None, None, 1)
    told = list(lines(plan))
    assert (
        told[0] == "x: 1 call, of which providers do not tell what they read; what caching saved is unknown"
    )
    assert told[1].startswith("  provider tells nothing: 1 call, tokens unknown, unknown: ")


def test_checks_of_a_cascade_are_no_calls_of_the_plan() -> None:
    sums = PlanSums()
    one = receipt(READ)
    one.attempts[0].tier = "check:judge"
    sums.add(one)
    assert (sums.plan("x").calls, sums.plan("x").not_measured) == (0, 0)


@pytest.mark.parametrize("result", words.REASONS)
def test_each_reason_has_words_of_its_own_and_what_helps(result: PromptCacheResult) -> None:
    use = PromptCacheUse(
        result=result,
        missed_tokens=5,
        missed_nusd=None,
        segment="tools",
        byte=7,
        idle_s=900.0,
        switched_from="a/c",
    )
    told = words.told(use, Usage(input_tokens=9, cached_tokens=3))
    assert words.reason(use) in told
    assert "{" not in told
    assert result == "read" or words.FIXES[result]


def test_a_switch_of_speed_names_no_target() -> None:
    assert words.reason(PromptCacheUse(result="model")) == (
        "the session ran in another service tier or speed before"
    )


def test_a_session_is_told_call_by_call_in_order() -> None:
    first = PromptCacheUse(
        result="first", missed_tokens=1_000, missed_nusd=3_000_000, saved_nusd=-25_000, written_nusd=25_000
    )
    rows = [receipt(READ, at=2.0), receipt(first, cached=0, at=1.0), receipt(READ, session="other", at=3.0)]
    found = gather(iter(rows), "s")
    assert [call.request_id for call in found.calls] == ["r1", "r2"]
    head, one, two, *plan = story(found)
    assert head == "Session s, tenant acme: 2 requests, 2 calls"
    assert one.endswith(
        "0 of 1,000 tokens read, 100 written: the first call of its session; caching cost $0.000025, its "
        "writes cost $0.000025; 1,000 tokens missed for $0.003 more"
    )
    assert "read as far as the session had sent it before; caching saved $0.009" in two
    assert plan[0].startswith("all: of 2,000 input tokens in 2 calls 40.0% were read")
    with pytest.raises(UnknownSession, match="report --by session"):
        gather(iter(rows), "nobody")
