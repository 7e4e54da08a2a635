"""The front door of Responses, through the official client over real sockets."""

from collections.abc import Iterator
from typing import Any

import pytest
from openai import BadRequestError, NotFoundError, OpenAI
from openai.types.responses import ResponseFunctionToolCall
from pydantic import BaseModel
from tests.conftest import StartGateway
from tests.e2e.gateway import Running, until
from tests.e2e.responses_grammar import last_of, responses_faults, valid
from tests.e2e.streams import frames
from tests.faults.exact import COUNTED, DONE, HELLO, ROLE, STOP, chunk, say, streamed, whole, whole_of
from tests.faults.provider import FaultProvider

KEY = "fk-of-the-client-0123456789"
FUNCTION: Any = {
    "type": "function",
    "name": "look_up",
    "parameters": {"type": "object", "properties": {"q": {"type": "string"}}},
    "strict": False,
}


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    root = upstream.base_url.removesuffix("/v1")
    config = f"""
[[keys]]
tenant = "acme"
key = "${{CLIENT_KEY}}"
[providers.chat]
base_url = "{upstream.base_url}"
pass_through = true
[providers.claude]
kind = "anthropic"
base_url = "{root}"
api_key = "${{PROVIDER_KEY}}"
pass_through = true
[tiers.cheap]
targets = ["chat/good"]
[call]
attempts_max = 1
breaker_open_s = 0.01
[[answers]]
name = "hours"
text = "We are open from nine to five."
phrases = ["When are you open?"]
[endpoints.hurried]
deadline_s = 2
[[prices]]
target = "chat/good"
input = 3
output = 15
[[prices]]
target = "claude/good"
input = 3
output = 15
"""
    return start_gateway(config, CLIENT_KEY=KEY, PROVIDER_KEY="sk-ant-of-the-provider")


@pytest.fixture
def client(gateway: Running) -> Iterator[OpenAI]:
    with OpenAI(base_url=gateway.base_url, api_key=KEY, max_retries=0) as made:
        yield made


def raw(gateway: Running, **fields: Any) -> Any:
    asks = {"model": "chat/good", "input": "hello there", "store": False, **fields}
    return gateway.post("/v1/responses", asks, {"authorization": f"Bearer {KEY}"})


@pytest.mark.parametrize("model", ["chat/good", "claude/good", "cheap", "auto"])
def test_an_input_is_answered_whole_and_streamed(client: OpenAI, model: str) -> None:
    found = client.responses.create(model=model, input="hello there", max_output_tokens=50)
    assert (found.object, found.status) == ("response", "completed")
    assert found.output_text and found.usage is not None and found.usage.total_tokens > 0
    with client.responses.stream(model=model, input="hello there", max_output_tokens=50) as stream:
        kinds = [one.type for one in stream]
        last = stream.get_final_response()
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed"
    assert last.output_text == found.output_text and last.usage == found.usage


def test_who_names_no_model_gets_the_automatic_choice_and_who_asks_nothing_the_answer_to_that(
    client: OpenAI, upstream: FaultProvider
) -> None:
    """By what OpenAI publishes a request has to have neither."""
    assert client.responses.create(input="hello there").output_text
    assert client.responses.create().status == "completed"
    assert upstream.calls[-1].json["messages"] == [{"role": "user", "content": ""}]
    assert upstream.calls[-1].model == "good"
    assert client.responses.input_tokens.count().object == "response.input_tokens"


@pytest.mark.parametrize("model", ["chat/good", "claude/good"])
def test_what_goes_over_the_wire_is_right_by_the_types_of_the_sdk(gateway: Running, model: str) -> None:
    valid(raw(gateway, model=model).body)
    last_of(raw(gateway, model=model, stream=True).body)


def test_the_answer_from_memory_is_another_response_that_says_the_same(client: OpenAI) -> None:
    asks: dict[str, Any] = {"model": "chat/good", "input": "once more", "temperature": 0}
    first = client.responses.with_raw_response.create(**asks)
    again = client.responses.with_raw_response.create(**asks)
    assert (first.headers["x-farthing-cache"], again.headers["x-farthing-cache"]) == ("miss", "exact")
    one, two = first.parse(), again.parse()
    assert one.output_text == two.output_text and one.id != two.id
    with client.responses.stream(**asks) as stream:
        assert stream.get_final_response().output_text == one.output_text


