"""Embeddings: lists longer than a provider takes, every form of input and of vector, and what each costs."""

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
from openai import BadRequestError, OpenAI
from tests.conftest import StartGateway
from tests.e2e.gateway import Running
from tests.faults.passing import Came, PassingProvider, Told, said

KEY: Final = "fk-of-the-client-0123456789"
HEAD: Final = {"authorization": f"Bearer {KEY}", "cache-control": "no-store"}


def vector(one: Any) -> Any:
    """Written as no encoder of ours writes it."""
    return f"v:{one}" if isinstance(one, str) else [sum(one)]


def embedded(came: Came) -> Told:
    """As a provider that takes four inputs, and tells what it used by the input."""
    given = came.json["input"]
    inputs = given if isinstance(given, list) and not isinstance(given[0], int) else [given]
    if len(inputs) > 4:
        return said({"error": {"message": "at most 4 inputs", "param": "input"}}, status=400)
    if "refused" in inputs:
        return said({"error": {"message": "an input is refused", "code": "refused"}}, status=400)
    entries = [
        b'{"object": "embedding","index" :%d, "embedding":%b, "of_tomorrow":1.50}'
        % (at, json.dumps(vector(one)).encode())
        for at, one in enumerate(inputs)
    ]
    used = b'{"prompt_tokens": %d, "total_tokens": %d}' % (len(inputs), len(inputs))
    body = b'{"object":"list", "data":[%b], "model": "v-1", "usage": %b, "more": 1.0}'
    return Told(body % (b", ".join(reversed(entries)), used))


@pytest.fixture(scope="module")
def provider() -> Iterator[PassingProvider]:
    with PassingProvider() as made:
        made.answers = {"/v1/embeddings": embedded}
        yield made


@pytest.fixture(autouse=True)
def fresh(provider: PassingProvider) -> None:
    provider.came.clear()


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, provider: PassingProvider) -> Running:
    return start_gateway(
        f"""
[[keys]]
tenant = "acme"
key = "${{CLIENT_KEY}}"
[providers.a]
base_url = "{provider.base_url}"
auth = "none"
pass_through = true
embeddings_inputs_max = 4
[providers.b]
base_url = "{provider.base_url}"
auth = "none"
embeddings_tokens_max = 8
[tiers.vectors]
targets = ["a/v"]
[tiers.short]
targets = ["b/v"]
[[prices]]
target = "a/v"
input = 1
output = 0
[[prices]]
target = "a/chat"
input = 10
output = 20
[report]
baseline = "a/chat"
[endpoints.judged]
baseline = "a/chat"
[call]
attempts_max = 1
""",
        CLIENT_KEY=KEY,
    )


@pytest.fixture
def client(gateway: Running) -> Iterator[OpenAI]:
    with OpenAI(base_url=gateway.base_url, api_key=KEY, max_retries=0) as made:
        yield made


def test_a_long_list_goes_up_in_parts_and_comes_back_as_one(
    gateway: Running, provider: PassingProvider
) -> None:
    texts = [f"text {index}" for index in range(10)]
    reply = gateway.post("/v1/embeddings", {"model": "a/v", "input": texts, "dimensions": 3}, HEAD)
    assert [came.json["input"] for came in provider.came] == [texts[:4], texts[4:8], texts[8:]]
    assert all(came.json["dimensions"] == 3 and came.json["model"] == "v" for came in provider.came)
    found = reply.json
    assert [(one["index"], one["embedding"]) for one in found["data"]] == [
        (index, f"v:{text}") for index, text in enumerate(texts)
    ]
    assert found["usage"] == {"prompt_tokens": 10, "total_tokens": 10}
    assert (found["object"], found["model"], found["more"]) == ("list", "v-1", 1.0)
    assert reply.body.count(b'"of_tomorrow":1.50') == 10, "what is passed on is not written anew"
    receipt = gateway.receipt_of(reply)
    assert receipt.usage is not None and receipt.usage.input_tokens == 10 and receipt.cost_nusd == 10_000
    assert len(receipt.attempts) == 1


