"""Stored responses through the official client: kept, continued over turns with tools, told again, listed,
deleted; nobody else's, not past their time, after a restart; and what happens where they cannot be kept."""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.responses import Response
from tests.conftest import StartGateway
from tests.e2e.disk import small_disk
from tests.e2e.gateway import LIMIT_S, Reply, Running, running, until
from tests.faults.exact import streamed, whole
from tests.faults.provider import FaultProvider

KEY, TWIN_KEY = "fk-of-acme-0123456789", "fk-of-acme-too-9876543210"
OTHER_KEY = "fk-of-other-0123456789"
ENV = {
    "ACME_KEY": KEY,
    "TWIN_KEY": TWIN_KEY,
    "OTHER_KEY": OTHER_KEY,
    "PROVIDER_KEY": "sk-ant-of-the-provider",
}
NOWHERE = "resp_00000000000000000000000000000000000000000000000000"
WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "The weather of a place.",
    "parameters": {
        "type": "object",
        "properties": {"place": {"type": "string"}},
        "required": ["place"],
        "additionalProperties": False,
    },
    "strict": True,
}
Json = dict[str, Any]


def config_of(upstream: FaultProvider, more: str = "") -> str:
    root = upstream.base_url.removesuffix("/v1")
    return f"""
[[keys]]
tenant = "acme"
key = "${{ACME_KEY}}"
[[keys]]
tenant = "acme"
key = "${{TWIN_KEY}}"
[[keys]]
tenant = "other"
key = "${{OTHER_KEY}}"
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
[endpoints.default]
store_responses = true
[endpoints.forgetful]
tier = "cheap"
[call]
attempts_max = 1
breaker_open_s = 0.01
[server]
body_bytes_max = 100000
{more}
"""


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    return start_gateway(config_of(upstream), **ENV)


@pytest.fixture(scope="module")
def client(gateway: Running) -> Iterator[openai.OpenAI]:
    with client_of(gateway) as one:
        yield one


def client_of(gateway: Running, key: str = KEY) -> openai.OpenAI:
    return openai.OpenAI(api_key=key, base_url=gateway.base_url, max_retries=0)


def ask(gateway: Running, key: str = KEY, headers: Json | None = None, **fields: Any) -> Reply:
    body = {"model": "chat/good", "input": "hello", **fields}
    return gateway.post("/v1/responses", body, {"authorization": f"Bearer {key}", **(headers or {})})


def get(gateway: Running, path: str, key: str = KEY, method: str = "GET") -> Reply:
    return gateway.request(method, path, None, {"authorization": f"Bearer {key}"})


def messages_up(upstream: FaultProvider) -> list[Json]:
    """The messages of the newest request at the provider."""
    found: list[Json] = body_up(upstream)["messages"]
    return found


def body_up(upstream: FaultProvider) -> Json:
    found: Json = json.loads(upstream.calls[-1].body)
    return found


# -- kept, and told again ----------------------------------------------------------------------------


@pytest.mark.parametrize("store", [True, None])
def test_a_response_is_told_again_as_it_was(client: openai.OpenAI, store: bool | None) -> None:
    fields: Json = {} if store is None else {"store": store}
    made = client.responses.create(
        model="chat/good", input="hello there", metadata={"of": "a test"}, **fields
    )
    assert made.model_dump()["store"] is True and made.id.startswith("resp_") and len(made.id) >= 40
    again = client.responses.retrieve(made.id)
    assert again.model_dump() == made.model_dump()
    assert again.output_text == "echo: hello there"


def test_a_streamed_response_has_one_id_in_all_its_events_and_is_kept(client: openai.OpenAI) -> None:
    with client.responses.stream(model="chat/good", input="hello there") as stream:
        events = list(stream)
        made = stream.get_final_response()
    told = [event.response.id for event in events if hasattr(event, "response")]
    assert len(told) >= 3 and set(told) == {made.id}
    assert all(event.response.model_dump()["store"] is True for event in events if hasattr(event, "response"))
    numbers = [event.sequence_number for event in events if hasattr(event, "sequence_number")]
    assert numbers == sorted(numbers)
    assert client.responses.retrieve(made.id).output_text == "echo: hello there"


