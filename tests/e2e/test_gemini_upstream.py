"""Clients of every dialect before a provider that speaks Google's `generateContent`, and reads it as strictly
as the types of its SDK: what is written is what it takes, what it bills is what the receipt says, and what it
signs comes back to it."""

import base64
import json
import struct
from typing import Any

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import Reply, Running, until
from tests.e2e.responses_grammar import responses_faults
from tests.e2e.streams import frames
from tests.e2e.test_messages_upstream import CHATS, WEATHER, calls_in, finish_of, told, user
from tests.faults.exact import Exact, streamed, whole
from tests.faults.gemini_request import ANY, was_signed
from tests.faults.provider import FaultProvider
from tests.faults.truth import Call

Json = dict[str, Any]
PRICED = ("priced", "fault:prompt-tokens=100,cached=30")
TOOL: Json = {"name": "weather", "input_schema": WEATHER["function"]["parameters"]}
FUNCTION: Json = {"type": "function", **WEATHER["function"]}
BEFORE = (
    "status=429", "status=500", "status=503", "status=504", "reset", "bad=empty", "bad=html", "truncate=0",
    "error=0", "stall=0,hold=3",
)  # fmt: skip
"""What a provider does before its answer begins."""
SCRIPTS = (*BEFORE, *(f"{script},gap=0" for script in BEFORE))
"""The same for whole answers and for streams, each at a target of its own."""
COUNTS: Json = {"promptTokenCount": 12, "candidatesTokenCount": 3, "totalTokenCount": 15}


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    prices = "\n".join(
        f'[[prices]]\ntarget = "g/{model}"\ninput = 2\noutput = 12\ncached_input = 0.2\n'
        "input_audio = 6\noutput_image = 120\nweb_search_per_1000 = 14\nflex_factor = 0.5"
        for model in PRICED
    )
    tables = "\n".join(
        f'[providers.{name}]\nkind = "gemini"\nbase_url = "{upstream.base_url.removesuffix("/v1")}/v1beta"\n'
        'api_key = "${PROVIDER_KEY}"\npass_through = true\nfirst_byte_s = 1\nidle_s = 1\nwhole_s = 5'
        for name in ("g", "h")
    )
    tiers = "\n".join(
        f'[tiers.tier-{number}]\ntargets = ["h/fault:{script}", "g/second"]'
        for number, script in enumerate(SCRIPTS)
    )
    config = f"""
{tables}
{tiers}
[call]
attempts_max = 3
breaker_open_s = 0.01
[cache]
exact = "off"
{prices}
"""
    return start_gateway(config, PROVIDER_KEY="key-of-the-tests")


def object_of(*parts: Json, finish: str = "STOP", usage: Json | None = COUNTS, **candidate: Any) -> Json:
    one: Json = {"content": {"role": "model", "parts": list(parts)}} if parts else {}
    if finish:
        one["finishReason"] = finish
    found: Json = {"candidates": [one | {"index": 0} | candidate], "modelVersion": "m-1", "responseId": "r1"}
    return found if usage is None else found | {"usageMetadata": usage}


def call_of(upstream: FaultProvider) -> Call:
    call = upstream.calls[-1]
    until(lambda: call.end_s is not None)
    return call


def messages(gateway: Running, model: str, turns: list[Json], **fields: Any) -> Reply:
    body = {"model": model, "max_tokens": 500, "messages": turns, **fields}
    reply = gateway.post("/v1/messages", body)
    assert reply.status == 200, reply.body
    return reply


# -- what is written is taken ------------------------------------------------------------------------


CANNOT = {("a form", "gemini-2.5-flash"): "", ("a form with limits", "gemini-2.5-flash"): ""}
MODELS = ("good", "gemini-2.5-flash", "gemini-3.1-pro-preview")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("chat", CHATS)
def test_a_chat_is_written_as_the_provider_takes_it(gateway: Running, chat: str, model: str) -> None:
    said, fields = CHATS[chat]
    reply = gateway.post("/v1/chat/completions", {"model": f"g/{model}", "messages": said, **fields})
    assert reply.status == 200, reply.body


