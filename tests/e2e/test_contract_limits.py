"""The contract of an endpoint holds before and during the call; what is cut says so in a field."""

import time
from typing import Any

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import Reply, Running
from tests.faults.exact import HELLO, streamed
from tests.faults.provider import FaultProvider
from tests.pace import BUSY_S

WORDS = " ".join(f"w{i}" for i in range(40))


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider, second: FaultProvider) -> Running:
    upstream.exactly("held", streamed(*HELLO, end="hold"))
    return start_gateway(f"""
[providers.a]
base_url = "{upstream.base_url}"
[providers.b]
base_url = "{second.base_url}"
[tiers.cheap]
targets = ["a/good-cheap"]
[tiers.expensive]
targets = ["b/good-expensive"]
[tiers.dripping]
targets = ["a/fault:gap=0.03"]
[tiers.held]
targets = ["a/held"]
[tiers.breaking]
targets = ["a/fault:truncate=3", "b/good-after"]
[tiers.hanging]
targets = ["a/fault:hang"]
[tiers.failing]
targets = ["a/fault:status=500", "b/good-after"]
[tiers.unsure]
targets = ["a/fault:say=I don't know"]
[endpoints.one-call]
calls_max = 1
[endpoints.one-call-failing]
calls_max = 1
tier = "failing"
[endpoints.session]
calls_max = 3
[endpoints.quick]
deadline_s = 0.4
tier = "dripping"
[endpoints.held]
deadline_s = 0.4
tier = "held"
[endpoints.patient]
deadline_s = 20
tier = "breaking"
[endpoints.quick-refuse]
deadline_s = 0.4
tier = "dripping"
on_limit = "refuse"
[endpoints.quick-hanging]
deadline_s = 0.3
tier = "hanging"
[endpoints.short-prompts]
input_tokens_max = 20
[endpoints.short-answers]
output_tokens_max = 5
[endpoints.disobeyed]
output_tokens_max = 5
tier = "cheap"
[endpoints.paid]
usd_max = 0.001
tier = "cheap"
[[prices]]
target = "a/good-cheap"
input = 1
output = 2
[[prices]]
target = "b/good-expensive"
input = 10
output = 20
[route]
rules = [
  {{ when = 'task == "faq"', tier = "unsure", escalate = "expensive" }},
  {{ when = 'task == "translate"', tier = "cheap", escalate = "expensive" }},
  {{ when = 'input_tokens < 10000', tier = "cheap" }},
]
[[answers]]
name = "hours"
text = "We are open from nine to five."
phrases = ["When are you open?"]
[cache]
exact = "off"
""")


def ask(gateway: Running, endpoint: str, text: str = "hello", **fields: Any) -> Reply:
    return gateway.chat(text, model=f"farthing/{endpoint}", **fields)


def test_a_second_call_beyond_calls_max_is_not_made(gateway: Running, second: FaultProvider) -> None:
    assert ask(gateway, "one-call").status == 200
    calls = len(second.calls)
    reply = ask(gateway, "one-call-failing")
    assert reply.status == 500 and "x-should-retry" not in reply.headers, (
        "the failure of the one that was made"
    )
    row = gateway.receipt_of(reply)
    assert (row.stop_reason, row.calls, len(second.calls) - calls) == ("no_provider", 1, 0)