def test_no_provider_is_asked_to_keep_anything(gateway: Running, upstream: FaultProvider) -> None:
    assert ask(gateway, store=True).status == 200
    body = body_up(upstream)
    assert body.get("store") in (None, False)
    assert "previous_response_id" not in body and "include" not in body


def test_two_responses_never_have_the_same_id_though_one_comes_from_the_cache(gateway: Running) -> None:
    first, second = (ask(gateway, input="said twice", temperature=0) for _ in range(2))
    assert second.headers["x-farthing-cache"] == "exact"
    assert first.json["id"] != second.json["id"]
    for reply in (first, second):
        assert get(gateway, f"/v1/responses/{reply.json['id']}").json == reply.json


def test_an_incomplete_response_is_kept_with_its_status(client: openai.OpenAI) -> None:
    made = client.responses.create(model="chat/n=40,say=word", input="hello", max_output_tokens=16)
    assert made.status == "incomplete"
    again = client.responses.retrieve(made.id)
    assert again.status == "incomplete" and again.incomplete_details == made.incomplete_details


def test_a_response_that_failed_within_its_stream_is_kept_with_its_error(gateway: Running) -> None:
    reply = ask(gateway, model="chat/truncate=3,end=cut,n=20", stream=True)
    last = reply.events[-1]
    assert last["type"] == "response.failed", reply.body
    ids = {event["response"]["id"] for event in reply.events if "response" in event}
    assert ids == {last["response"]["id"]}
    again = get(gateway, f"/v1/responses/{last['response']['id']}")
    assert again.status == 200 and again.json == last["response"]
    assert again.json["status"] == "failed" and again.json["error"]["code"] == "server_error"


def test_a_request_that_failed_before_any_response_leaves_nothing(gateway: Running) -> None:
    before = gateway.metric("farthing_responses_stored")
    assert ask(gateway, model="chat/status=500").status >= 500
    assert gateway.metric("farthing_responses_stored") == before


# -- where nothing is kept ---------------------------------------------------------------------------


def test_store_false_keeps_nothing(gateway: Running, client: openai.OpenAI) -> None:
    before = gateway.metric("farthing_responses_stored")
    made = client.responses.create(model="chat/good", input="hello", store=False)
    assert made.model_dump()["store"] is False
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)
    assert gateway.metric("farthing_responses_stored") == before


def test_an_endpoint_that_keeps_nothing_refuses_by_name_what_demands_it(gateway: Running) -> None:
    refused = ask(gateway, model="farthing/forgetful", store=True)
    assert refused.status == 400 and refused.error["param"] == "store"
    assert "store_responses = true" in refused.error["message"]
    assert "[endpoints.forgetful]" in refused.error["message"]
    assert ask(gateway, store="yes").error["param"] == "store"


@pytest.mark.parametrize("fields", [{}, {"store": False}, {"store": None}])
def test_an_endpoint_that_keeps_nothing_says_so_in_the_answer(gateway: Running, fields: Json) -> None:
    reply = ask(gateway, model="farthing/forgetful", **fields)
    assert reply.status == 200 and reply.json["store"] is False
    assert get(gateway, f"/v1/responses/{reply.json['id']}").status == 404


def test_an_endpoint_that_keeps_nothing_goes_on_from_what_is_kept(
    gateway: Running, client: openai.OpenAI, upstream: FaultProvider
) -> None:
    made = client.responses.create(model="chat/good", input="my name is Ada")
    reply = ask(gateway, model="farthing/forgetful", input="and now?", previous_response_id=made.id)
    assert reply.status == 200 and reply.json["previous_response_id"] == made.id
    assert reply.json["store"] is False
    assert [one["role"] for one in messages_up(upstream)] == ["user", "assistant", "user"]