@pytest.mark.parametrize("stream", [False, True])
def test_parallel_calls_go_round_until_their_answer(
    gateway: Running, upstream: FaultProvider, stream: bool
) -> None:
    asked = [user("the weather in two towns")]
    tools = {"tools": [WEATHER], "stream": stream, "tool_choice": "required"}
    reply = told(gateway, asked, "g/fault:calls=2", **tools)
    calls = calls_in(reply)
    assert [json.loads(one["function"]["arguments"]) for one in calls] == [{"city": "text", "days": 1}] * 2
    assert len({one["id"] for one in calls}) == 2
    results = [{"role": "tool", "tool_call_id": one["id"], "content": "sun"} for one in reversed(calls)]
    turn = {"role": "assistant", "content": "", "tool_calls": calls}
    last = told(gateway, [*asked, turn, *results], "g/good", tools=[WEATHER], tool_choice="none")
    assert last.json["choices"][0]["message"]["content"] == "echo: the weather in two towns"
    kinds = [next(iter(part)) for content in call_of(upstream).json["contents"] for part in content["parts"]]
    assert kinds == ["text", "functionCall", "functionCall", "functionResponse", "functionResponse"]


# -- what is signed comes back -----------------------------------------------------------------------


def signed(call: Call) -> list[str | None]:
    """The signatures of the calls that went up."""
    parts = [part for content in call.json["contents"] for part in content["parts"]]
    return [part.get("thoughtSignature") for part in parts if "functionCall" in part]


def test_a_chat_client_returns_the_signature_at_the_call(gateway: Running, upstream: FaultProvider) -> None:
    asked = [user("the weather")]
    whole_turn = told(gateway, asked, "g/fault:calls=2", tools=[WEATHER]).json["choices"][0]["message"]
    assert was_signed(whole_turn["tool_calls"][0]["extra_content"]["google"]["thought_signature"])
    results = [
        {"role": "tool", "tool_call_id": one["id"], "content": "x"} for one in whole_turn["tool_calls"]
    ]
    kept = {name: whole_turn[name] for name in ("role", "content", "tool_calls")}
    for turn in (whole_turn, kept):
        told(gateway, [*asked, turn, *results], "g/good", tools=[WEATHER])
        first, second = signed(call_of(upstream))
        assert first is not None and was_signed(first) and second is None
        elsewhere = told(gateway, [*asked, turn, *results], "h/good", tools=[WEATHER])
        assert signed(call_of(upstream)) == [ANY, None], "another project refuses it"
        assert "messages.extra_content" in elsewhere.headers["x-farthing-left-out"]


def test_a_client_that_keeps_nothing_but_openais_fields_has_its_calls_signed_all_the_same(
    gateway: Running, upstream: FaultProvider
) -> None:
    for stream in (False, True):
        reply = told(gateway, [user("the weather")], "g/fault:calls=2", tools=[WEATHER], stream=stream)
        calls = [{name: one[name] for name in ("id", "type", "function")} for one in calls_in(reply)]
        turn = {"role": "assistant", "content": None, "tool_calls": calls}
        results = [{"role": "tool", "tool_call_id": one["id"], "content": "x"} for one in calls]
        told(gateway, [user("the weather"), turn, *results], "g/good", tools=[WEATHER])
        first, second = signed(call_of(upstream))
        assert first is not None and was_signed(first) and second is None