def test_its_receipt_names_the_dialect_and_costs_what_a_chat_does(client: OpenAI, gateway: Running) -> None:
    fresh = {"cache-control": "no-store"}
    got = client.responses.with_raw_response.create(
        model="chat/good", input="how are you there", extra_headers=fresh
    )
    chat = client.chat.completions.with_raw_response.create(
        model="chat/good",
        messages=[{"role": "user", "content": "how are you there"}],
        extra_headers=fresh,
    )
    cost = got.headers["x-farthing-cost-usd"]
    assert cost == chat.headers["x-farthing-cost-usd"] and float(cost) > 0
    until(lambda: any(getattr(row, "dialect", "") == "responses" for row in gateway.rows()))


def test_an_answer_without_a_provider_is_told_too(client: OpenAI) -> None:
    found = client.responses.create(model="auto", input="When are you open?")
    assert found.output_text == "We are open from nine to five."
    with client.responses.stream(model="auto", input="When are you open?") as stream:
        assert stream.get_final_response().output_text == "We are open from nine to five."


class Town(BaseModel):
    name: str
    degrees: int


def test_a_schema_goes_up_and_its_object_comes_back(client: OpenAI, upstream: FaultProvider) -> None:
    upstream.exactly("responses-schema", whole(whole_of('{"name": "Oslo", "degrees": 4}')))
    found = client.responses.parse(model="chat/responses-schema", input="Weather?", text_format=Town)
    assert found.output_parsed == Town(name="Oslo", degrees=4)
    assert found.text is not None and found.text.format is not None
    assert found.text.format.type == "json_schema"


def test_a_tool_is_called_and_its_result_is_taken(client: OpenAI, upstream: FaultProvider) -> None:
    call = {"id": "call_a", "type": "function", "function": {"name": "look_up", "arguments": '{"q":"tea"}'}}
    message = {"role": "assistant", "content": None, "reasoning_content": "Hm.", "tool_calls": [call]}
    upstream.exactly("responses-tool", whole(whole_of(message, "tool_calls")))
    first = client.responses.create(model="chat/responses-tool", input="Tea?", tools=[FUNCTION])
    thought, called = first.output
    assert isinstance(called, ResponseFunctionToolCall)
    assert (thought.type, called.call_id, called.arguments) == ("reasoning", "call_a", '{"q":"tea"}')
    history: Any = [{"role": "user", "content": "Tea?"}, *(one.to_dict() for one in first.output)]
    history.append({"type": "function_call_output", "call_id": "call_a", "output": "Green."})
    second = client.responses.create(model="chat/good", input=history, tools=[FUNCTION])
    assert second.output_text


