"""Answers on their way to a client of Responses: what comes if nothing comes, a provider's own, failures."""

import asyncio
import json
from typing import Any

import pytest
from tests.e2e.responses_grammar import Json, last_of, response_of, responses_faults, valid
from tests.e2e.streams import frames
from tests.faults.exact import DONE, HELLO, ROLE, STOP, counted, event, say, whole_of
from tests.unit.edge.messages.test_form import WAIT_S, Client

from farthing.dialects.responses import envelopes
from farthing.dialects.told import told
from farthing.edge.responses import form
from farthing.edge.responses.form import RESPONSES, Streamed, Whole
from farthing.errors import (
    ContextTooLong,
    FarthingError,
    NoProviderLeft,
    Overloaded,
    ProviderBusy,
    ProviderRejected,
    RateLimited,
    StreamBroken,
)
from farthing.models.answers import SIGN_OF_LIFE
from farthing.types import DEFAULT_ENDPOINT, Answer, Receipt, Request, Sent, Tenant, Usage, replace

BODY: Json = {"model": "auto", "input": "hi", "instructions": "Be brief."}


def asked(stream: bool = True, **sent: Any) -> Request:
    return Request(
        id="req_1",
        tenant=Tenant(name="t"),
        endpoint=DEFAULT_ENDPOINT,
        operation="chat",
        model="a/m",
        alias="auto",
        body={},
        text="",
        prompt_chars=400,
        stream=stream,
        sent=Sent(dialect="responses", raw=b"", body=BODY, read={}, **sent),
    )


def receipt(usage: Usage | None = None) -> Receipt:
    return Receipt(request_id="req_1", at_unix_s=7.5, started_s=0.0, usage=usage)


def begun(client: Client, request: Request | None = None, usage: Usage | None = None) -> Streamed:
    writer = RESPONSES.writer(client, asked() if request is None else request, receipt(usage))
    assert isinstance(writer, Streamed)
    return writer


def kinds(sent: bytes) -> list[str]:
    return [one.kind for one in frames(sent)]


STARTED = {"id": "resp_theirs", "status": "in_progress", "output": []}
OWN: list[Json] = [
    {"type": "response.created", "response": STARTED},
    {"type": "response.in_progress", "response": STARTED},
    {"type": "response.web_search_call.searching", "item_id": "ws_1", "output_index": 0},
    {"type": "response.completed", "response": {"id": "resp_theirs", "status": "completed", "output": []}},
]  # fmt: skip


def own(*at: int) -> bytes:
    """The events of a provider, each with its number, spaced as no writer of ours does."""
    return b"".join(
        f"event: {OWN[one]['type']}\ndata: {json.dumps({**OWN[one], 'sequence_number': one})}\n\n".encode()
        for one in at
    )


def numbers(sent: bytes) -> list[int]:
    return [one.data["sequence_number"] for one in frames(sent)]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(form, "QUIET_S", 0.01)


@pytest.mark.usefixtures("quick")
def test_who_hears_nothing_is_told_the_beginning_and_then_that_it_goes_on() -> None:
    async def go() -> None:
        client = Client()
        writer = begun(client)
        await client.wait(3)
        assert kinds(b"".join(client.got[:3])) == ["response.created"] + ["response.in_progress"] * 3
        writer.send(b"".join(map(event, HELLO)))
        closing = writer.closing(Answer(body=event(STOP) + DONE, stream=True))
        sent = b"".join(client.got) + closing.body
        assert last_of(sent)["output"][0]["content"][0]["text"] == "hello"
        assert response_of(sent)["instructions"] == "Be brief."
        heard = len(client.got)
        await asyncio.sleep(0.05)
        assert len(client.got) == heard

    asyncio.run(go())


def test_a_sign_of_life_of_the_provider_begins_the_response_once() -> None:
    async def go() -> None:
        client = Client()
        writer = begun(client)
        for _ in range(3):
            writer.send(SIGN_OF_LIFE)
        assert kinds(b"".join(client.got)) == ["response.created", "response.in_progress"]
        writer.close()

    asyncio.run(go())


# -- a provider's own --------------------------------------------------------------------------------


def test_a_providers_own_events_go_out_byte_for_byte() -> None:
    async def go() -> None:
        client = Client()
        writer = begun(client)
        writer.send(told(b"", own(0, 1)))
        writer.send(told(b"", own(2)))
        closing = writer.closing(Answer(body=DONE, stream=True, own=own(3)))
        assert b"".join(client.got) + closing.body == own(0, 1, 2, 3)

    asyncio.run(go())


