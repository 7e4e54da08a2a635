"""What passes a `Keeping`: one id, what is encrypted only where it was asked for, and the last event once the
response is kept."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.pace import turns

from farthing.edge.responses.keeping import Keeping
from farthing.errors import StreamBroken
from farthing.stores.responses.bounds import Bounds
from farthing.stores.responses.memory import MemoryResponses
from farthing.types import Answer, Endpoint, Keep, Request, Sent, Tenant

ID = "resp_ours"
Json = dict[str, Any]


class Client:
    """A sink that notes what it gets."""

    def __init__(self) -> None:
        self.got = b""

    def send(self, events: bytes) -> None:
        self.got += events

    def when_writable(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        """Nobody is slow here."""

    def outlive(self, left: Callable[[Callable[[], None]], bool]) -> None:
        """Nobody leaves."""

    def returned(self, lines: bytes) -> None:
        """There are none."""

    def closing(self, reply: Answer) -> Answer:
        return reply


class Writer(Client):
    """What writes the answer, as far as `Keeping` asks it."""

    def last(self, reply: Answer) -> Answer:
        return reply

    def broken(self, error: Exception) -> bytes | None:
        return event("response.failed", response={"id": "theirs", "status": "failed", "output": []})

    def close(self) -> None:
        """There is nothing to end."""


def event(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps({"type": kind, **fields}).encode())


def request_of(keep: Keep) -> Request:
    body: Json = {"model": "m", "input": "hi"}
    sent = Sent(dialect="responses", raw=b"{}", body=body, read={}, keep=keep)
    return Request(
        id="req_1",
        tenant=Tenant(name="acme"),
        endpoint=Endpoint(name="default"),
        operation="chat",
        model="m",
        body={},
        text="hi",
        prompt_chars=2,
        sent=sent,
    )


def keeping_of(
    client: Client, *, size: int = 100_000, shows: bool = False, id: str = ID, previous: str = ""
) -> tuple[Keeping, MemoryResponses]:
    store = MemoryResponses(
        Bounds(responses_max=10, bytes_max=10**6, tenant_share=1.0, response_bytes_max=size)
    )
    keep = Keep(id=id, previous=previous, demanded=False, shows_encrypted=shows)
    return Keeping(client, request_of(keep), keep, store, 60.0), store


def run(work: Callable[[], Any]) -> None:
    asyncio.run(work())


def test_the_last_event_goes_out_after_the_response_is_kept() -> None:
    async def work() -> None:
        client = Client()
        keeping, store = keeping_of(client)
        await keeping.begin()
        keeping.send(event("response.created", response={"id": "theirs", "store": False}))
        keeping.send(event("response.output_text.delta", delta='"response.completed"'))
        keeping.send(event("response.output_text.delta", delta="response.completed", response=1))
        assert b"theirs" not in client.got and b'"store":true' in client.got
        assert client.got.count(b"event: response.output_text.delta") == 2, "a text is no end"
        keeping.send(event("response.completed", response={"id": "theirs", "output": []}) + b": bye\n\n")
        assert b"bye" not in client.got
        last = await keeping.finished(Answer(body=b": and more\n\n", stream=True))
        assert last.body.endswith(b": bye\n\n: and more\n\n") and last.stream
        found = await store.get("acme", ID)
        assert found is not None and json.loads(found.body) == {"id": ID, "output": [], "store": True}
        assert json.loads(found.items)[0]["content"] == [{"type": "input_text", "text": "hi"}]

    run(work)


def test_a_block_of_very_many_events_is_not_looked_at_one_by_one() -> None:
    begin = event("response.created", response={"id": "theirs"})
    many = event("response.output_text.delta", delta="x") * 20_000
    hidden = event("response.output_item.done", item={"type": "reasoning", "encrypted_content": "secret"})

    async def work() -> None:
        client = Client()
        keeping, _ = keeping_of(client)
        keeping.send(b"".join([begin, many, hidden, many, begin, hidden, b": cut"]))
        told = client.got
        assert told.count(b": cut") == 1 and told.endswith(b": cut") and b"secret" not in told
        assert told.count(b"theirs") == 0 and told.count(ID.encode()) == 2
        assert told.count(many) == 2 and told.index(b"reasoning") > told.index(many)
        kinds = [line for line in told.split(b"\n") if line.startswith(b"event: ")]
        assert len(kinds) == 40_004
        block = many + begin

        def again() -> None:
            client.got = b""
            keeping.send(block)

        assert turns(again) / 20_000 < 50

    run(work)


@pytest.mark.parametrize("output", [[], None, ["there"]])
def test_the_items_of_a_stream_are_kept_where_its_end_has_none(output: list[Any] | None) -> None:
    async def work() -> None:
        keeping, store = keeping_of(Client())
        item: Json = {"type": "message", "id": "msg_1", "content": []}
        text = event("response.output_text.delta", delta='"response.output_item.done"', item=1)
        keeping.send(text + event("response.output_item.done", item=item))
        end = event("response.completed", response={"id": "theirs", "output": output})
        last = await keeping.finished(Answer(body=end, stream=True))
        whole = {"id": ID, "output": output or [item], "store": True}
        assert json.loads(last.body.split(b"data: ")[1])["response"] == whole
        found = await store.get("acme", ID)
        assert found is not None and json.loads(found.body) == whole

    run(work)


@pytest.mark.parametrize("stream", [False, True])
def test_one_that_cannot_be_kept_says_so_at_its_end(stream: bool) -> None:
    async def work() -> None:
        keeping, store = keeping_of(Client(), size=600)
        response: Json = {"id": "theirs", "output": [], "text": "x" * 1_000}
        body = event("response.completed", response=response) if stream else json.dumps(response).encode()
        last = await keeping.finished(Answer(body=body, stream=stream))
        assert b'"store":false' in last.body and ID.encode() in last.body
        assert await store.get("acme", ID) is None

    run(work)


@pytest.mark.parametrize("shows", [False, True])
def test_what_is_encrypted_is_kept_always_and_told_where_it_was_asked_for(shows: bool) -> None:
    async def work() -> None:
        client = Client()
        keeping, store = keeping_of(client, shows=shows)
        item: Json = {"type": "reasoning", "id": "rs_1", "encrypted_content": "secret"}
        keeping.send(event("response.output_item.done", item=item))
        last = await keeping.finished(
            Answer(body=event("response.completed", response={"output": [item]}), stream=True)
        )
        assert (b"secret" in client.got, b"secret" in last.body) == (shows, shows)
        found = await store.get("acme", ID)
        assert found is not None and b"secret" in found.body

    run(work)


def test_of_one_that_is_not_kept_only_what_it_continues_is_told() -> None:
    async def work() -> None:
        keeping, store = keeping_of(Client(), id="", previous="resp_before")
        body = b'{"id":"theirs","output":[{"type":"reasoning","encrypted_content":"e"}],"store":null}'
        last = await keeping.finished(Answer(body=body))
        assert json.loads(last.body) == json.loads(body) | {
            "store": False,
            "previous_response_id": "resp_before",
        }
        assert store.held.responses == 0

    run(work)


def test_a_stream_that_fails_is_kept_as_it_ended() -> None:
    async def work() -> None:
        keeping, store = keeping_of(Client())
        writer = Writer()
        last_words = keeping.breaks_off(writer)
        error = StreamBroken("it broke")
        await keeping.failed(error, writer)
        told = last_words(error)
        assert told is not None and ID.encode() in told and b'"store":true' in told
        found = await store.get("acme", ID)
        assert found is not None and json.loads(found.body)["status"] == "failed"

    run(work)


def test_a_stream_that_is_cut_without_time_to_keep_it_says_that_it_was_not() -> None:
    async def work() -> None:
        keeping, store = keeping_of(Client())
        told = keeping.breaks_off(Writer())(StreamBroken("draining"))
        assert told is not None and ID.encode() in told and b'"store":false' in told
        assert store.held.responses == 0

    run(work)


def test_an_answer_that_is_no_json_goes_out_as_it_is() -> None:
    async def work() -> None:
        keeping, store = keeping_of(Client())
        assert (await keeping.finished(Answer(body=b"not json"))).body == b"not json"
        assert store.held.responses == 0

    run(work)