def test_a_deadline_cuts_a_stream_into_an_incomplete_response(
    gateway: Running, upstream: FaultProvider
) -> None:
    slow = streamed(ROLE, *say("Cold ", "and "))
    pieces = tuple((0.0, data) for _, data in slow.pieces[:-1]) if len(slow.pieces) > 1 else slow.pieces
    upstream.exactly("responses-slow", type(slow)((*pieces, (30.0, b"")), "hold"))
    reply = gateway.post(
        "/v1/responses",
        {"model": "chat/responses-slow", "input": "hi", "stream": True},
        {"authorization": f"Bearer {KEY}", "x-farthing-endpoint": "hurried"},
    )
    found = last_of(reply.body)
    assert (found["status"], found["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert found["output"][0]["status"] == "incomplete"


def test_a_stream_that_breaks_ends_in_a_response_that_failed(
    gateway: Running, upstream: FaultProvider
) -> None:
    error = {"error": {"message": "Out of luck.", "code": "server_error"}}
    upstream.exactly("responses-broken", streamed(*HELLO, error))
    found = last_of(raw(gateway, model="chat/responses-broken", stream=True).body)
    assert (found["status"], found["error"]["message"]) == ("failed", "Out of luck.")
    assert found["output"][0]["content"][0]["text"] == "hello"


def test_a_prompt_that_is_too_long_fails_in_the_stream(gateway: Running, upstream: FaultProvider) -> None:
    said = {"message": "Too many tokens.", "type": "invalid_request_error", "code": "context_length_exceeded"}
    upstream.exactly("responses-long", whole({"error": said}, status=400))
    reply = raw(gateway, model="chat/responses-long", stream=True)
    assert reply.status == 200
    assert responses_faults(frames(reply.body)) == []
    assert frames(reply.body)[-1].data["response"]["error"]["code"] == "context_length_exceeded"
    reply = raw(gateway, model="chat/responses-long")
    assert (reply.status, reply.error["code"]) == (400, "context_length_exceeded")


def test_a_conversation_is_compacted(client: OpenAI, upstream: FaultProvider) -> None:
    upstream.exactly("responses-compact", whole(whole_of("They want tea.")))
    history: Any = [{"role": "user", "content": "Tea?"}, {"role": "assistant", "content": "Which?"}]
    compacted = client.responses.compact(model="chat/responses-compact", input=history)
    assert (compacted.object, compacted.usage.total_tokens) == ("response.compaction", 15)
    (item,) = compacted.output
    assert item.type == "compaction"
    again: Any = [item.to_dict(), {"role": "user", "content": "Green."}]
    assert client.responses.create(model="chat/good", input=again).output_text


def test_what_cannot_be_done_is_refused_by_name(client: OpenAI) -> None:
    with pytest.raises(BadRequestError) as refused:
        client.responses.create(model="chat/good", input="x", background=True)
    assert refused.value.param == "background"
    with pytest.raises(NotFoundError) as missing:
        client.responses.create(model="nowhere", input="x")
    assert missing.value.code == "model_not_found"


def test_logprobs_come_where_they_are_asked_for(gateway: Running, upstream: FaultProvider) -> None:
    token = {"token": "hello", "bytes": [104], "logprob": -0.5, "top_logprobs": []}
    choice = {
        "index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop",
        "logprobs": {"content": [token], "refusal": None},
    }  # fmt: skip
    upstream.exactly("responses-logprobs", whole(whole_of(choices=[choice])))
    asks = {"model": "chat/responses-logprobs", "include": ["message.output_text.logprobs"]}
    found = valid(raw(gateway, **asks).body)
    assert found["output"][0]["content"][0]["logprobs"] == [token]
    pieces = [
        {**chunk(), "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None,
                                 "logprobs": {"content": [{**token, "token": word}]}}]}
        for word in ("hel", "lo")
    ]  # fmt: skip
    upstream.exactly("responses-logprobs", streamed(ROLE, *pieces, STOP, COUNTED, DONE))
    sent = raw(gateway, **asks, stream=True).body
    told = last_of(sent)["output"][0]["content"][0]["logprobs"]
    assert [one["token"] for one in told] == ["hel", "lo"]
    deltas = [one.data for one in frames(sent) if one.kind == "response.output_text.delta"]
    assert [[one["token"] for one in delta["logprobs"]] for delta in deltas] == [["hel"], ["lo"]]


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_that_an_item_added_is_called_by_the_clients_name_for_it(
    gateway: Running, upstream: FaultProvider, stream: bool
) -> None:
    added = {
        "type": "additional_tools",
        "role": "developer",
        "tools": [{"type": "namespace", "name": "editor", "tools": [{"type": "custom", "name": "patch"}]}],
    }
    function = {"name": "editor__patch", "arguments": '{"input": "*** x"}'}
    call = {"id": "c_1", "type": "function", "function": function}
    upstream.exactly(
        "adds",
        streamed(chunk({"role": "assistant", "tool_calls": [{**call, "index": 0}]}), STOP, COUNTED, DONE)
        if stream
        else whole(whole_of({"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls")),
    )
    asked = raw(
        gateway,
        model="chat/adds",
        tools=[FUNCTION],
        input=[added, {"role": "user", "content": "go"}],
        stream=stream,
    )
    up = upstream.calls[-1].json
    assert [tool["function"]["name"] for tool in up["tools"]] == ["look_up", "editor__patch"]
    told = last_of(asked.body) if stream else valid(asked.body)
    (made,) = told["output"]
    assert (made["type"], made["namespace"], made["name"], made["input"]) == (
        "custom_tool_call", "editor", "patch", "*** x",
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["web_search", "image_generation"])
def test_what_codex_offers_with_every_request_is_no_reason_to_refuse_it(gateway: Running, kind: str) -> None:
    for model in ("chat/good", "claude/good"):
        asks = {"model": model, "tools": [FUNCTION, {"type": kind}]}
        assert raw(gateway, **asks).status == 400
        taken = raw(gateway, **asks, client_metadata={"x-codex-installation-id": "i"})
        assert taken.status == 200 and f"tools.{kind}" in taken.headers["x-farthing-left-out"]