# -- continued ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_three_turns_with_a_tool_send_only_what_is_new(
    client: openai.OpenAI, upstream: FaultProvider, stream: bool
) -> None:
    tools: Any = [WEATHER]

    def create(**fields: Any) -> Response:
        if not stream:
            found: Response = client.responses.create(model="chat/good", tools=tools, **fields)
            return found
        with client.responses.stream(model="chat/good", tools=tools, **fields) as reading:
            return reading.get_final_response()

    first = create(input="look at the weather of Rome", instructions="Be brief.")
    call = next(item for item in first.output if item.type == "function_call")
    assert (call.name, first.previous_response_id) == ("weather", None)
    assert messages_up(upstream)[0]["role"] in ("system", "developer")

    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    second = create(previous_response_id=first.id, input=[result], tool_choice="none")
    assert second.previous_response_id == first.id
    up = messages_up(upstream)
    assert [one["role"] for one in up] == ["user", "assistant", "tool"], "instructions are not carried over"
    assert up[1]["tool_calls"][0]["function"]["name"] == "weather"
    assert up[2]["content"] == "sunny" and up[2]["tool_call_id"] == up[1]["tool_calls"][0]["id"]

    third = create(previous_response_id=second.id, input="thank you", tool_choice="none")
    up = messages_up(upstream)
    assert [one["role"] for one in up] == ["user", "assistant", "tool", "assistant", "user"]
    assert third.output_text == "echo: thank you"

    items = client.responses.input_items.list(third.id, order="asc")
    assert [item.type for item in items] == [
        *("message", "function_call", "function_call_output", "message", "message")
    ]
    branch = create(previous_response_id=first.id, input=[result], tool_choice="none")
    assert branch.previous_response_id == first.id and branch.id != second.id


def test_the_thinking_of_a_model_goes_back_to_it_though_no_client_saw_it(
    client: openai.OpenAI, upstream: FaultProvider
) -> None:
    made = client.responses.create(
        model="claude/reasoning=let me see", input="hello", reasoning={"effort": "high", "summary": "auto"}
    )
    thoughts = [item for item in made.output if item.type == "reasoning"]
    assert thoughts and all(item.encrypted_content is None for item in thoughts)
    client.responses.create(
        model="claude/good", input="and?", previous_response_id=made.id, reasoning={"effort": "high"}
    )
    blocks = [
        block for one in messages_up(upstream) if one["role"] == "assistant" for block in one["content"]
    ]
    signed = [block for block in blocks if block["type"] == "thinking"]
    assert signed and signed[0]["signature"] and signed[0]["thinking"] == "let me see"
    shown = client.responses.retrieve(made.id, include=["reasoning.encrypted_content"])
    assert [item.encrypted_content for item in shown.output if item.type == "reasoning"] != [None]
    hidden = client.responses.retrieve(made.id)
    assert all(item.encrypted_content is None for item in hidden.output if item.type == "reasoning")


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_encrypted_is_told_where_it_is_asked_for_and_nowhere_else(
    gateway: Running, stream: bool
) -> None:
    fields: Json = {"model": "claude/reasoning=let me see", "reasoning": {"effort": "high"}, "stream": stream}
    hidden = ask(gateway, **fields)
    assert hidden.status == 200 and b'"reasoning"' in hidden.body and b"encrypted_content" not in hidden.body
    shown = ask(gateway, **fields, include=["reasoning.encrypted_content"])
    assert b'"encrypted_content":"fth1.' in shown.body


def test_a_conversation_that_has_grown_too_long_is_refused_by_name(gateway: Running) -> None:
    previous = ask(gateway, model="chat/say=yes", input="x" * 60_000).json["id"]
    refused = ask(gateway, input="y" * 60_000, previous_response_id=previous)
    assert refused.status == 400 and refused.error["param"] == "previous_response_id"
    assert "100000" in refused.error["message"] and "body_bytes_max" in refused.error["message"]
    assert ask(gateway, input="short", previous_response_id=previous).status == 200