def test_calls_that_nobody_has_signed_are_taken(gateway: Running, upstream: FaultProvider) -> None:
    called = {"id": "call_a", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    turn = {"role": "assistant", "content": None, "tool_calls": [called]}
    result = {"role": "tool", "tool_call_id": "call_a", "content": "4 C"}
    told(gateway, [user("x"), turn, result], "g/good", tools=[WEATHER])
    assert signed(call_of(upstream)) == [ANY]
    told(gateway, [user("x"), turn, result], "g/gemini-2.5-pro", tools=[WEATHER])
    assert signed(call_of(upstream)) == [None]
    assert "id" not in call_of(upstream).json["contents"][1]["parts"][0]["functionCall"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_of_messages_returns_the_signature_as_that_of_a_thought(
    gateway: Running, upstream: FaultProvider, stream: bool
) -> None:
    turns = [user("the weather")]
    thinking = {"type": "enabled", "budget_tokens": 1_024}
    fields: Json = {"tools": [TOOL], "thinking": thinking, "max_tokens": 2_000}
    reply = messages(gateway, "g/fault:calls=2", turns, stream=stream, **fields)
    content = reply.json["content"] if not stream else content_of(reply)
    kinds = [block["type"] for block in content]
    assert kinds[0] == "thinking" and kinds[-2:] == ["tool_use", "tool_use"]
    assert content[0]["thinking"] == "let me think"
    results = [
        {"type": "tool_result", "tool_use_id": block["id"], "content": "sun"}
        for block in content
        if block["type"] == "tool_use"
    ]
    turns += [{"role": "assistant", "content": content}, {"role": "user", "content": results}]
    messages(gateway, "g/good", turns, **fields)
    first, second = signed(call_of(upstream))
    assert first is not None and was_signed(first) and second is None
    elsewhere = messages(gateway, "h/good", turns, **fields)
    assert signed(call_of(upstream)) == [ANY, None], "another project refuses it"
    assert "messages.thinking" in elsewhere.headers["x-farthing-left-out"]


def content_of(reply: Reply) -> list[Json]:
    """The blocks that a stream of Messages comes to."""
    blocks: list[Json] = []
    for event in reply.events:
        if event["type"] == "content_block_start":
            blocks.append({**event["content_block"], "partial": ""})
        elif event["type"] == "content_block_delta":
            delta = event["delta"]
            for name, field in (("text", "text"), ("thinking", "thinking"), ("partial_json", "partial")):
                if name in delta:
                    blocks[-1][field] += delta[name]
            if "signature" in delta:
                blocks[-1]["signature"] = delta["signature"]
    for block in blocks:
        given = block.pop("partial")
        if block["type"] == "tool_use":
            block["input"] = json.loads(given or "{}")
    return blocks


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_of_responses_returns_the_signature_in_its_items(
    gateway: Running, upstream: FaultProvider, stream: bool
) -> None:
    items: list[Json] = [{"role": "user", "content": "the weather"}]
    body: Json = {"model": "g/fault:calls=2", "input": items, "tools": [FUNCTION], "store": False}
    reply = gateway.post("/v1/responses", {**body, "stream": stream, "reasoning": {"effort": "low"}})
    assert reply.status == 200, reply.body
    if stream:
        assert responses_faults(frames(reply.body)) == []
        output = reply.events[-1]["response"]["output"]
    else:
        output = reply.json["output"]
    assert [item["type"] for item in output].count("function_call") == 2
    items += output
    items += [
        {"type": "function_call_output", "call_id": item["call_id"], "output": "sun"}
        for item in output
        if item["type"] == "function_call"
    ]
    assert gateway.post("/v1/responses", {**body, "model": "g/good", "input": items}).status == 200
    first, second = signed(call_of(upstream))
    assert first is not None and was_signed(first) and second is None
    assert gateway.post("/v1/responses", {**body, "model": "h/good", "input": items}).status == 200
    assert signed(call_of(upstream)) == [ANY, None], "another project refuses it"


@pytest.mark.parametrize("stream", [False, True])
def test_the_signature_of_a_text_comes_back_to_it(
    gateway: Running, upstream: FaultProvider, stream: bool
) -> None:
    reply = messages(gateway, "g/fault:reasoning=hm", [user("one")], stream=stream)
    content = content_of(reply) if stream else reply.json["content"]
    assert [block["type"] for block in content] == ["text"], "its client takes the last block for the answer"
    assert content[0]["text"] == "echo: one"
    messages(gateway, "g/good", [user("one"), {"role": "assistant", "content": content}, user("two")])
    part = call_of(upstream).json["contents"][1]["parts"][0]
    assert part["text"] == "echo: one" and was_signed(part["thoughtSignature"])
    messages(gateway, "h/good", [user("one"), {"role": "assistant", "content": content}, user("two")])
    assert call_of(upstream).json["contents"][1]["parts"] == [{"text": "echo: one"}]
    turn = told(gateway, [user("one")], "g/fault:reasoning=hm").json["choices"][0]["message"]
    told(gateway, [user("one"), turn, user("two")], "g/good")
    assert was_signed(call_of(upstream).json["contents"][1]["parts"][0]["thoughtSignature"])


# -- fields of its own -------------------------------------------------------------------------------


def test_fields_of_gemini_go_up_as_they_came(gateway: Running, upstream: FaultProvider) -> None:
    safety = [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]
    google = {"cached_content": "cachedContents/1", "thinking_config": {"includeThoughts": True}}
    told(
        gateway,
        [user("one")],
        "g/good",
        extra_body={"google": google},
        safety_settings=safety,
        generationConfig={"topK": 3},
        service_tier="flex",
        web_search_options={},
    )
    body = call_of(upstream).json
    assert body["cachedContent"] == "cachedContents/1" and body["safetySettings"] == safety
    assert body["generationConfig"] == {"thinkingConfig": {"includeThoughts": True}, "topK": 3}
    assert body["serviceTier"] == "flex" and body["tools"] == [{"googleSearch": {}}]


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"n": 2}, "n"),
        ({"logit_bias": {"1": 2}}, "logit_bias"),
        ({"logprobs": True}, "logprobs"),
        ({"stop": list("abcdef")}, "stop"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"a_field_of_ours": 1}, "a_field_of_ours"),
        ({"extra_body": {"google": {"odd": 1}}}, "extra_body.google.odd"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools.custom"),
        ({"tools": [{"type": "file_search"}]}, "tools.file_search"),
    ],
)
def test_what_cannot_be_said_is_refused_by_name(
    gateway: Running, upstream: FaultProvider, fields: Json, name: str
) -> None:
    calls = len(upstream.calls)
    reply = gateway.post("/v1/chat/completions", {"model": "g/good", "messages": [user("x")], **fields})
    assert (reply.status, reply.error["code"], reply.error["param"]) == (400, "cannot_say", name)
    assert len(upstream.calls) == calls