def test_the_requests_of_a_session_share_its_limits_and_others_do_not(gateway: Running) -> None:
    headers = {"x-farthing-session": "run-1"}
    statuses = [ask(gateway, "session", f"q{i}", headers=headers).status for i in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    assert ask(gateway, "session", headers={"x-farthing-session": "run-2"}).status == 200
    assert [ask(gateway, "session", f"q{i}").status for i in range(4)] == [200] * 4, "each its own contract"


def test_a_whole_answer_cut_by_the_deadline_is_the_part_that_came(gateway: Running) -> None:
    began_s = time.monotonic()
    reply = ask(gateway, "quick", WORDS)
    assert reply.status == 200 and 0.35 < time.monotonic() - began_s < 0.4 + BUSY_S
    answer = reply.json
    assert answer["object"] == "chat.completion"
    assert answer["farthing"] == {"stop_reason": "limit:deadline_s"}
    assert answer["choices"][0]["finish_reason"] == "length"
    said = answer["choices"][0]["message"]["content"]
    assert said.startswith("echo: w0 w1") and 3 < len(said.split()) < 30
    row = gateway.receipt_of(reply)
    assert (row.stop_reason, row.status) == ("limit:deadline_s", 200)
    assert row.usage is not None and row.usage.estimated and row.usage.output_tokens > 3


def test_a_part_that_nobody_has_seen_is_asked_for_again_elsewhere(gateway: Running) -> None:
    reply = ask(gateway, "patient")
    assert reply.status == 200 and reply.json["choices"][0]["finish_reason"] == "stop"
    row = gateway.receipt_of(reply)
    assert (row.target, [attempt.error for attempt in row.attempts]) == (
        "b/good-after",
        ["provider_unavailable", None],
    )


@pytest.mark.parametrize(
    ("n", "choices"), [(1.0, 1), (2, 2), (2.0, 2), (0.5, 1), (-1, 1), (5_000_000, 128), (1e300, 128)]
)
def test_whatever_is_said_for_n_a_stream_that_was_cut_ends_properly(
    gateway: Running, n: float, choices: int
) -> None:
    reply = ask(gateway, "held", WORDS, stream=True, n=n)
    assert reply.status == 200 and reply.events[-1] == "[DONE]"
    ends = [(one["index"], one["finish_reason"]) for one in reply.events[-2]["choices"]]
    assert ends == [(index, "length") for index in range(choices)]
    assert gateway.receipt_of(reply).stop_reason == "limit:deadline_s"


def test_an_n_beyond_all_measure_costs_too_much(gateway: Running) -> None:
    assert ask(gateway, "paid", n=1e300).error["code"] == "contract_exceeded"


def test_a_stream_cut_by_the_deadline_ends_properly_and_says_why(gateway: Running) -> None:
    began_s = time.monotonic()
    reply = ask(gateway, "quick", WORDS, stream=True)
    assert reply.status == 200 and 0.35 < time.monotonic() - began_s < 0.4 + BUSY_S
    assert reply.events[-1] == "[DONE]"
    last = reply.events[-2]
    assert last["farthing"] == {"stop_reason": "limit:deadline_s"}
    assert last["choices"][0]["finish_reason"] == "length"
    assert reply.said.startswith("echo: w0 w1")


def test_where_parts_are_not_wanted_the_deadline_refuses(gateway: Running) -> None:
    before = len(gateway.receipts())
    error = ask(gateway, "quick-refuse", WORDS, stream=True).events[-1]["error"]
    assert error["code"] == "deadline_exceeded" and "deadline" in error["message"]
    assert gateway.next_receipt(before).stop_reason == "limit:deadline_s"


@pytest.mark.parametrize("stream", [False, True])
def test_a_deadline_before_the_first_word_is_an_error_and_no_fault_of_the_target(
    gateway: Running, stream: bool
) -> None:
    for _ in range(7):  # more than open a breaker
        began_s = time.monotonic()
        reply = ask(gateway, "quick-hanging", stream=stream)
        assert (reply.status, reply.error["code"]) == (504, "deadline_exceeded"), reply.body
        assert 0.25 < time.monotonic() - began_s < 0.3 + BUSY_S, "the target was asked"
    assert "deadline" in reply.error["message"]


def test_a_prompt_that_is_too_long_costs_nothing(gateway: Running, upstream: FaultProvider) -> None:
    assert ask(gateway, "short-prompts", "short").status == 200
    calls = len(upstream.calls)
    reply = ask(gateway, "short-prompts", "many words " * 30)
    assert (reply.status, reply.error["code"]) == (429, "contract_exceeded")
    assert "input_tokens_max" in reply.error["message"]
    assert len(upstream.calls) == calls and gateway.receipt_of(reply).cost_nusd == 0


@pytest.mark.parametrize("stream", [False, True])
def test_the_output_is_capped_at_the_provider_and_ends_as_it_says(
    gateway: Running, upstream: FaultProvider, stream: bool
) -> None:
    calls = len(upstream.calls)
    reply = ask(gateway, "short-answers", WORDS, stream=stream)
    assert upstream.calls[calls].json["max_tokens"] == 5
    said = reply.said if stream else reply.json["choices"][0]["message"]["content"]
    assert said == "echo: w0 w1 w2 w3", "five tokens, all of them"
    row = gateway.receipt_of(reply)
    assert row.usage is not None and (row.usage.output_tokens, row.usage.estimated) == (5, False)
    finishes = [
        choice["finish_reason"]
        for event in (reply.events[:-1] if stream else [reply.json])
        for choice in event["choices"]
        if choice["finish_reason"]
    ]
    assert finishes == ["length"]
    assert ask(gateway, "short-answers", WORDS, max_tokens=3).json["usage"]["completion_tokens"] == 3


def test_a_provider_that_ignores_the_cap_is_cut(gateway: Running, upstream: FaultProvider) -> None:
    upstream.on_call = lambda call: "gap=0.005,say=a b c d e f g h i j k l m n o p,n=16"
    try:
        reply = gateway.chat(
            "x", model="a/ignores", headers={"x-farthing-endpoint": "disobeyed"}, stream=True, max_tokens=500
        )
    finally:
        upstream.on_call = None
    # The fault provider obeys the cap it is sent, so what it says ends there.
    assert len(reply.said.split()) <= 6 and reply.events[-1] == "[DONE]"


def test_money_is_checked_before_each_call_and_shared_by_a_session(gateway: Running) -> None:
    headers = {"x-farthing-session": "spender"}
    spent = 0
    for number in range(200):
        reply = ask(gateway, "paid", f"{number} " + WORDS, headers=headers, max_tokens=100)
        row = gateway.receipt_of(reply)
        if reply.status != 200:
            assert (reply.error["code"], row.stop_reason) == ("contract_exceeded", "limit:usd_max")
            break
        assert row.cost_nusd is not None
        spent += row.cost_nusd
    else:
        pytest.fail("never refused")
    assert 400_000 < spent <= 1_000_000


def test_an_unknown_price_is_refused_where_money_is_limited(
    gateway: Running, upstream: FaultProvider
) -> None:
    calls = len(upstream.calls)
    reply = gateway.chat(model="a/good-unpriced", headers={"x-farthing-endpoint": "paid"})
    assert reply.status == 429 and "price" in reply.error["message"]
    assert len(upstream.calls) == calls


# -- a doubtful answer, and an answer without any model -------------------------------------------------


@pytest.mark.parametrize("logprobs", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_a_doubtful_answer_is_asked_again_of_the_better_tier(
    gateway: Running, upstream: FaultProvider, second: FaultProvider, stream: bool, logprobs: bool
) -> None:
    calls = len(upstream.calls), len(second.calls)
    fields: dict[str, Any] = {"logprobs": True} if logprobs else {}
    reply = gateway.chat("hard", headers={"x-farthing-task": "faq"}, stream=stream, **fields)
    assert reply.status == 200, reply.body
    said = reply.said if stream else reply.json["choices"][0]["message"]["content"]
    assert said == "echo: hard"
    assert (len(upstream.calls) - calls[0], len(second.calls) - calls[1]) == (1, 1)
    row = gateway.receipt_of(reply)
    assert (row.tier, row.target, row.calls) == ("expensive", "b/good-expensive", 2)
    assert "low confidence" in row.route_reason
    assert reply.headers["x-farthing-tier"] == "expensive"
    assert [attempt.tier for attempt in row.attempts] == ["unsure", "expensive"]
    assert row.attempts[0].usage is not None and row.attempts[0].usage.output_tokens == 3


@pytest.mark.parametrize("logprobs", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_nobody_doubts_is_kept(
    gateway: Running, second: FaultProvider, stream: bool, logprobs: bool
) -> None:
    calls = len(second.calls)
    fields: dict[str, Any] = {"logprobs": True} if logprobs else {}
    reply = gateway.chat("easy", headers={"x-farthing-task": "translate"}, stream=stream, **fields)
    assert reply.status == 200, reply.body
    assert (reply.said if stream else reply.json["choices"][0]["message"]["content"]) == "echo: easy"
    assert len(second.calls) == calls and gateway.receipt_of(reply).tier == "cheap"


def test_a_doubtful_answer_is_better_than_none(start_gateway: StartGateway, upstream: FaultProvider) -> None:
    gateway = start_gateway(f"""
[providers.a]
base_url = "{upstream.base_url}"
[tiers.unsure]
targets = ["a/fault:say=I don't know"]
[tiers.dead]
targets = ["a/fault:status=503"]
[route]
default = "unsure"
rules = [{{ when = 'input_tokens < 10000', tier = "unsure", escalate = "dead" }}]
""")
    for stream in (False, True):
        reply = gateway.chat(f"hard {stream}", stream=stream)
        assert reply.status == 200
        assert (reply.said if stream else reply.json["choices"][0]["message"]["content"]) == "I don't know"
        assert gateway.receipt_of(reply).skipped == {"escalate": "NoProviderLeft"}


@pytest.mark.parametrize("stream", [False, True])
def test_a_question_with_a_fixed_answer_asks_no_model(
    gateway: Running, upstream: FaultProvider, stream: bool
) -> None:
    calls = len(upstream.calls)
    reply = gateway.chat(
        "when are you OPEN", stream=stream, stream_options={"include_usage": True} if stream else None
    )
    said = reply.said if stream else reply.json["choices"][0]["message"]["content"]
    assert said == "We are open from nine to five."
    assert len(upstream.calls) == calls
    assert reply.headers["x-farthing-tier"] == "none"
    assert reply.headers["x-farthing-cost-usd"] == "0.000000000"
    row = gateway.receipt_of(reply)
    assert (row.tier, row.calls, row.cost_nusd) == ("none", 0, 0)
    assert row.baseline_nusd is not None and row.baseline_nusd > 0
    if stream:
        assert reply.events[-1] == "[DONE]" and reply.events[-2]["usage"]["completion_tokens"] > 0


# -- Farthing's own routes -----------------------------------------------------------------------------


@pytest.mark.parametrize(("tier", "target"), [("cheap", "a/good-cheap"), ("expensive", "b/good-expensive")])
def test_llm_inference_whole_and_streamed(gateway: Running, tier: str, target: str) -> None:
    body = {"model_tier": tier, "prompt": "é one two", "max_tokens": 20, "temperature": 0.5}
    reply = gateway.post("/llm-inference", body)
    answer = reply.json
    assert (answer["text"], answer["model_tier"], answer["model"]) == ("echo: é one two", tier, target)
    assert answer["finish_reason"] == "stop" and answer["usage"]["completion_tokens"] == 4
    assert answer["request_id"] == reply.headers["x-request-id"]
    assert answer["cost_usd"] == reply.headers["x-farthing-cost-usd"]
    streamed = gateway.post("/llm-inference", body | {"stream": True})
    assert "".join(e.get("text", "") for e in streamed.events[:-2]) == "echo: é one two"
    last = streamed.events[-2]
    assert (
        last["done"] is True and last["usage"] == answer["usage"] and last["cost_usd"] == answer["cost_usd"]
    )
    assert streamed.events[-1] == "[DONE]"


def test_llm_inference_without_a_tier_is_routed(gateway: Running, upstream: FaultProvider) -> None:
    reply = gateway.post("/llm-inference", {"prompt": "x"})
    assert reply.json["model_tier"] == "cheap"
    assert "max_tokens" not in upstream.calls[-1].json and "temperature" not in upstream.calls[-1].json


def test_ask_whole_and_streamed(gateway: Running) -> None:
    body = {
        "user_id": "u-42",
        "text": "one two",
        "task_type": "summarise",
        "metadata": {"language": "de", "session": "s1", "tenant": "shop", "flags": {"stream": False}},
    }
    reply = gateway.post("/v1/ask", body)
    assert reply.json["text"] == "echo: one two" and reply.json["task_type"] == "summarise"
    row = gateway.receipt_of(reply)
    assert (row.tenant, row.session, row.language, row.task_type) == ("shop", "s1", "de", "summarise")
    assert row.user and "u-42" not in row.user
    streamed = gateway.post("/v1/ask", {"text": "one two", "metadata": {"flags": ["stream"]}})
    assert "".join(e.get("text", "") for e in streamed.events[:-2]) == "echo: one two"


@pytest.mark.parametrize("script", ["U7-split", "eol=crlf,comments", "eol=cr"])
def test_the_text_of_an_odd_stream_is_all_there(
    gateway: Running, upstream: FaultProvider, script: str
) -> None:
    upstream.script(script)
    reply = gateway.post("/llm-inference", {"model_tier": "cheap", "prompt": "é one two", "stream": True})
    assert "".join(e.get("text", "") for e in reply.events[:-2]) == "echo: é one two"
    assert reply.events[-2]["finish_reason"] == "stop"


def test_a_broken_stream_is_told_on_these_routes_too(gateway: Running, upstream: FaultProvider) -> None:
    upstream.script("gap=0.02,truncate=4,end=cut")
    reply = gateway.post("/llm-inference", {"model_tier": "cheap", "prompt": "one two three", "stream": True})
    assert reply.events[-1]["error"]["code"] == "stream_broken"
    fixed = gateway.post("/v1/ask", {"text": "When are you open?", "metadata": {"flags": ["stream"]}})
    assert "".join(e.get("text", "") for e in fixed.events[:-2]) == "We are open from nine to five."