@pytest.mark.parametrize("value", [7, "", ["resp_1"], {"id": "resp_1"}])
def test_an_id_that_can_be_none_is_refused_by_name(gateway: Running, value: Any) -> None:
    refused = ask(gateway, previous_response_id=value)
    assert refused.status == 400 and refused.error["param"] == "previous_response_id"


def test_a_name_with_escapes_is_not_overlooked(gateway: Running) -> None:
    raw = b'{"model": "chat/good", "input": "hi", "previous\\u005fresponse_id": "%b"}' % NOWHERE.encode()
    refused = gateway.post("/v1/responses", raw, {"authorization": f"Bearer {KEY}"})
    assert refused.status == 400 and refused.error["param"] == "previous_response_id"


def test_a_previous_response_and_a_conversation_exclude_each_other(gateway: Running) -> None:
    refused = ask(gateway, previous_response_id=NOWHERE, conversation="conv_1")
    assert refused.status == 400
    assert "not both" in refused.error["message"]


# -- whose they are ----------------------------------------------------------------------------------


def test_unknown_foreign_and_deleted_ids_are_told_in_the_same_words(gateway: Running) -> None:
    foreign = ask(gateway, OTHER_KEY).json["id"]
    deleted = ask(gateway).json["id"]
    assert get(gateway, f"/v1/responses/{deleted}", method="DELETE").json == {
        "id": deleted,
        "object": "response",
        "deleted": True,
    }
    told = set()
    for id in (foreign, deleted, NOWHERE):
        for path, method in (("", "GET"), ("", "DELETE"), ("/cancel", "POST"), ("/input_items", "GET")):
            reply = get(gateway, f"/v1/responses/{id}{path}", method=method)
            told.add((reply.status, reply.body.replace(id.encode(), b"ID")))
    assert len(told) == 1, told
    status, body = told.pop()
    assert status == 404 and b"Response with id 'ID' not found." in body
    told = set()
    for id in (foreign, deleted, NOWHERE):
        reply = ask(gateway, previous_response_id=id)
        told.add((reply.status, reply.body.replace(id.encode(), b"ID")))
    assert len(told) == 1, told
    status, body = told.pop()
    assert status == 404
    error = json.loads(body)["error"]
    assert (error["code"], error["param"]) == ("previous_response_not_found", "previous_response_id")
    assert get(gateway, f"/v1/responses/{foreign}", OTHER_KEY).status == 200


def test_two_keys_of_one_tenant_share_its_responses(gateway: Running) -> None:
    made = ask(gateway).json["id"]
    assert get(gateway, f"/v1/responses/{made}", TWIN_KEY).status == 200
    assert ask(gateway, TWIN_KEY, previous_response_id=made).status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/input_items")],
)
def test_without_a_good_key_nothing_is_told(gateway: Running, method: str, path: str) -> None:
    made = ask(gateway).json["id"]
    for key in ("wrong", ""):
        assert get(gateway, f"/v1/responses/{made}{path}", key, method).status == 401
    assert ask(gateway, "wrong", previous_response_id=made).status == 401
    assert get(gateway, f"/v1/responses/{made}").status == 200


# -- what may be asked of one ------------------------------------------------------------------------


def test_the_official_client_deletes_and_nothing_is_left(gateway: Running, client: openai.OpenAI) -> None:
    words = "words that nobody else ever says"
    made = client.responses.create(model="chat/good", input=words)
    assert words.encode() in _files(gateway.state)
    client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model="chat/good", input="go on", previous_response_id=made.id)
    assert words.encode() not in _files(gateway.state)


