"""What lies in one partition of the semantic cache, and what never gets into any."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.asking import ACME, asked
from tests.semantic import ON, faq, in_english, question

from farthing.brain.cache.semantic.scope import QUESTION_CHARS_MAX, Scope, Scopes
from farthing.brain.cache.semantic.store.entries import read_recipe, recipe_of, request_of
from farthing.types import Request, Sent, Tenant, replace

SCOPES = Scopes(embedder="e/1", language_of=in_english, policies={"faq": "p1"})
TEXT = "And in London?"


def scope(request: Request, scopes: Scopes = SCOPES) -> Scope:
    found = scopes.scope(request, request.language or "unknown")
    assert found is not None
    return found


def body(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"model": "auto", "messages": list(messages), **fields}


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


HISTORY = [user("What are the rents in Paris?"), {"role": "assistant", "content": "High."}]
BASE = question(TEXT)


def test_only_the_words_of_the_last_question_may_differ() -> None:
    one, other = scope(question("How do I pay?")), scope(question("Where do I pay?"))
    assert one.partition == other.partition
    assert (one.question, other.question) == ("How do I pay?", "Where do I pay?")


OTHERS = {
    "tenant": replace(BASE, tenant=Tenant(name="other")),
    "plan": replace(BASE, tenant=replace(ACME, plan="gold")),
    "endpoint": question(TEXT, endpoint=replace(faq(), name="sales")),
    "model": replace(BASE, model="expensive"),
    "tier": replace(BASE, tier="cheap"),
    "task": replace(BASE, task_type="faq"),
    "language": replace(BASE, language="de", endpoint=faq(replace(ON, languages=("en", "de")))),
    "retrieval": replace(BASE, retrieval=True),
    "context": replace(BASE, context_tokens=300),
    "documents version": question(TEXT, endpoint=faq(replace(ON, documents="2024-06"))),
    "names documents": replace(BASE, documents=("terms@1",)),
    "a header that goes up": replace(BASE, passed=(("openai-beta", "assistants=v2"),)),
    "another value of it": replace(BASE, passed=(("openai-beta", "assistants=v3"),)),
    "system prompt": question(TEXT, body=body({"role": "system", "content": "Be brief."}, user(TEXT))),
    "history": question(TEXT, body=body(*HISTORY, user(TEXT))),
    "other history": question(
        TEXT,
        body=body(user("Does it rain in Paris?"), {"role": "assistant", "content": "A lot"}, user(TEXT)),
    ),
    "longer history": question(TEXT, body=body(*HISTORY, *HISTORY, user(TEXT))),
    "parameter": question(TEXT, body=body(user(TEXT), temperature=0.2)),
    "token limit": question(TEXT, body=body(user(TEXT), max_tokens=20)),
    "format": question(TEXT, body=body(user(TEXT), response_format={"type": "json_object"})),
    "tools": question(TEXT, body=body(user(TEXT), tools=[{"type": "function", "function": {"name": "f"}}])),
    "unknown field": question(TEXT, body=body(user(TEXT), not_yet_invented=1)),
    "field of the message": question(TEXT, body=body({**user(TEXT), "name": "jo"})),
    "a part instead of a string": question(TEXT, body=body(user([{"type": "text", "text": TEXT}]))),
}


def test_whatever_else_differs_is_another_partition() -> None:
    found = {name: scope(request).partition for name, request in OTHERS.items()}
    found["the base"] = scope(BASE).partition
    assert len(set(found.values())) == len(found), "each differs from the base and from all others"


def test_another_embedder_or_policy_is_another_partition() -> None:
    partition = scope(BASE).partition
    assert (
        scope(BASE, Scopes(embedder="e/2", language_of=in_english, policies={"faq": "p1"})).partition
        != partition
    )
    assert (
        scope(BASE, Scopes(embedder="e/1", language_of=in_english, policies={"faq": "p2"})).partition
        != partition
    )
    assert (
        scope(
            BASE, Scopes(embedder="e/1", language_of=in_english, policies={"faq": "p1", "sales": "x"})
        ).partition
        == partition
    )


def test_what_cannot_change_an_answer_makes_no_partition() -> None:
    streamed = question(TEXT, body=body(user(TEXT), stream=True, user="u-1", metadata={"a": "b"}))
    assert scope(streamed).partition == scope(BASE).partition
    part = {"type": "text", "text": TEXT, "cache_control": {"type": "ephemeral"}}
    marked = question(TEXT, body=body(user([part]), cache_control={"type": "ephemeral"}))
    assert scope(marked) == scope(BASE)


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(asked(TEXT), id="off for its endpoint"),
        pytest.param(question(TEXT, operation="embeddings"), id="embeddings"),
        pytest.param(question(TEXT, body=body(user(TEXT), n=2)), id="several answers"),
        pytest.param(question(TEXT, body=body(user(TEXT), logprobs=True)), id="logprobs"),
        pytest.param(question(TEXT, body=body(user(TEXT), modalities=["text", "audio"])), id="sound"),
        pytest.param(question(TEXT, body=body(user(TEXT), web_search_options={})), id="web search"),
        pytest.param(
            question(
                TEXT, body=body(user(TEXT), tools=[{"type": "web_search_20250305", "name": "web_search"}])
            ),
            id="a tool that its provider runs",
        ),
        pytest.param(
            question(TEXT, body=body(user(TEXT), mcp_servers=[{"name": "m"}])), id="tools of a server"
        ),
        pytest.param(question(TEXT, body=body(user(TEXT), container="c_1")), id="files of earlier requests"),
        pytest.param(question(TEXT, body=body(*HISTORY)), id="the last word is not the user's"),
        pytest.param(
            question(TEXT, body=body(user(TEXT), {"role": "tool", "tool_call_id": "1", "content": "4"})),
            id="a tool's result",
        ),
        pytest.param(
            question(
                TEXT,
                body=body(
                    user("Sum it"),
                    {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
                    {"role": "tool", "tool_call_id": "1", "content": "4"},
                    user(TEXT),
                ),
            ),
            id="an agent's conversation",
        ),
        pytest.param(
            question(TEXT, body=body(user([{"type": "text", "text": TEXT}, {"type": "image_url"}]))),
            id="an image",
        ),
        pytest.param(question("x" * (QUESTION_CHARS_MAX + 1)), id="too long"),
        pytest.param(question("  "), id="empty"),
        pytest.param(question("half a character \ud83d"), id="no text"),
        pytest.param(question(TEXT, body={"model": "auto"}), id="no messages"),
        pytest.param(question(TEXT, body=body(user(TEXT), big=2**70)), id="cannot be encoded"),
    ],
)
def test_no_plain_question_has_no_scope(request_: Request) -> None:
    assert SCOPES.scope(request_, "unknown") is None


def test_n_of_one_and_text_alone_are_plain() -> None:
    assert (
        SCOPES.scope(question(TEXT, body=body(user(TEXT), n=1, modalities=["text"])), "unknown") is not None
    )


def test_no_question_can_pretend_to_be_another_partition() -> None:
    stand_in = question("question")
    assert scope(stand_in).partition == scope(BASE).partition
    with_name = question(TEXT, body=body(user("question"), user(TEXT)))
    assert scope(with_name).partition != scope(BASE).partition


def test_the_request_is_left_as_it_was() -> None:
    request = question(TEXT, body=body(user(TEXT), stream=True))
    SCOPES.scope(request, "unknown")
    assert request.body == body(user(TEXT), stream=True)


@given(
    st.text(min_size=1, max_size=60).filter(lambda text: text.strip() != ""), st.sampled_from(sorted(OTHERS))
)
def test_a_recipe_asks_again_in_the_same_partition(text: str, kind: str) -> None:
    before = OTHERS[kind]
    encoded = recipe_of(before)
    assert encoded is not None
    recipe = read_recipe(encoded)
    assert recipe is not None
    again = request_of(recipe, text, request_id="r-2", endpoint=before.endpoint, received_s=0.0)
    found = SCOPES.scope(again, again.language or "unknown")
    if found is not None:  # half a character has none
        assert found == Scope(scope(before).partition, text, before.language or "en")


def test_a_recipe_knows_whose_fields_are_in_it() -> None:
    """So that a server of chat completions, asked again, gets no fields of Messages."""
    encoded = recipe_of(replace(BASE, sent=Sent(dialect="messages", raw=b"", body={}, read=BASE.body)))
    assert encoded is not None
    recipe = read_recipe(encoded)
    assert recipe is not None
    again = request_of(recipe, TEXT, request_id="r-2", endpoint=BASE.endpoint, received_s=0.0)
    assert again.sent is not None and again.sent.dialect == "messages"
    assert again.sent.read is not again.body, "it is written anew"
    plain = read_recipe(recipe_of(BASE) or b"")
    assert plain is not None
    assert request_of(plain, TEXT, request_id="r", endpoint=BASE.endpoint, received_s=0.0).sent is None


def test_versions_of_a_routing_policy_share_no_partition() -> None:
    def scopes_of(label: str) -> Scopes:
        return Scopes(
            embedder="e/1", language_of=in_english, policies={"faq": "p1"}, arm=lambda request: label
        )

    first, second, none = map(scopes_of, ("faq@1", "faq@2", ""))
    assert scope(BASE, first).partition != scope(BASE, second).partition
    assert scope(BASE, none).partition == scope(BASE).partition
