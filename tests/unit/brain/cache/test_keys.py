"""What makes two requests the same. A wrong hit is the one mistake a key must not make."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.asking import asked

from farthing.brain.cache.keys import DROPPED, CacheKeys
from farthing.config import CacheKeyConfig, EndpointCacheConfig
from farthing.text.phrase import normalised
from farthing.types import Endpoint, Tenant

KEYS = CacheKeys(policy="p1")
BODY = {"model": "auto", "messages": [{"role": "user", "content": "Hi"}], "temperature": 0.2}

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
_NAMES = st.text(max_size=20).filter(lambda name: name not in DROPPED and name not in BODY)


def key(body: dict[str, Any] = BODY, keys: CacheKeys = KEYS, **changes: Any) -> bytes | None:
    return keys.key(asked(body=body, **changes))


@given(_NAMES, _VALUES)
def test_any_further_field_makes_another_key(name: str, value: Any) -> None:
    assert key({**BODY, name: value}) != key()


@given(_NAMES, _VALUES, _VALUES)
def test_any_two_values_of_an_unknown_field_make_two_keys(name: str, one: Any, other: Any) -> None:
    same = repr(one) == repr(other)
    assert (key({**BODY, name: one}) == key({**BODY, name: other})) is same


@given(st.sampled_from(sorted(DROPPED)), _VALUES)
def test_a_field_that_cannot_change_the_answer_does_not_change_the_key(name: str, value: Any) -> None:
    assert key({**BODY, name: value}) == key()


def test_these_fields_and_no_others_cannot_change_the_answer() -> None:
    """Each by its name: a list that is asked about itself is always right."""
    named = {
        "stream",
        "stream_options",
        "user",
        "safety_identifier",
        "metadata",
        "store",
        "service_tier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "prompt_cache_options",
        "client_metadata",
        "cache_control",
        "diagnostics",
        "x-anthropic-billing-header",
    }
    assert named == DROPPED


@given(_VALUES)
def test_a_field_dropped_at_the_top_counts_everywhere_else(value: Any) -> None:
    message = {"role": "user", "content": "Hi", "user": value}
    assert key({**BODY, "messages": [message]}) != key()


def marked(text: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]


def test_marks_for_a_prefix_cache_do_not_matter() -> None:
    """Agents move them with every turn. What bears the mark counts as it would without."""
    system = {"role": "system", "content": "S"}
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    called = {"role": "assistant", "content": None, "tool_calls": [call]}
    result = {"role": "tool", "tool_call_id": "c", "content": "4"}
    tool = {"type": "function", "function": {"name": "f"}}
    plain = {**BODY, "messages": [system, called, result, *BODY["messages"]], "tools": [tool]}  # type: ignore[misc]
    mark = {"cache_control": {"type": "ephemeral"}}
    body = {
        **BODY,
        **mark,
        "messages": [
            {"role": "system", "content": marked("S")},
            {**called, "tool_calls": [{**call, **mark}]},
            {**result, "content": marked("4"), **mark},
            {"role": "user", "content": marked("Hi")},
        ],
        "tools": [{**tool, **mark}],
    }
    assert key(body) == key(plain) != key()
    two = [*marked("Hi"), {"type": "text", "text": "there"}]
    unmarked = [{"type": "text", "text": "Hi"}, {"type": "text", "text": "there"}]
    content = [key({**BODY, "messages": [{"role": "user", "content": parts}]}) for parts in (two, unmarked)]
    assert content[0] == content[1] != key()


def test_a_mark_in_what_is_asked_is_no_mark() -> None:
    """A schema may have a property of that name."""
    tool = {"type": "function", "function": {"name": "f", "parameters": {"cache_control": 1}}}
    other = {"type": "function", "function": {"name": "f", "parameters": {}}}
    assert key({**BODY, "tools": [tool]}) != key({**BODY, "tools": [other]})


@given(_VALUES)
def test_odd_messages_do_not_break_the_key(value: Any) -> None:
    key(
        {
            **BODY,
            "messages": [value, {"role": "user", "content": [value, {"content": value}]}],
            "tools": value,
        }
    )


def test_a_header_that_goes_up_makes_another_key_unless_it_cannot_change_the_answer() -> None:
    beta = (("openai-beta", "assistants=v2"),)
    assert len({key(), key(passed=beta), key(passed=(("openai-beta", "x"),)), key(passed=(("x", "x"),))}) == 4
    assert key(passed=(*beta, ("traceparent", "00-1"))) == key(passed=beta)
    assert key(passed=(("x-client-request-id", "1"), ("anthropic-version", "2023-06-01"))) == key()


@given(st.permutations(list(BODY)))
def test_the_order_of_the_fields_does_not_matter(names: list[str]) -> None:
    assert key({name: BODY[name] for name in names}) == key()


@given(st.text(), st.text(), st.text(), st.text())
def test_tenants_and_endpoints_never_share_a_key(a: str, b: str, c: str, d: str) -> None:
    one = key(tenant=Tenant(name=a), endpoint=Endpoint(name=b))
    other = key(tenant=Tenant(name=c), endpoint=Endpoint(name=d))
    assert (one == other) is ((a, b) == (c, d))


def test_what_decides_the_route_beside_the_body_is_part_of_the_key() -> None:
    keys = {
        key(),
        key(tier="cheap"),
        key(tier="expensive"),
        key(task_type="faq"),
        key(language="de"),
        key(model="gpt-big"),
        key(retrieval=True),
        key(context_tokens=5),
        key(operation="embeddings"),
        key(tenant=Tenant(name="acme", plan="enterprise")),
        key(keys=CacheKeys(policy="p2")),
    }
    assert len(keys) == 11


def test_who_asks_within_a_tenant_and_how_the_answer_is_delivered_do_not_matter() -> None:
    assert key(user="u-2", session="s", id="r-2", stream=True, received_s=5.0) == key()


def test_an_endpoint_with_its_cache_off_has_no_keys() -> None:
    assert key(endpoint=Endpoint(name="e", cache_exact="off")) is None
    assert key(endpoint=Endpoint(name="e", cache_exact="observe")) is not None


@pytest.mark.parametrize("role", ["tool", "function"])
def test_a_step_of_an_agent_has_no_key(role: str) -> None:
    assert key({**BODY, "messages": [*BODY["messages"], {"role": role, "content": "42"}]}) is None  # type: ignore[misc]


def test_a_body_without_messages_has_no_key() -> None:
    assert key({"model": "auto"}) is None
    assert key({"model": "auto", "messages": []}) is None
    assert key({"model": "auto", "messages": "Hi"}) is None
    assert key({"model": "auto", "messages": ["Hi"]}) is None


def test_what_cannot_be_encoded_is_a_miss_and_no_failure() -> None:
    assert key({**BODY, "seed": 2**70}) is None
    assert key({**BODY, "stop": "\ud800"}) is None


FOLDED = CacheKeys(
    endpoints={
        "faq": EndpointCacheConfig(
            normalised=True,
            keys=(
                CacheKeyConfig(key="faq:refund_policy", phrases=("What is your refund policy?", "Refunds?")),
            ),
        ),
        "keys-only": EndpointCacheConfig(keys=(CacheKeyConfig(key="faq:hours", phrases=("When open?",)),)),
    }
)


def folded(text: Any, endpoint: str = "faq", system: str = "Be brief.") -> bytes | None:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
    return key({"model": "auto", "messages": messages}, FOLDED, endpoint=Endpoint(name=endpoint))


def test_phrases_of_one_key_are_one_question() -> None:
    assert folded("what is your  REFUND policy") == folded("Refunds!")
    assert folded("Refunds for shoes?") != folded("Refunds?")


def test_folding_ignores_case_white_space_and_closing_punctuation_only() -> None:
    assert folded("How much is it?") == folded(" how MUCH\nis it ")
    assert folded("How much is it, 5?") != folded("How much is it, 6?")
    assert folded("Is it on?") != folded("Is it on-")


def test_everything_else_of_a_folded_request_counts() -> None:
    assert folded("Refunds?", system="Be long.") != folded("Refunds?")


def test_keys_without_folding_leave_other_questions_alone() -> None:
    assert folded("when open", "keys-only") == folded("When open?", "keys-only")
    assert folded("Where is it?", "keys-only") != folded("where is it", "keys-only")


def test_a_client_cannot_write_a_question_that_passes_for_a_key() -> None:
    forged = ["faq:refund_policy", {"0": "faq:refund_policy"}, [["key", "faq:refund_policy"]], "\x00"]
    assert folded("Refunds?") not in [folded(text) for text in forged]


def test_an_endpoint_without_folding_keeps_every_letter() -> None:
    assert folded("Refunds?", "other") != folded("refunds?", "other")


def test_the_body_is_left_as_it_was() -> None:
    messages = [{"role": "user", "content": "Refunds?"}]
    body = {"model": "auto", "messages": messages, "user": "u"}
    FOLDED.key(asked(body=body, endpoint=Endpoint(name="faq")))
    assert body == {"model": "auto", "messages": [{"role": "user", "content": "Refunds?"}], "user": "u"}


@given(st.text())
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)


def test_what_one_version_of_a_routing_policy_had_answered_is_not_given_under_another() -> None:
    label = ["faq@1"]
    keys = CacheKeys(policy="p1", arm=lambda request: label[0])
    first = key(keys=keys)
    assert first == key(keys=keys)
    label[0] = "faq@2"
    assert key(keys=keys) != first
    label[0] = ""
    assert key(keys=keys) == key()