def test_only_what_runs_in_the_background_can_be_cancelled(client: openai.OpenAI) -> None:
    made = client.responses.create(model="chat/good", input="hello")
    with pytest.raises(openai.BadRequestError, match="Cannot cancel a synchronous response"):
        client.responses.cancel(made.id)
    with pytest.raises(openai.BadRequestError, match="background"):
        client.responses.create(model="chat/good", input="hello", background=True)


def test_a_stored_response_is_not_streamed_again(gateway: Running, client: openai.OpenAI) -> None:
    made = client.responses.create(model="chat/good", input="hello")
    with pytest.raises(openai.BadRequestError) as refused:
        list(client.responses.retrieve(made.id, stream=True))
    assert refused.value.param == "stream"
    assert get(gateway, f"/v1/responses/{made.id}?starting_after=3").error["param"] == "starting_after"
    assert get(gateway, f"/v1/responses/{made.id}?stream=false").status == 200
    assert get(gateway, f"//v1/responses/{made.id}/").status == 200


def test_input_items_come_in_pages_and_keep_their_ids(gateway: Running, client: openai.OpenAI) -> None:
    items: Any = [{"role": "user", "content": f"question {number}"} for number in range(25)]
    made = client.responses.create(model="chat/good", input=items)
    everything = list(client.responses.input_items.list(made.id, limit=10))
    assert len(everything) == 25 and len({item.id for item in everything}) == 25
    page = get(gateway, f"/v1/responses/{made.id}/input_items").json
    assert len(page["data"]) == 20 and page["has_more"] is True and page["object"] == "list"
    assert page["first_id"] == page["data"][0]["id"] and page["last_id"] == page["data"][-1]["id"]
    assert page["data"][0]["content"] == [{"type": "input_text", "text": "question 24"}]
    rest = get(gateway, f"/v1/responses/{made.id}/input_items?after={page['last_id']}").json
    assert [item["content"][0]["text"] for item in rest["data"]] == [
        f"question {n}" for n in range(4, -1, -1)
    ]
    assert rest["has_more"] is False
    oldest = get(gateway, f"/v1/responses/{made.id}/input_items?order=asc&limit=1").json["data"][0]
    assert oldest["content"][0]["text"] == "question 0" and oldest["type"] == "message"
    followed = client.responses.create(model="chat/good", input="more", previous_response_id=made.id)
    again = get(gateway, f"/v1/responses/{followed.id}/input_items?order=asc&limit=1").json["data"][0]
    assert again == oldest, "an item keeps its id through a conversation"


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("order=up", "order"),
        ("after=no", "after"),
    ],
)
def test_a_page_that_cannot_be_is_refused_by_name(gateway: Running, query: str, param: str) -> None:
    made = ask(gateway).json["id"]
    refused = get(gateway, f"/v1/responses/{made}/input_items?{query}")
    assert refused.status == 400 and refused.error["param"] == param


def test_the_tokens_of_a_request_are_counted_with_what_it_goes_on_from(
    gateway: Running, client: openai.OpenAI
) -> None:
    made = client.responses.create(model="chat/good", input="many words " * 500)
    alone = client.responses.input_tokens.count(model="chat/good", input="hello")
    both = client.responses.input_tokens.count(model="chat/good", input="hello", previous_response_id=made.id)
    assert alone.object == "response.input_tokens" and 0 < alone.input_tokens < 100
    assert both.input_tokens > 900


def test_other_methods_are_told_what_there_is(gateway: Running) -> None:
    reply = get(gateway, f"/v1/responses/{NOWHERE}", method="PUT")
    assert reply.status == 405 and set(reply.headers["allow"].split(", ")) == {"GET", "DELETE", "HEAD"}
    assert get(gateway, f"/v1/responses/{NOWHERE}/nothing").status == 404
    assert get(gateway, "/v1/responses/", method="POST").status == 400


# -- over time ---------------------------------------------------------------------------------------


