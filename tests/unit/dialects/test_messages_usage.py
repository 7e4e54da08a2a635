"""What Messages counts, in our terms."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.dialects.messages.usage import merged, read_usage
from farthing.types import Pass, Usage


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        ({"input_tokens": 40, "output_tokens": 8}, Usage(input_tokens=40, output_tokens=8)),
        (
            {"input_tokens": 10, "cache_read_input_tokens": 8000, "cache_creation_input_tokens": 2000,
             "cache_creation": {"ephemeral_5m_input_tokens": 600, "ephemeral_1h_input_tokens": 1400},
             "output_tokens": 100, "service_tier": "standard"},
            Usage(input_tokens=10_010, output_tokens=100, cached_tokens=8000,
                  cache_write_5m_tokens=600, cache_write_1h_tokens=1400),
        ),
        (
            {"input_tokens": 10, "cache_creation_input_tokens": 1000, "output_tokens": 100},
            Usage(input_tokens=1010, output_tokens=100, cache_write_5m_tokens=1000),
        ),
        (
            {"input_tokens": 1, "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4},
             "server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 5}},
            Usage(input_tokens=1, output_tokens=9, reasoning_tokens=4, fees={"web_search": 3}),
        ),
        (
            {"input_tokens": 1, "output_tokens": 1, "speed": "fast", "inference_geo": "us"},
            Usage(input_tokens=1, output_tokens=1, tier="fast", region="inference_geo_us"),
        ),
        (
            {"input_tokens": 1, "output_tokens": 1, "speed": "standard", "service_tier": "priority",
             "inference_geo": "not_available"},
            Usage(input_tokens=1, output_tokens=1, tier="priority"),
        ),
        (
            {"input_tokens": 2000, "output_tokens": 100, "iterations": [
                {"type": "compaction", "input_tokens": 17_500, "output_tokens": 500},
                {"type": "message", "input_tokens": 2000, "output_tokens": 100}]},
            Usage(input_tokens=19_500, output_tokens=600, passes=(
                Pass(usage=Usage(input_tokens=2000, output_tokens=100)),
                Pass(usage=Usage(input_tokens=17_500, output_tokens=500)))),
        ),
        ({"input_tokens": 5}, Usage(input_tokens=5, estimated=True)),
        ({"output_tokens": 5}, Usage(output_tokens=5, estimated=True)),
        ({"input_tokens": 0, "output_tokens": 0}, None),
        ({"input_tokens": -1, "output_tokens": True}, None),
        ({}, None),
        (None, None),
        ([], None),
    ],
)  # fmt: skip
def test_what_is_told_is_counted_once(told: Any, usage: Usage | None) -> None:
    assert read_usage(told) == usage


OWN = {"type": "message", "input_tokens": 3, "output_tokens": 4}
ADVICE = {"type": "advisor_message", "model": "claude-opus-5", "input_tokens": 9, "output_tokens": 8,
          "cache_creation_input_tokens": 2, "cache_creation": {"ephemeral_1h_input_tokens": 2}}  # fmt: skip
STOOD_IN = {"type": "fallback_message", "model": "claude-haiku-5", "input_tokens": 3, "output_tokens": 7}
ADVISED = Usage(input_tokens=11, output_tokens=8, cache_write_1h_tokens=2)
SERVED = Usage(input_tokens=3, output_tokens=7)
OWNED = Pass(usage=Usage(input_tokens=3, output_tokens=4))


def of(model: str, usage: Usage) -> Pass:
    return Pass(model=model, usage=usage)


@pytest.mark.parametrize(
    ("total", "iterations", "own", "passes"),
    [
        ((3, 4), [OWN, ADVICE], (3, 4), (OWNED, of("claude-opus-5", ADVISED))),
        ((6, 8), [OWN, ADVICE, OWN, ADVICE], (6, 8), (OWNED, OWNED, *(of("claude-opus-5", ADVISED),) * 2)),
        ((3, 4), [OWN, STOOD_IN], (3, 4), (OWNED, of("claude-haiku-5", SERVED))),  # left out of the totals
        ((6, 11), [OWN, STOOD_IN], (3, 4), (OWNED, of("claude-haiku-5", SERVED))),  # in them
        ((3, 7), [OWN, STOOD_IN], (3, 4), (OWNED, of("claude-haiku-5", SERVED))),  # all of them
        ((5, 6), [OWN, STOOD_IN], (5, 6),  # not of them: the total is believed
         (of("", Usage(input_tokens=5, output_tokens=6)), of("claude-haiku-5", SERVED))),
        ((3, 4), [OWN, {**ADVICE, "model": None}], (3, 4), (OWNED, of("advisor_message", ADVISED))),
        ((3, 4), [OWN, {**ADVICE, "type": [], "model": 5}], (3, 4), (OWNED, of("unnamed", ADVISED))),
        ((3, 4), [OWN, {"type": "advisor_message", "model": "m"}], (3, 4), None),
        ((3, 4), [OWN, *({**STOOD_IN, "model": f"m{n}"} for n in range(20))], (3, 4),
         (OWNED, *(of(f"m{n}", SERVED) for n in range(15)),
          of("others", Usage(input_tokens=15, output_tokens=35)))),
        ((63, 84), [OWN] * 21, (63, 84),
         (of("", Usage(input_tokens=18, output_tokens=24)), *(OWNED,) * 15)),
    ],
)  # fmt: skip
def test_each_run_of_a_model_is_kept_apart_and_counted_once(
    total: tuple[int, int], iterations: list[Any], own: tuple[int, int], passes: tuple[Pass, ...] | None
) -> None:
    told = {"input_tokens": total[0], "output_tokens": total[1], "iterations": iterations}
    usage = read_usage(told)
    assert usage is not None and not usage.estimated
    assert (usage.input_tokens, usage.output_tokens) == own
    assert usage.passes == passes


def test_a_compaction_is_counted_with_the_life_of_what_it_wrote() -> None:
    compacted = {**ADVICE, "type": "compaction"}
    usage = read_usage({"input_tokens": 3, "output_tokens": 4, "iterations": [compacted, OWN]})
    assert usage is not None and usage.passes == (OWNED, of("", ADVISED))
    assert (usage.input_tokens, usage.output_tokens, usage.cache_write_1h_tokens) == (14, 12, 2)


def test_counts_as_texts_and_fractions_are_counts() -> None:
    told = {"input_tokens": "40", "output_tokens": 8.0, "cache_read_input_tokens": " 7 "}
    assert read_usage(told) == Usage(input_tokens=47, output_tokens=8, cached_tokens=7)
    assert read_usage({"input_tokens": "many", "output_tokens": 1}) == Usage(output_tokens=1, estimated=True)


def test_later_counts_of_a_stream_replace_earlier_ones_and_what_they_lack_stays() -> None:
    start = {"input_tokens": 10, "cache_read_input_tokens": 8000, "cache_creation_input_tokens": 2000,
             "cache_creation": {"ephemeral_1h_input_tokens": 2000}, "output_tokens": 1}  # fmt: skip
    usage = read_usage(merged(start, {"output_tokens": 100, "cache_read_input_tokens": None}))
    assert usage == Usage(
        input_tokens=10_010, output_tokens=100, cached_tokens=8000, cache_write_1h_tokens=2000
    )
    guessed = merged({"input_tokens": 8834, "output_tokens": 0}, {"input_tokens": 18, "output_tokens": 42,
                     "cache_read_input_tokens": 8816})  # fmt: skip
    assert read_usage(guessed) == Usage(input_tokens=8834, output_tokens=42, cached_tokens=8816)


def test_a_prompt_of_no_tokens_takes_nothing_back() -> None:
    start = {"input_tokens": 10, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 2,
             "cache_creation": {"ephemeral_1h_input_tokens": 2}, "output_tokens": 1}  # fmt: skip
    none = {"input_tokens": 0, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0,
            "cache_creation": {"ephemeral_1h_input_tokens": 0}, "output_tokens": 7}  # fmt: skip
    assert read_usage(merged(start, none)) == Usage(
        input_tokens=17, output_tokens=7, cached_tokens=5, cache_write_1h_tokens=2
    )
    cached = {"input_tokens": 0, "cache_read_input_tokens": 9}
    assert read_usage(merged(none, cached)) == Usage(input_tokens=9, output_tokens=7, cached_tokens=9)


def test_a_split_of_other_counts_is_not_kept() -> None:
    start = {"input_tokens": 1, "cache_creation_input_tokens": 10,
             "cache_creation": {"ephemeral_1h_input_tokens": 10}, "output_tokens": 1}  # fmt: skip
    usage = read_usage(merged(start, {"cache_creation_input_tokens": 4, "output_tokens": 2}))
    assert usage == Usage(input_tokens=5, output_tokens=2, cache_write_5m_tokens=4)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ["input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens",
          "cache_creation", "server_tool_use", "service_tier", "speed", "inference_geo", "iterations",
          "output_tokens_details"]  # fmt: skip


@given(st.dictionaries(st.sampled_from(FIELDS), JSON), JSON)
def test_nothing_raises(told: dict[str, Any], later: Any) -> None:
    read_usage(merged(told, later))
    usage = read_usage(told)
    if usage is not None:
        parts = usage.cached_tokens + usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
        assert parts <= usage.input_tokens and usage.reasoning_tokens <= usage.output_tokens


def test_an_iteration_of_an_odd_kind_without_tokens_adds_nothing() -> None:
    found = read_usage({"input_tokens": 1, "output_tokens": 2, "iterations": [{"type": []}, 5]})
    assert found == Usage(input_tokens=1, output_tokens=2)
