"""One tenant's answers stay its own; one question at a time is asked once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import LIMIT_S, Reply, Running, until
from tests.faults.provider import FaultProvider

from farthing.config import key_digest

ACME = {"authorization": "Bearer sk-acme"}
RIVAL = {"authorization": "Bearer sk-rival"}
TOGETHER = 20


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    return start_gateway(f"""
[[keys]]
tenant = "acme"
digest = "{key_digest("sk-acme")}"
[[keys]]
tenant = "rival"
digest = "{key_digest("sk-rival")}"
[endpoints.watched.cache]
exact = "observe"
[endpoints.faq.cache]
normalised = true
keys = [{{ key = "faq:refund", phrases = ["How do I get my money back?", "refund"] }}]
[providers.a]
base_url = "{upstream.base_url}"
pass_through = true
[tiers.cheap]
targets = ["a/good-cheap"]
[tiers.slow]
targets = ["a/fault:delay=0.3"]
[tiers.dripping]
targets = ["a/fault:gap=0.03"]
[[prices]]
target = "a/good-cheap"
input = 1
output = 2
""")


def at_once(gateway: Running, count: int, text: str, **fields: Any) -> list[Reply]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda _: gateway.chat(text, **fields), range(count)))


def text_of(reply: Reply) -> str:
    assert reply.status == 200, reply.body
    if reply.headers["content-type"].startswith("text/event-stream"):
        assert reply.events[-1] == "[DONE]"
        return reply.said
    return str(reply.json["choices"][0]["message"]["content"])


def test_the_same_question_again_costs_nothing_and_is_the_same_answer(
    gateway: Running, upstream: FaultProvider
) -> None:
    calls = len(upstream.calls)
    first = gateway.chat("what is it", headers=ACME)
    second = gateway.chat("what is it", headers=ACME)
    assert len(upstream.calls) - calls == 1
    assert (first.headers["x-farthing-cache"], second.headers["x-farthing-cache"]) == ("miss", "exact")
    assert second.body == first.body
    assert second.headers["x-farthing-cost-usd"] == "0.000000000"
    row = gateway.receipt_of(second)
    assert (row.cache, row.calls, row.cost_nusd, row.target) == ("exact", 0, 0, "a/good-cheap")
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


def test_two_tenants_never_share_an_answer(gateway: Running, upstream: FaultProvider) -> None:
    calls = len(upstream.calls)
    mine, theirs = gateway.chat("a secret", headers=ACME), gateway.chat("a secret", headers=RIVAL)
    assert {mine.headers["x-farthing-cache"], theirs.headers["x-farthing-cache"]} == {"miss"}
    assert len(upstream.calls) - calls == 2 and mine.json["id"] != theirs.json["id"]


def test_two_tenants_never_share_a_call(gateway: Running, upstream: FaultProvider) -> None:
    calls = len(upstream.calls)
    with ThreadPoolExecutor(10) as pool:
        asked = [
            pool.submit(gateway.chat, "together", headers=(ACME, RIVAL)[i % 2], model="slow")
            for i in range(10)
        ]
        replies = [each.result() for each in asked]
    assert len(upstream.calls) - calls == 2
    ids = [{replies[i].json["id"] for i in range(turn, 10, 2)} for turn in (0, 1)]
    assert len(ids[0]) == len(ids[1]) == 1 and not ids[0] & ids[1]


@pytest.mark.parametrize("stream", [False, True])
def test_identical_requests_at_one_time_make_one_call(
    gateway: Running, upstream: FaultProvider, stream: bool
) -> None:
    calls = len(upstream.calls)
    model = "dripping" if stream else "slow"
    replies = at_once(gateway, TOGETHER, f"one call {stream}", headers=ACME, model=model, stream=stream)
    assert len(upstream.calls) - calls == 1
    assert {text_of(reply) for reply in replies} == {f"echo: one call {stream}"}
    assert len({reply.headers["x-request-id"] for reply in replies}) == TOGETHER
    rows = [gateway.receipt_of(reply) for reply in replies]
    assert sorted(row.cache for row in rows) == ["coalesced"] * (TOGETHER - 1) + ["miss"]
    assert sum(row.calls for row in rows) == 1


def test_whole_and_streamed_clients_share_one_call(gateway: Running, upstream: FaultProvider) -> None:
    calls = len(upstream.calls)
    with ThreadPoolExecutor(8) as pool:
        asked = [
            pool.submit(gateway.chat, "both ways", headers=ACME, model="dripping", stream=i % 2 == 0)
            for i in range(8)
        ]
        assert {text_of(each.result()) for each in asked} == {"echo: both ways"}
    assert len(upstream.calls) - calls == 1


@pytest.mark.parametrize("stream", [False, True])
def test_those_who_wait_are_answered_when_the_one_who_asks_leaves(
    gateway: Running, upstream: FaultProvider, stream: bool
) -> None:
    calls = len(upstream.calls)
    text = f"leader leaves {stream}"
    leader = gateway.dial()
    body = gateway.chat_bytes(text, model="dripping" if stream else "slow", stream=stream)
    leader.sendall(body.replace(b"\r\ncontent-type", b"\r\nauthorization: Bearer sk-acme\r\ncontent-type", 1))
    until(lambda: len(upstream.calls) > calls)
    replies: list[Reply] = []
    follower = threading.Thread(
        target=lambda: replies.extend(
            at_once(gateway, 5, text, headers=ACME, model="dripping" if stream else "slow", stream=stream)
        )
    )
    follower.start()
    gateway.wait_in_progress(6)
    leader.close()
    follower.join(LIMIT_S)
    assert [text_of(reply) for reply in replies] == [f"echo: {text}"] * 5
    assert not upstream.calls[calls].aborted
    assert len(upstream.calls) - calls == 1, "the call goes on for those who wait"


@pytest.mark.parametrize("fault", ["status=400,code=odd", "status=500", "stall=3,hold=0.1"])
def test_a_failure_of_the_one_who_asks_is_its_own(
    gateway: Running, upstream: FaultProvider, fault: str
) -> None:
    model = f"a/fault:delay=0.1,{fault},first=1"
    replies = at_once(gateway, 4, f"failing {fault}", headers=ACME, model=model, temperature=0)
    assert sorted(reply.status for reply in replies)[:3] == [200, 200, 200]


def test_a_streamed_answer_is_served_whole_later_and_the_other_way_round(gateway: Running) -> None:
    for first_streamed in (True, False):
        text = f"é 🎈 first {first_streamed}"
        options: dict[str, Any] = {"stream_options": {"include_usage": True}}
        first = gateway.chat(text, headers=ACME, stream=first_streamed, **(options if first_streamed else {}))
        other = gateway.chat(
            text, headers=ACME, stream=not first_streamed, **({} if first_streamed else options)
        )
        again = gateway.chat(text, headers=ACME, stream=True)
        assert [r.headers["x-farthing-cache"] for r in (first, other, again)] == ["miss", "exact", "exact"]
        assert text_of(first) == text_of(other) == text_of(again) == f"echo: {text}"
        streamed, whole = (first, other) if first_streamed else (other, first)
        assert whole.json["object"] == "chat.completion"
        assert whole.json["choices"][0]["finish_reason"] == "stop"
        assert whole.json["choices"][0]["message"]["role"] == "assistant"
        events = streamed.events[:-1]
        assert {event["object"] for event in events} == {"chat.completion.chunk"}
        assert events[-1]["choices"] == [] and events[-1]["usage"] == whole.json["usage"]
        assert {event["id"] for event in events} == {whole.json["id"]}
        assert not any(event.get("usage") for event in again.events[:-1]), "nobody asked for it"


def test_what_must_not_be_kept_is_not(gateway: Running, upstream: FaultProvider) -> None:
    tool = {
        "type": "function",
        "function": {"name": "look", "parameters": {"type": "object", "properties": {}}},
    }
    cases: list[dict[str, Any]] = [
        {"text": "cut", "max_tokens": 1},
        {"text": "call a tool", "tools": [tool]},
        {"text": "broken", "model": "a/fault:stall=3,hold=0", "stream": True},
        {"text": "refused", "model": "a/fault:status=400"},
    ]
    for case in cases:
        text = case.pop("text")
        calls = len(upstream.calls)
        for _ in range(2):
            gateway.chat(text, headers=ACME, **case)
        assert len(upstream.calls) - calls == 2, text


def test_any_difference_in_the_body_is_another_question(gateway: Running, upstream: FaultProvider) -> None:
    variants: list[dict[str, Any]] = [
        {}, {"temperature": 0}, {"temperature": 0.5}, {"seed": 1}, {"max_tokens": 50}, {"brand_new": 1},
        {"model": "cheap"}, {"response_format": {"type": "json_object"}}, {"n": 1}, {"stop": ["x"]},
    ]  # fmt: skip
    calls = len(upstream.calls)
    for fields in variants:
        gateway.chat("variants", headers=ACME, **fields)
    assert len(upstream.calls) - calls == len(variants)
    for labels in ({"user": "u"}, {"metadata": {"a": "b"}}):
        assert gateway.chat("variants", headers=ACME, **labels).headers["x-farthing-cache"] == "exact"


def test_named_questions_share_an_answer_where_the_endpoint_says_so(gateway: Running) -> None:
    headers = {**ACME, "x-farthing-endpoint": "faq"}
    first = gateway.chat("How do I get my money back?", headers=headers)
    for text in ("refund", "REFUND!", "how do i get my  money back"):
        reply = gateway.chat(text, headers=headers)
        assert (reply.headers["x-farthing-cache"], reply.json["id"]) == ("exact", first.json["id"]), text
    assert gateway.chat("no refund", headers=headers).headers["x-farthing-cache"] == "miss"
    assert gateway.chat("refund", headers=ACME).headers["x-farthing-cache"] == "miss", "another endpoint"


def test_an_observing_cache_changes_nothing(gateway: Running, upstream: FaultProvider) -> None:
    headers = {**ACME, "x-farthing-endpoint": "watched"}
    calls = len(upstream.calls)
    replies = [gateway.chat("watched", headers=headers) for _ in range(2)]
    together = at_once(gateway, 5, "watched too", headers=headers)
    assert len(upstream.calls) - calls == 7
    assert {reply.headers["x-farthing-cache"] for reply in (*replies, *together)} == {"off"}
    assert [gateway.receipt_of(reply).cache_would_hit for reply in replies] == [False, True]


def test_embeddings_are_cached_like_answers(gateway: Running, upstream: FaultProvider) -> None:
    calls = len(upstream.calls)
    body = {"model": "a/text-embedding-good", "input": ["one", "two"]}
    first, second = (gateway.post("/v1/embeddings", body, ACME) for _ in range(2))
    assert first.json == second.json and second.headers["x-farthing-cache"] == "exact"
    assert len(upstream.calls) - calls == 1