@pytest.mark.usefixtures("quick")
def test_after_a_beginning_of_ours_they_go_on_under_its_id_and_numbers() -> None:
    async def go() -> None:
        client = Client()
        writer = begun(client)
        await client.wait(2)
        writer._quiet_s = WAIT_S
        before = len(client.got)
        writer.send(told(b"", own(0, 1)))
        writer.send(told(b"", own(2)))
        closing = writer.closing(Answer(body=DONE, stream=True, own=own(3)))
        sent = b"".join(client.got) + closing.body
        found = kinds(b"".join(client.got[before:]) + closing.body)
        assert [one for one in found if one != "response.in_progress"] == [OWN[2]["type"], OWN[3]["type"]]
        assert numbers(sent) == list(range(len(numbers(sent))))
        named = {one.data["response"]["id"] for one in frames(sent) if "response" in one.data}
        assert named == {"resp_req_1"}

    asyncio.run(go())


@pytest.mark.usefixtures("quick")
def test_a_pause_in_them_is_filled_and_they_are_numbered_on() -> None:
    async def go() -> None:
        client = Client()
        writer = begun(client)
        writer.send(told(b"", own(0, 1)))
        await client.wait(2)
        writer._quiet_s = WAIT_S
        writer.send(told(b"", own(2)))
        closing = writer.closing(Answer(body=DONE, stream=True, own=own(3)))
        sent = b"".join(client.got) + closing.body
        assert sent.startswith(own(0, 1))
        assert kinds(sent)[2] == "response.in_progress"
        assert numbers(sent) == list(range(len(numbers(sent))))
        assert frames(sent)[-1].data["response"]["id"] == "resp_theirs"

    asyncio.run(go())


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("before", [True, False])
def test_comments_neither_begin_them_nor_end_their_numbers(before: bool) -> None:
    async def go() -> None:
        client = Client()
        writer = begun(client)
        comment = b": a proxy is alive\n\n"
        for events in (comment, own(0, 1)) if before else (own(0, 1), comment):
            writer.send(told(b"", events))
        heard = len(client.got)
        await client.wait(heard + 1)
        writer._quiet_s = WAIT_S
        writer.send(told(b"", own(2)))
        sent = b"".join(client.got) + (writer.broken(StreamBroken("it broke")) or b"")
        assert numbers(sent) == list(range(len(numbers(sent))))
        last = frames(sent)[-1]
        assert (last.kind, last.data["response"]["id"]) == ("response.failed", "resp_theirs")

    asyncio.run(go())


def test_one_that_breaks_ends_in_a_failure_of_the_same_response() -> None:
    async def go() -> None:
        writer = begun(Client())
        writer.send(told(b"", own(0, 1)))
        writer.send(told(b"", own(2)))
        (last,) = frames(writer.broken(StreamBroken("it broke")) or b"")
        assert (last.kind, last.data["sequence_number"]) == ("response.failed", 3)
        assert last.data["response"]["id"] == "resp_theirs"
        assert last.data["response"]["error"] == {"code": "server_error", "message": "it broke"}
        error = StreamBroken("it broke")
        error.own = b'event: error\ndata: {"type":"error","sequence_number":3,"message":"x"}\n\n'
        writer = begun(Client())
        writer.send(told(b"", own(0, 1)))
        assert writer.broken(error) == error.own

    asyncio.run(go())


def test_a_whole_one_goes_out_byte_for_byte() -> None:
    writer = RESPONSES.writer(Client(), asked(stream=False), receipt())
    assert writer.closing(Answer(body=b"{}", own=b'{ "id": "theirs"}')).body == b'{ "id": "theirs"}'


# -- failures ----------------------------------------------------------------------------------------


def rejected(**said: Any) -> NoProviderLeft:
    told = {"message": "no", "type": "invalid_request_error", "param": None, "code": None, **said}
    return NoProviderLeft([ProviderRejected("a/m answered 400", upstream_status=400, said=told)])


@pytest.mark.parametrize(
    "error",
    [
        ContextTooLong("the prompt is too long"),
        rejected(code="context_length_exceeded"),
        rejected(message="prompt is too long: 9 tokens > 8 maximum"),
        rejected(message="This model's maximum context length is 8 tokens"),
    ],
)
def test_a_prompt_that_is_too_long_is_a_response_that_failed(error: FarthingError) -> None:
    async def go() -> None:
        sent = begun(Client()).broken(error) or b""
        assert responses_faults(frames(sent)) == []
        assert kinds(sent) == ["response.created", "response.in_progress", "response.failed"]
        assert frames(sent)[-1].data["response"]["error"]["code"] == "context_length_exceeded"

    asyncio.run(go())
    whole = RESPONSES.writer(Client(), asked(stream=False), receipt())
    assert whole.broken(error) is None
    status, body = RESPONSES.failed(error, "req_1")
    assert (status, json.loads(body)["error"]["code"]) == (400, "context_length_exceeded")