def test_a_form_beside_tools_is_for_newer_models(gateway: Running) -> None:
    body = {"messages": [user("x")], "tools": [WEATHER], "response_format": {"type": "json_object"}}
    assert gateway.post("/v1/chat/completions", {"model": "g/gemini-3-flash", **body}).status == 200
    reply = gateway.post("/v1/chat/completions", {"model": "g/gemini-2.5-pro", **body})
    assert (reply.status, reply.error["param"]) == (400, "response_format")
    assert "Gemini 3" in reply.error["message"]


@pytest.mark.parametrize(
    ("model", "effort", "config"),
    [
        ("gemini-2.5-flash", "none", {"thinkingBudget": 0}),
        ("gemini-2.5-pro", "none", {"thinkingBudget": 128}),
        ("gemini-2.5-flash", "low", {"thinkingBudget": 2_048, "includeThoughts": True}),
        ("gemini-3-pro-preview", "medium", {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("gemini-3-flash-preview", "minimal", {"thinkingLevel": "MINIMAL", "includeThoughts": True}),
        ("gemini-3.1-pro-preview", "minimal", {"thinkingLevel": "LOW", "includeThoughts": True}),
        ("gemini-3.8-flash", "none", {"thinkingLevel": "LOW"}),
        ("gemini-4-argon", "xhigh", {"thinkingLevel": "HIGH", "includeThoughts": True}),
    ],
)
def test_thinking_is_asked_for_as_the_model_takes_it(
    gateway: Running, upstream: FaultProvider, model: str, effort: str, config: Json
) -> None:
    told(gateway, [user("two")], f"g/{model}", reasoning_effort=effort)
    assert call_of(upstream).json["generationConfig"]["thinkingConfig"] == config


# -- what comes back ---------------------------------------------------------------------------------


ENDS = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "OTHER": "length",
    "A_WORD_OF_TOMORROW": "length",
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("said", ENDS)
def test_the_reason_to_end_is_told_truly(gateway: Running, said: str, stream: bool) -> None:
    reply = told(gateway, [user("x")], f"g/fault:finish={said}", stream=stream)
    choices = (
        [one for event in reply.events[:-1] for one in event["choices"]] if stream else reply.json["choices"]
    )
    assert choices[-1]["finish_reason"] == ENDS[said]
    assert choices[-1].get("native_finish_reason") == (None if said in ("STOP", "MAX_TOKENS") else said)


FAILED = ("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MISSING_THOUGHT_SIGNATURE", "NO_IMAGE")


@pytest.mark.slow
@pytest.mark.parametrize("said", FAILED)
def test_an_answer_that_the_model_has_spoilt_is_an_error(
    gateway: Running, upstream: FaultProvider, said: str
) -> None:
    spoilt = object_of(
        finish=said, usage={"promptTokenCount": 12, "totalTokenCount": 12}, finishMessage="odd"
    )
    for stream, model in ((False, f"whole-{said}"), (True, f"stream-{said}")):
        upstream.exactly(model, streamed(spoilt) if stream else whole(spoilt))
        reply = gateway.chat("x", model=f"g/{model}", stream=stream)
        assert reply.status == 502 and f"{said}: odd" in reply.error["message"], reply.body
        attempt = gateway.receipt_of(reply).attempts[0]
        assert attempt.usage is not None and attempt.usage.input_tokens == 12


def test_a_spoilt_call_after_text_ends_the_stream_with_an_error(
    gateway: Running, upstream: FaultProvider
) -> None:
    upstream.exactly(
        "late", streamed(object_of({"text": "on"}, finish=""), object_of(finish="MALFORMED_FUNCTION_CALL"))
    )
    reply = gateway.chat("x", model="g/late", stream=True)
    assert reply.said == "on" and "MALFORMED_FUNCTION_CALL" in reply.events[-1]["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_that_is_blocked_is_told_as_such_and_charged(
    gateway: Running, upstream: FaultProvider, stream: bool
) -> None:
    blocked: Json = {
        "promptFeedback": {"blockReason": "PROHIBITED_CONTENT", "blockReasonMessage": "not that"},
        "usageMetadata": {"promptTokenCount": 12, "totalTokenCount": 12},
        "modelVersion": "m-1",
    }
    upstream.exactly("priced", streamed(blocked) if stream else whole(blocked))
    calls = len(upstream.calls)
    reply = told(gateway, [user("x")], "g/priced", stream=stream)
    choices = (
        [one for event in reply.events[:-1] for one in event["choices"]] if stream else reply.json["choices"]
    )
    assert choices[-1]["finish_reason"] == "content_filter"
    assert choices[-1]["native_finish_reason"] == "PROHIBITED_CONTENT"
    assert len(upstream.calls) == calls + 1
    receipt = gateway.receipt_of(reply)
    assert receipt.usage is not None and not receipt.usage.estimated
    assert (receipt.usage.input_tokens, receipt.usage.output_tokens) == (12, 0)
    assert receipt.cost_nusd == 12 * 2_000
    upstream.exactly("blocked", streamed(blocked) if stream else whole(blocked))
    own = messages(gateway, "g/blocked", [user("x")], stream=stream)
    said = own.events[-2]["delta"]["stop_reason"] if stream else own.json["stop_reason"]
    assert said == "refusal"


def test_pages_that_were_searched_are_cited_and_charged(gateway: Running, upstream: FaultProvider) -> None:
    grounding = {
        "webSearchQueries": ["one", "two"],
        "groundingChunks": [{"web": {"uri": "https://e.example/a", "title": "A"}}],
        "groundingSupports": [
            {"segment": {"startIndex": 4, "endIndex": 10, "text": "is 4 d"}, "groundingChunkIndices": [0]}
        ],
    }
    pieces = (
        object_of({"text": "It "}, finish=""),
        object_of({"text": "½ is 4 d."}, groundingMetadata=grounding),
    )
    upstream.exactly(
        "priced", streamed(*pieces), whole(object_of({"text": "It ½ is 4 d."}, groundingMetadata=grounding))
    )
    for stream in (True, False):
        reply = told(gateway, [user("x")], "g/priced", stream=stream, web_search_options={})
        deltas = [one["delta"] for event in reply.events[:-1] for one in event["choices"]] if stream else []
        found = [one for delta in deltas for one in delta.get("annotations", ())]
        found = found if stream else reply.json["choices"][0]["message"]["annotations"]
        cited = found[0]["url_citation"]
        assert (cited["url"], cited["title"]) == ("https://e.example/a", "A")
        assert "It ½ is 4 d."[cited["start_index"] : cited["end_index"]] == "is 4 d"
        assert gateway.receipt_of(reply).cost_nusd == 12 * 2_000 + 3 * 12_000 + 2 * 14_000_000


@pytest.mark.parametrize("stream", [False, True])
def test_an_image_of_the_answer_stands_beside_its_text(
    gateway: Running, upstream: FaultProvider, stream: bool
) -> None:
    image = {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}
    usage = {
        "promptTokenCount": 10,
        "candidatesTokenCount": 1_290,
        "totalTokenCount": 1_300,
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1_290}],
    }
    told_so = object_of({"text": "Here:"}, image, usage=usage)
    upstream.exactly("priced", streamed(told_so) if stream else whole(told_so))
    reply = told(gateway, [user("draw")], "g/priced", stream=stream, modalities=["text", "image"])
    assert call_of(upstream).json["generationConfig"]["responseModalities"] == ["TEXT", "IMAGE"]
    if stream:
        deltas = [one["delta"] for event in reply.events[:-1] for one in event["choices"]]
        images = [one for delta in deltas for one in delta.get("images", ())]
    else:
        images = reply.json["choices"][0]["message"]["images"]
    assert [one["image_url"]["url"] for one in images] == ["data:image/png;base64,iVBORw0KGgo="]
    assert gateway.receipt_of(reply).cost_nusd == 10 * 2_000 + 1_290 * 120_000