def test_they_survive_a_restart(upstream: FaultProvider, tmp_path: Path) -> None:
    config = config_of(upstream)
    with running(config, tmp_path, ENV) as gateway:
        made = ask(gateway, input="my name is Ada").json
    with running(config, tmp_path, ENV) as gateway:
        assert get(gateway, f"/v1/responses/{made['id']}").json == made
        assert ask(gateway, input="and?", previous_response_id=made["id"]).status == 200
        assert messages_up(upstream)[0]["content"] == "my name is Ada"
        assert until(lambda: gateway.metric("farthing_responses_stored")) >= 1
        assert gateway.stop() == 0
    assert (gateway.state / "responses.db").stat().st_mode & 0o777 == 0o600


def test_after_its_time_a_response_is_gone_and_at_the_next_start_swept(
    upstream: FaultProvider, tmp_path: Path
) -> None:
    config = config_of(upstream, "[responses]\nttl_s = 1.0")
    with running(config, tmp_path, ENV) as gateway:
        made = ask(gateway, input="words that are soon forgotten").json["id"]
        before_s = time.monotonic()
        until(lambda: get(gateway, f"/v1/responses/{made}").status == 404)
        assert time.monotonic() - before_s < 30.0
        assert ask(gateway, previous_response_id=made).status == 404
        assert gateway.stop() == 0
    with running(config, tmp_path, ENV) as gateway:
        until(lambda: b"soon forgotten" not in _files(gateway.state))


def test_in_memory_nothing_is_written_to_a_disk(upstream: FaultProvider, tmp_path: Path) -> None:
    config = config_of(upstream, '[responses.store]\nkind = "memory"\nresponses_max = 4')
    with running(config, tmp_path, ENV) as gateway:
        ids = [ask(gateway, input=f"words of number {number}").json["id"] for number in range(4)]
        found = [get(gateway, f"/v1/responses/{id}").status for id in ids]
        assert found == [404, 404, 200, 200], "a tenant has half of the room"
        assert b"words of number" not in _files(gateway.state)
        assert not (gateway.state / "responses.db").exists()


# -- where they cannot be kept -----------------------------------------------------------------------