@pytest.mark.parametrize(
    "error", [RateLimited("slow down", retry_after_s=3), Overloaded("busy"), rejected(code="bad_thing")]
)
def test_other_errors_before_the_first_event_are_those_of_http(error: FarthingError) -> None:
    async def go() -> None:
        assert begun(Client()).broken(error) is None

    asyncio.run(go())
    status, body = RESPONSES.failed(error, "req_1")
    assert status == error.status
    assert json.loads(body)["error"]["message"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StreamBroken("broke", said={"message": "m", "code": "rate_limit_exceeded"}), "rate_limit_exceeded"),
        (StreamBroken("broke", said={"message": "m", "type": "insufficient_quota"}), "insufficient_quota"),
        (StreamBroken("broke", said={"message": "m", "code": 500}), "server_error"),
        (NoProviderLeft([ProviderBusy("busy", upstream_status=429)]), "rate_limit_exceeded"),
        (Overloaded("busy"), "server_error"),
    ],
)
def test_a_stream_that_breaks_says_why_by_a_code_that_clients_know(error: FarthingError, code: str) -> None:
    async def go() -> None:
        client = Client()
        writer = begun(client)
        writer.send(b"".join(map(event, [ROLE, *say("Cold and")])))
        found = last_of(b"".join(client.got) + (writer.broken(error) or b""))
        assert (found["status"], found["error"]["code"]) == ("failed", code)
        (item,) = found["output"]
        assert (item["status"], item["content"][0]["text"]) == ("incomplete", "Cold and")

    asyncio.run(go())


def test_a_providers_own_error_goes_out_as_it_came() -> None:
    error = rejected()
    error.failures[0].own = b'{ "error": {"message": "theirs"}}'
    assert RESPONSES.failed(error, "req_1") == (400, b'{ "error": {"message": "theirs"}}')
    assert RESPONSES.own(error) is error.failures[0]


def test_an_event_that_is_none_breaks_the_stream_at_its_end() -> None:
    async def go() -> None:
        client = Client()
        writer = begun(client)
        writer.send(b"".join(map(event, HELLO)))
        writer.send(b"data: {not json\n\n")
        with pytest.raises(StreamBroken, match="cannot be told"):
            writer.closing(Answer(body=DONE, stream=True))
        assert kinds(writer.broken(StreamBroken("x")) or b"")[-1] == "response.failed"

    asyncio.run(go())


# -- whole -------------------------------------------------------------------------------------------


def whole(value: Any, usage: Usage | None = None, **sent: Any) -> Json:
    writer = RESPONSES.writer(Client(), asked(stream=False, **sent), receipt(usage))
    assert isinstance(writer, Whole)
    found: Json = json.loads(writer.closing(Answer(body=json.dumps(value).encode())).body)
    return found


def test_a_whole_answer_has_the_usage_of_its_receipt() -> None:
    usage = Usage(input_tokens=4, output_tokens=2)
    found = valid(json.dumps(whole(whole_of(usage=None), usage)).encode())
    assert (found["usage"]["total_tokens"], found["store"], found["created_at"]) == (6, False, 7)
    assert found["id"] == "resp_req_1"


def test_what_is_no_answer_is_refused() -> None:
    with pytest.raises(StreamBroken, match="cannot be told"):
        whole({"choices": []})


def test_a_compaction_has_one_item_by_either_way() -> None:
    by_path = whole(whole_of("All so far."), compacts="path")
    assert by_path["object"] == "response.compaction"
    assert by_path["usage"]["total_tokens"] == 15
    by_item = whole(whole_of("All so far."), compacts="item")
    assert by_item["object"] == "response"
    for found in (by_path, by_item):
        (item,) = found["output"]
        assert envelopes.summary_of(item["encrypted_content"]) == "All so far."

    async def go() -> None:
        writer = begun(Client(), replace(asked(), sent=asked(compacts="item").sent))
        client = writer._sink
        assert isinstance(client, Client)
        writer.send(b"".join(map(event, [*HELLO, STOP, counted()])))
        closing = writer.closing(Answer(body=DONE, stream=True))
        (item,) = last_of(b"".join(client.got) + closing.body)["output"]
        assert envelopes.summary_of(item["encrypted_content"]) == "hello"

    asyncio.run(go())