# -- money -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_billed_is_what_the_receipt_says(
    gateway: Running, upstream: FaultProvider, stream: bool
) -> None:
    reply = told(gateway, [user("x")], f"g/{PRICED[1]}", stream=stream, reasoning_effort="low")
    receipt, call = gateway.receipt_of(reply), call_of(upstream)
    usage = receipt.usage
    assert usage is not None and not usage.estimated
    assert (usage.input_tokens, usage.cached_tokens, usage.reasoning_tokens) == (100, 30, 3)
    assert usage.output_tokens == call.completion_tokens == 5
    assert receipt.cost_nusd == 70 * 2_000 + 30 * 200 + 5 * 12_000


def test_the_service_tier_that_ran_is_charged(gateway: Running, upstream: FaultProvider) -> None:
    answer = object_of({"text": "on"})
    upstream.exactly(
        "priced",
        whole(answer, headers={"x-gemini-service-tier": "flex"}),
        whole(answer, headers={"x-gemini-service-tier": "standard"}),
        streamed(answer),
        streamed(answer, headers={"x-gemini-service-tier": "standard"}),
        streamed(answer, headers={"x-gemini-service-tier": "priority"}),
    )
    costs = []
    for stream in (False, False, True, True, True):
        reply = told(gateway, [user("x")], "g/priced", service_tier="flex", stream=stream)
        costs.append(gateway.receipt_of(reply).cost_nusd)
    full = 12 * 2_000 + 3 * 12_000
    assert costs == [full // 2, full, full // 2, full, None], "what has no price is unknown"


# -- faults ------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("script", BEFORE)
def test_what_fails_before_the_answer_is_answered_by_the_next_target(
    gateway: Running, script: str, stream: bool
) -> None:
    script = f"{script},gap=0" if stream else script
    reply = gateway.chat("over there", model=f"tier-{SCRIPTS.index(script)}", stream=stream)
    assert reply.status == 200, reply.body
    text = reply.said if stream else reply.json["choices"][0]["message"]["content"]
    assert text == "echo: over there"
    targets = [attempt.target for attempt in gateway.receipt_of(reply).attempts]
    assert (targets[0], targets[-1]) == (f"h/fault:{script}", "g/second")


AFTER = ("truncate=2", "truncate=2,end=cut", "truncate=2,end=reset", "error=2", "stall=2,hold=3", "bad=json",
         "bad=utf8")  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("script", AFTER)
def test_what_fails_after_text_ends_with_an_error_and_never_as_an_answer(
    gateway: Running, script: str
) -> None:
    reply = gateway.chat("one two three", model=f"g/fault:{script}", stream=True)
    assert reply.said in ("echo:", "echo: one")
    assert reply.events[-1]["error"]["code"], reply.body
    finishes = [
        one["finish_reason"] for event in reply.events if "choices" in event for one in event["choices"]
    ]
    assert not any(finishes)
    receipt = gateway.receipt_of(reply)
    assert receipt.error and receipt.usage is not None and receipt.usage.output_tokens > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "script", ["truncate=1", "length=long", "bad=json", "bad=empty", "bad=type", "error=1"]
)
def test_a_whole_answer_that_is_none_is_an_error(gateway: Running, script: str) -> None:
    assert gateway.chat("x", model=f"g/fault:{script}").status in (500, 502, 504)