def test_where_the_store_is_away_only_what_needs_it_fails(upstream: FaultProvider, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a directory should be")
    config = config_of(upstream, f'[responses.store]\nkind = "sqlite"\npath = "{blocked}/responses.db"')
    with running(config, tmp_path, ENV) as gateway:
        calls = len(upstream.calls)
        refused = ask(gateway, store=True)
        assert refused.status == 503 and refused.headers["x-should-retry"] == "true"
        assert len(upstream.calls) == calls, "nothing is paid for what cannot be kept"
        assert gateway.receipts()[-1].error == "store_error"
        assert ask(gateway, previous_response_id=NOWHERE).status == 503
        for stream in (False, True):
            told = ask(gateway, stream=stream)
            assert told.status == 200 and b'"store":false' in told.body and b'"store":true' not in told.body
        assert ask(gateway, store=False).status == 200
        assert gateway.chat(headers={"authorization": f"Bearer {KEY}"}).status == 200
        blocked.unlink()
        made = ask(gateway, store=True)
        assert made.status == 200 and made.json["store"] is True
        assert get(gateway, f"/v1/responses/{made.json['id']}").status == 200


def test_a_response_that_is_too_large_is_given_and_says_that_it_is_not_kept(
    upstream: FaultProvider, tmp_path: Path
) -> None:
    config = config_of(upstream, "[responses]\nresponse_bytes_max = 20000")
    with running(config, tmp_path, ENV) as gateway:
        for stream in (False, True):
            told = ask(gateway, input="x" * 30_000, store=True, stream=stream)
            response = told.events[-1]["response"] if stream else told.json
            assert told.status == 200 and response["store"] is False and response["status"] == "completed"
            assert get(gateway, f"/v1/responses/{response['id']}").status == 404
        assert "larger than responses.response_bytes_max" in gateway.logged()


def test_operators_see_how_much_is_stored_and_forget_a_tenant(
    upstream: FaultProvider, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with running(config_of(upstream, f"[admin]\nport = {port}"), tmp_path, ENV) as gateway:

        def operators(method: str, path: str, body: bytes | None = None) -> Any:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
            connection.request(method, path, body, {"content-type": "application/json"})
            reply = connection.getresponse()
            assert reply.status == 200, reply.read()
            return json.loads(reply.read())

        assert operators("GET", "/admin/responses") == {
            "responses": 0,
            "bytes": 0,
            "completions": 0,
            "tenants": [],
        }
        mine, theirs = ask(gateway).json["id"], ask(gateway, OTHER_KEY).json["id"]
        shown = operators("GET", "/admin/responses")
        assert [(one["tenant"], one["responses"]) for one in shown["tenants"]] == [("acme", 1), ("other", 1)]
        assert shown["bytes"] == sum(one["bytes"] for one in shown["tenants"]) > 1_000
        done = operators("POST", "/admin/responses/forget", b'{"tenant": "acme"}')
        assert done == {"tenant": "acme", "deleted": 1, "completions": 0}
        assert get(gateway, f"/v1/responses/{mine}").status == 404
        assert get(gateway, f"/v1/responses/{theirs}", OTHER_KEY).status == 200
        assert gateway.metric("farthing_responses_stored") == 1


@pytest.mark.slow
def test_on_a_full_disk_no_response_claims_to_be_stored_that_is_not(
    upstream: FaultProvider, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk") as disk:
        config = config_of(
            upstream, f'[responses.store]\nkind = "sqlite"\npath = "{tmp_path}/disk/responses.db"'
        )
        with running(config, tmp_path / "state", ENV) as gateway:
            kept = ask(gateway, store=True).json["id"]
            disk.fill(gateway)
            told = [ask(gateway, store=True, input="x" * 50_000) for _ in range(3)]
            for reply in told:
                if reply.status == 200 and reply.json["store"]:
                    assert get(gateway, f"/v1/responses/{reply.json['id']}").status == 200
                else:
                    assert reply.status in (200, 503)
            assert any(reply.status == 503 or not reply.json["store"] for reply in told)
            assert get(gateway, f"/v1/responses/{kept}").status == 200, "what is there can be read"
            disk.free(gateway)
            again = until(
                lambda: (one := ask(gateway, store=True)).status == 200 and one.json["store"] and one
            )
            assert get(gateway, f"/v1/responses/{again.json['id']}").status == 200


def _files(folder: Path) -> bytes:
    """All that lies in the files of stored responses and around them, the log aside."""
    found = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".log"]
    return b"".join(path.read_bytes() for path in found)


# -- at a provider that speaks the dialect -----------------------------------------------------------

THOUGHT: Json = {
    "type": "reasoning",
    "id": "rs_up1",
    "summary": [],
    "encrypted_content": "opaque to all but its maker",
}
SAID: Json = {
    "type": "message",
    "id": "msg_up1",
    "status": "completed",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "Hello, Ada", "annotations": [], "logprobs": []}],
}
SAID["content"][0]["of_a_later_version"] = 1_234_567_890_123_456_789


def native_response(status: str = "completed", output: tuple[Json, ...] = (THOUGHT, SAID)) -> Json:
    """As OpenAI tells one that is not stored there."""
    counts = {"input_tokens": 9, "output_tokens": 3, "total_tokens": 12}
    return {
        "id": "resp_of_the_provider",
        "object": "response",
        "created_at": 1_790_000_000,
        "status": status,
        "model": "m",
        "output": list(output),
        "store": False,
        "previous_response_id": None,
        "usage": counts if status == "completed" else None,
        "not_invented_yet": {"b": 1, "a": [1.0]},
    }


