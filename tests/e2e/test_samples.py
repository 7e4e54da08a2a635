"""A client that asks for samples gets samples; one that asks again gets another answer; the rest share."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import openai
import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import Reply, Running
from tests.faults.provider import FaultProvider

MODEL = "a/fault:delay=0.1"
NUMBERS = count()


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    return start_gateway(f"""
[providers.a]
base_url = "{upstream.base_url}"
[tiers.cheap]
targets = ["{MODEL}"]
[aliases]
"gpt-4o" = "{MODEL}"
"assistant" = "auto"
[endpoints.samples.cache]
reuse = "always"
""")


@pytest.fixture
def text() -> str:
    """A question that no other test asks."""
    return f"question {next(NUMBERS)}"


@pytest.fixture(scope="module")
def client(gateway: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=gateway.base_url, api_key="sk-any", max_retries=0) as client:
        yield client


def ids_of_five(client: openai.OpenAI, text: str, **fields: Any) -> int:
    """How many different answers five requests at once get."""

    def ask(_: int) -> str:
        answer = client.chat.completions.create(messages=[{"role": "user", "content": text}], **fields)
        return str(answer.id)

    with ThreadPoolExecutor(5) as pool:
        return len(set(pool.map(ask, range(5))))


NAMED, ANY = [MODEL, MODEL.partition("/")[2], "gpt-4o"], ["auto", "cheap", "assistant"]


@pytest.mark.parametrize("model", [*NAMED, *ANY])
@pytest.mark.parametrize(
    ("fields", "answers"),
    [
        ({"temperature": 0.7}, 5),
        ({"temperature": 0}, 1),
        ({"temperature": 0.7, "seed": 7}, 1),
        ({"temperature": 0, "n": 2}, 5),
        ({"temperature": 0, "n": 1}, 1),
        ({"n": 2, "seed": 1}, 1),
    ],
)
def test_five_at_once_are_as_many_calls_as_answers_asked_for(
    client: openai.OpenAI,
    upstream: FaultProvider,
    text: str,
    model: str,
    fields: dict[str, Any],
    answers: int,
) -> None:
    calls = len(upstream.calls)
    assert ids_of_five(client, text, model=model, **fields) == answers
    assert len(upstream.calls) - calls == answers


@pytest.mark.parametrize(("models", "answers"), [(NAMED, 5), (ANY, 1)])
def test_without_a_temperature_it_is_the_named_models_own_and_the_gateways_otherwise(
    client: openai.OpenAI, text: str, models: list[str], answers: int
) -> None:
    for model in models:
        assert ids_of_five(client, f"{text} {model}", model=model) == answers, model


def test_an_endpoint_that_shares_everything_shares_samples_too(
    client: openai.OpenAI, upstream: FaultProvider, text: str
) -> None:
    headers = {"x-farthing-endpoint": "samples"}
    calls = len(upstream.calls)
    for model in (MODEL, "farthing/samples"):
        asked: dict[str, Any] = {"model": model, "temperature": 1.0, "extra_headers": headers}
        assert ids_of_five(client, text, **asked) == 1, model
        again = client.chat.completions.with_raw_response.create(
            messages=[{"role": "user", "content": text}], user="ada", **asked
        )
        assert again.headers["x-farthing-cache"] == "exact", "who asks again gets the same again"
    assert len(upstream.calls) - calls == 2


def test_samples_are_not_kept_and_the_receipt_says_why(gateway: Running, text: str) -> None:
    replies = [gateway.chat(text, temperature=0.2) for _ in range(2)]
    named = gateway.chat(text, model=MODEL)
    for reply, why in (*((r, "sampled") for r in replies), (named, "named")):
        assert reply.headers["x-farthing-cache"] == "off"
        receipt = gateway.receipt_of(reply)
        assert (receipt.cache, receipt.asked_anew, receipt.calls) == ("off", why, 1)


def test_embeddings_are_shared_for_named_models(gateway: Running, upstream: FaultProvider) -> None:
    calls = len(upstream.calls)
    body = {"model": "a/text-embedding-good", "input": "the same", "user": "ada"}
    first, second = (gateway.post("/v1/embeddings", body) for _ in range(2))
    assert (first.headers["x-farthing-cache"], second.headers["x-farthing-cache"]) == ("miss", "exact")
    assert len(upstream.calls) - calls == 1


# -- regenerate ------------------------------------------------------------------------------------


def kinds(replies: list[Reply]) -> list[str]:
    return [reply.headers["x-farthing-cache"] for reply in replies]


WHO: list[tuple[dict[str, str], dict[str, Any]]] = [
    ({"x-farthing-session": "s-1"}, {}),
    ({}, {"user": "ada"}),
    ({}, {"safety_identifier": "ada"}),
    ({"x-farthing-session": "s-2"}, {"temperature": 0}),
]


@pytest.mark.parametrize(("headers", "fields"), WHO)
def test_who_asks_the_same_again_gets_another_answer_and_everybody_else_the_newest(
    gateway: Running, text: str, headers: dict[str, str], fields: dict[str, Any]
) -> None:
    same = {name: value for name, value in fields.items() if name == "temperature"}
    first, again, third = (gateway.chat(text, headers=headers, **fields) for _ in range(3))
    assert kinds([first, again, third]) == ["miss", "miss", "miss"]
    assert len({first.json["id"], again.json["id"], third.json["id"]}) == 3
    assert gateway.receipt_of(again).asked_anew == "again" and not gateway.receipt_of(first).asked_anew
    nobody = gateway.chat(text, **same)
    other = gateway.chat(text, headers={"x-farthing-session": "other"}, **same)
    assert kinds([nobody, other]) == ["exact", "exact"]
    assert nobody.json["id"] == other.json["id"] == third.json["id"]
    assert kinds([gateway.chat(text, headers={"x-farthing-session": "other"}, **same)]) == ["miss"]


def test_another_session_of_the_same_user_asks_for_the_first_time(gateway: Running, text: str) -> None:
    replies = [
        gateway.chat(text, headers={"x-farthing-session": session}, user="ada") for session in ("one", "two")
    ]
    assert kinds(replies) == ["miss", "exact"]


def test_an_sdk_that_sends_again_after_a_lost_connection_is_given_what_there_is(
    gateway: Running, text: str
) -> None:
    first = gateway.chat(text, user="ada")
    retried = gateway.chat(text, headers={"x-stainless-retry-count": "1"}, user="ada")
    assert kinds([first, retried]) == ["miss", "exact"]


def test_who_was_given_nothing_does_not_ask_again(gateway: Running, text: str) -> None:
    model = "auto"
    refused = gateway.chat(text, model=model, user="ada", max_tokens="many")
    first = gateway.chat(text, model=model)
    assert refused.status == 400
    assert kinds([first, gateway.chat(text, model=model, user="ada")]) == ["miss", "exact"]


def test_nobody_can_be_told_from_another_without_session_and_user(gateway: Running, text: str) -> None:
    assert kinds([gateway.chat(text) for _ in range(3)]) == ["miss", "exact", "exact"]


def test_again_s_of_0_gives_who_asks_again_the_stored_answer(
    start_gateway: StartGateway, upstream: FaultProvider, text: str
) -> None:
    config = f'[providers.a]\nbase_url = "{upstream.base_url}"\n[tiers.cheap]\ntargets = ["{MODEL}"]\n'
    patient = start_gateway(f"{config}[cache]\nreask_s = 0\n")
    asked = [patient.chat(text, model="cheap", headers={"x-farthing-session": "s"}) for _ in range(2)]
    assert kinds(asked) == ["miss", "exact"]