def test_events_may_be_cut_anywhere(gateway: Running) -> None:
    for script in ("split=1,eol=crlf", "split=7,eol=mixed,comments"):
        reply = gateway.chat("¼ d", model=f"g/fault:{script}", stream=True)
        assert reply.said == "echo: ¼ d" and reply.events[-1] == "[DONE]", reply.body


REFUSED: dict[str, tuple[Exact, int, str]] = {
    "a list of errors": (
        whole([{"error": {"code": 400, "message": "no such field", "status": "INVALID_ARGUMENT"}}], 400),
        400,
        "no such field",
    ),
    "an error in place of an answer": (
        whole({"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}),
        503,
        "overloaded",
    ),
    "a list of errors in place of a stream": (
        whole([{"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}}], 429),
        429,
        "slow down",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_errors_are_told_in_googles_words(gateway: Running, upstream: FaultProvider, name: str) -> None:
    given, status, words = REFUSED[name]
    for stream in (False, True):
        model = f"refused-{name.replace(' ', '-')}-{stream}"
        upstream.exactly(model, given)
        reply = gateway.chat("x", model=f"g/{model}", stream=stream)
        assert reply.status in (status, 502) and words in reply.error["message"], reply.body


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_of_the_other_way_is_read(gateway: Running, upstream: FaultProvider, stream: bool) -> None:
    pieces = [object_of({"text": "on "}, finish=""), object_of({"text": "on"})]
    upstream.exactly("other", whole(pieces[1]) if stream else streamed(*pieces))
    reply = gateway.chat("x", model="g/other", stream=stream)
    assert (reply.said if stream else reply.json["choices"][0]["message"]["content"]) == (
        "on" if stream else "on on"
    )
    upstream.exactly("other", whole(pieces))  # as without `alt=sse`
    reply = gateway.chat("x", model="g/other", stream=stream)
    assert (reply.said if stream else reply.json["choices"][0]["message"]["content"]) == "on on"


# -- the rest of its interface -----------------------------------------------------------------------


def test_tokens_are_counted_by_the_provider(gateway: Running, upstream: FaultProvider) -> None:
    body = {"model": "g/good", "messages": [user("one two three")], "system": "be brief"}
    reply = gateway.post("/v1/messages/count_tokens", body)
    assert reply.json == {"input_tokens": 5}, reply.body
    asked = call_of(upstream)
    assert asked.path == "/v1beta/models/good:countTokens"
    assert asked.json["generateContentRequest"]["model"] == "models/good"


def test_vectors_come_as_openai_packs_them(gateway: Running, upstream: FaultProvider) -> None:
    reply = gateway.post("/v1/embeddings", {"model": "g/good", "input": ["a", "bc"], "dimensions": 3})
    assert [one["embedding"] for one in reply.json["data"]] == [[1.0, 2.0, 3.0], [2.0, 3.0, 4.0]]
    assert reply.json["usage"]["prompt_tokens"] == 2
    asked = call_of(upstream)
    assert asked.path == "/v1beta/models/good:batchEmbedContents"
    assert asked.json["requests"][0]["outputDimensionality"] == 3
    packed = gateway.post("/v1/embeddings", {"model": "g/good", "input": "abc", "encoding_format": "base64"})
    vector = struct.unpack("<8f", base64.b64decode(packed.json["data"][0]["embedding"]))
    assert vector[:2] == (3.0, 4.0)
    many = gateway.post("/v1/embeddings", {"model": "g/good", "input": ["x"] * 250})
    assert many.status == 200, many.body
    assert len(many.json["data"]) == 250 and [one["index"] for one in many.json["data"]] == list(range(250))
    refused = gateway.post("/v1/embeddings", {"model": "g/good", "input": [1, 2]})
    assert (refused.status, refused.error["param"]) == (400, "input")


def test_its_models_are_listed(gateway: Running) -> None:
    listed = [one["id"] for one in gateway.request("GET", "/v1/models").json["data"]]
    assert "g/good" in listed and not any("veo" in name for name in listed)


def test_the_key_goes_up_in_its_header_and_is_never_repeated(
    gateway: Running, upstream: FaultProvider
) -> None:
    told(gateway, [user("x")], "g/good")
    asked = call_of(upstream)
    assert asked.headers["x-goog-api-key"] == "key-of-the-tests" and asked.query == ""
    upstream.exactly("leaks", whole({"error": {"code": 400, "message": "no key-of-the-tests"}}, 400))
    reply = gateway.chat("x", model="g/leaks")
    assert reply.status == 400 and b"key-of-the-tests" not in reply.body
    bad = {"code": 400, "status": "INVALID_ARGUMENT", "message": "API key not valid",
           "details": [{"@type": "x", "reason": "API_KEY_INVALID"}]}  # fmt: skip
    upstream.exactly("bad-key", whole({"error": bad}, 400))
    assert "api_key" in gateway.logged() or gateway.chat("x", model="g/bad-key").status == 502


def test_finish_of_a_plain_answer(gateway: Running) -> None:
    assert finish_of(told(gateway, [user("x")], "g/good")) == "stop"