def test_a_tier_of_embeddings_is_not_compared_with_a_chat_model(gateway: Running) -> None:
    """Its price says nothing of what embeddings cost; the endpoint may name a model that does."""
    body = {"model": "vectors", "input": "compared with itself"}
    head = {"authorization": f"Bearer {KEY}"}
    first, hit = (gateway.post("/v1/embeddings", body, head) for _ in range(2))
    for reply, saved_usd in ((first, "0.000000000"), (hit, first.headers["x-farthing-cost-usd"])):
        assert gateway.receipt_of(reply).baseline_target == "a/v"
        assert reply.headers["x-farthing-saved-usd"] == saved_usd
    assert hit.headers["x-farthing-cache"] == "exact"
    there = {**head, "x-farthing-endpoint": "judged"}
    assert gateway.receipt_of(gateway.post("/v1/embeddings", body, there)).baseline_target == "a/chat"


@pytest.mark.parametrize("given", ["one text", [1, 2, 3], ["a", "b"], [[1, 2], [3]]])
def test_what_one_call_takes_goes_up_as_it_is(
    given: Any, gateway: Running, provider: PassingProvider
) -> None:
    asked = {"model": "a/v", "input": given, "encoding_format": "base64", "user": "u"}
    reply = gateway.post("/v1/embeddings", asked, HEAD)
    assert provider.came[0].json == {**asked, "model": "v"}
    assert reply.body == embedded(provider.came[0]).body


def test_lists_of_token_ids_are_parted_too(gateway: Running, provider: PassingProvider) -> None:
    given = [[index, 1] for index in range(6)]
    reply = gateway.post("/v1/embeddings", {"model": "a/v", "input": given}, HEAD)
    assert [came.json["input"] for came in provider.came] == [given[:4], given[4:]]
    assert [one["embedding"] for one in reply.json["data"]] == [[index + 1] for index in range(6)]


def test_parts_hold_no_more_tokens_than_the_provider_takes(
    gateway: Running, provider: PassingProvider
) -> None:
    gateway.post("/v1/embeddings", {"model": "short", "input": ["x" * 12, "y" * 12, "z" * 90, "w"]}, HEAD)
    assert [[text[0] for text in came.json["input"]] for came in provider.came] == [
        ["x"],
        ["y"],
        ["z"],
        ["w"],
    ]


def test_a_part_that_fails_fails_all_in_the_words_of_the_provider(
    client: OpenAI, gateway: Running, provider: PassingProvider
) -> None:
    before = len(gateway.receipts())
    with pytest.raises(BadRequestError) as raised:
        client.embeddings.create(model="a/v", input=[*"abcdefgh", "refused"])
    assert raised.value.code == "refused" and "an input is refused" in raised.value.message
    receipt = gateway.next_receipt(before)
    assert receipt.cost_nusd == 8_000, "all that was answered before is charged for"


def test_an_answer_that_lacks_a_vector_is_none(gateway: Running, provider: PassingProvider) -> None:
    provider.answers["/v1/embeddings"] = said({"object": "list", "data": [{"index": 0, "embedding": [1]}]})
    try:
        reply = gateway.post("/v1/embeddings", {"model": "a/v", "input": ["a"] * 6}, HEAD)
    finally:
        provider.answers["/v1/embeddings"] = embedded
    assert reply.status == 502 and "1 vectors for 4 inputs" in reply.error["message"]


def asked(gateway: Running, *texts: str, **more: Any) -> Any:
    head = {"authorization": f"Bearer {KEY}"}
    return gateway.post("/v1/embeddings", {"model": "a/v", "input": list(texts), **more}, head)