def native_events() -> list[bytes]:
    begun = native_response("in_progress", ())
    events: list[Json] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": THOUGHT},
        {"type": "response.output_item.done", "output_index": 0, "item": THOUGHT},
        {"type": "response.output_item.added", "output_index": 1, "item": {**SAID, "content": []}},
        {"type": "response.output_text.delta", "output_index": 1, "item_id": "msg_up1", "content_index": 0,
         "delta": "Hello, Ada", "logprobs": []},
        {"type": "response.output_item.done", "output_index": 1, "item": SAID},
        {"type": "response.completed", "response": native_response()},
    ]  # fmt: skip
    return [
        b"event: %b\ndata: %b\n\n"
        % (one["type"].encode(), json.dumps({**one, "sequence_number": n}).encode())
        for n, one in enumerate(events)
    ]


@pytest.fixture(scope="module")
def native(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    provider = (
        f'[providers.native]\nkind = "responses"\nbase_url = "{upstream.base_url}"\npass_through = true'
    )
    return start_gateway(config_of(upstream, f'{provider}\nauth = "none"'), **ENV)


@pytest.mark.parametrize("stream", [False, True])
def test_a_provider_of_the_dialect_keeps_nothing_and_is_told_all_again(
    native: Running, upstream: FaultProvider, stream: bool
) -> None:
    upstream.exactly("kept", streamed(*native_events()) if stream else whole(native_response()))
    first = ask(native, model="native/kept", input="my name is Ada", stream=stream)
    up = body_up(upstream)
    assert upstream.calls[-1].path.endswith("/responses")
    assert up["store"] is False and up["include"] == ["reasoning.encrypted_content"]
    made = first.events[-1]["response"] if stream else first.json
    assert made["id"] != "resp_of_the_provider" and made["store"] is True
    assert b"resp_of_the_provider" not in first.body and b"encrypted_content" not in first.body
    assert made["output"][1] == SAID and made["not_invented_yet"] == {"b": 1, "a": [1.0]}
    assert get(native, f"/v1/responses/{made['id']}").json == made

    second = ask(
        native,
        model="native/kept",
        input=[{"role": "user", "content": "who am I?"}],
        previous_response_id=made["id"],
        stream=stream,
        include=["reasoning.encrypted_content"],
    )
    up = body_up(upstream)
    assert "previous_response_id" not in up and up["store"] is False
    assert up["input"] == [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "my name is Ada"}]},
        *(THOUGHT, SAID),
        {"role": "user", "content": "who am I?"},
    ]
    told = second.events[-1]["response"] if stream else second.json
    assert told["previous_response_id"] == made["id"] and told["output"] == [THOUGHT, SAID]


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_not_kept_comes_from_a_provider_of_the_dialect_byte_for_byte(
    native: Running, upstream: FaultProvider, stream: bool
) -> None:
    events = native_events()
    upstream.exactly("passed", streamed(*events) if stream else whole(native_response()))
    reply = ask(native, model="native/passed", stream=stream, store=False)
    assert reply.body == (b"".join(events) if stream else json.dumps(native_response()).encode())
    body = body_up(upstream)
    assert body["store"] is False and "include" not in body


def test_a_request_is_freed_once_its_response_is_kept(
    start_gateway: StartGateway, upstream: FaultProvider
) -> None:
    large = start_gateway(config_of(upstream).replace("body_bytes_max = 100000", ""), **ENV)
    items = [{"role": "user", "content": "x" * 600_000}] * 12
    broken = streamed(
        {"choices": [{"index": 0, "delta": {"content": "hel"}, "finish_reason": None}]}, end="cut"
    )
    upstream.exactly("broken", broken)
    ask(large, input=items)
    before = large.memory_bytes()
    for _ in range(5):
        assert ask(large, input=items).status == 200
        assert ask(large, input=items, stream=True).status == 200
        assert b"response.failed" in ask(large, input=items, stream=True, model="chat/broken").body
    assert large.memory_bytes() - before < 10 * 7_200_000, "fifteen requests of 7 MB"