def test_only_texts_that_nobody_has_asked_for_go_up(gateway: Running, provider: PassingProvider) -> None:
    first = asked(gateway, "one", "two")
    assert first.headers["x-farthing-cache"] == "miss"
    second = asked(gateway, "three", "two", "one", "four", "three")
    assert [came.json["input"] for came in provider.came] == [["one", "two"], ["three", "four"]]
    assert [(one["index"], one["embedding"]) for one in second.json["data"]] == [
        (0, "v:three"), (1, "v:two"), (2, "v:one"), (3, "v:four"), (4, "v:three")
    ]  # fmt: skip
    assert second.json["usage"]["prompt_tokens"] == 2, "what this call used"
    assert second.body.count(b'"of_tomorrow":1.50') == 5
    assert gateway.receipt_of(second).cost_nusd == 2_000
    third = asked(gateway, "four", "one")
    assert len(provider.came) == 2 and third.headers["x-farthing-cache"] == "exact"
    assert float(third.headers["x-farthing-cost-usd"]) == 0
    assert [one["embedding"] for one in third.json["data"]] == ["v:four", "v:one"]
    receipt = gateway.receipt_of(third)
    assert receipt.calls == 0 and receipt.baseline_nusd == 2_000


def test_a_list_of_which_nothing_is_there_comes_as_its_provider_wrote_it(
    gateway: Running, provider: PassingProvider
) -> None:
    assert asked(gateway, "w1", "w2", "w3").body == embedded(provider.came[0]).body


def test_a_text_alone_and_in_a_list_is_one(gateway: Running, provider: PassingProvider) -> None:
    head = {"authorization": f"Bearer {KEY}"}
    gateway.post("/v1/embeddings", {"model": "a/v", "input": "alone"}, head)
    asked(gateway, "alone", "beside")
    again = gateway.post("/v1/embeddings", {"model": "a/v", "input": "beside"}, head)
    assert [came.json["input"] for came in provider.came] == ["alone", ["beside"]]
    assert again.json["data"][0]["embedding"] == "v:beside" and again.json["data"][0]["index"] == 0
    assert again.headers["x-farthing-cache"] == "exact"


def test_other_settings_are_other_vectors(gateway: Running, provider: PassingProvider) -> None:
    for more in ({}, {"dimensions": 3}, {"encoding_format": "base64"}, {"dimensions": 3}):
        asked(gateway, "settings", "more", **more)
    assert len(provider.came) == 3


def test_no_store_and_no_cache_are_heeded(gateway: Running, provider: PassingProvider) -> None:
    body = {"model": "a/v", "input": ["kept", "not"]}
    for control, calls in (("no-store", 1), ("no-store", 2), ("no-cache", 3), ("max-age=0", 3)):
        gateway.post("/v1/embeddings", body, {**HEAD, "cache-control": control})
        assert len(provider.came) == calls, control


def test_what_is_missing_is_parted_too(gateway: Running, provider: PassingProvider) -> None:
    asked(gateway, "m0", "m5")
    reply = asked(gateway, *[f"m{index}" for index in range(8)])
    assert [came.json["input"] for came in provider.came[1:]] == [["m1", "m2", "m3", "m4"], ["m6", "m7"]]
    assert [one["embedding"] for one in reply.json["data"]] == [f"v:m{index}" for index in range(8)]


def test_another_tenant_has_texts_of_its_own(start_gateway: StartGateway, provider: PassingProvider) -> None:
    keys = "".join(f'[[keys]]\ntenant = "{name}"\nkey = "${{{name}_KEY}}"\n' for name in ("A", "B"))
    base = f'[providers.a]\nbase_url = "{provider.base_url}"\nauth = "none"\npass_through = true\n'
    shared = start_gateway(keys + base, A_KEY="fk-of-a-0123456789", B_KEY="fk-of-b-0123456789")
    for key in ("fk-of-a-0123456789", "fk-of-b-0123456789", "fk-of-a-0123456789"):
        body = {"model": "a/v", "input": ["x", "y"]}
        assert shared.post("/v1/embeddings", body, {"authorization": f"Bearer {key}"}).status == 200
    assert len(provider.came) == 2
