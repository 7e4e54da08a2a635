"""A streamed answer on its way to a client of Messages: what comes if nothing comes, what is left out."""

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from tests import virtual
from tests.faults.exact import DONE, HELLO, STOP, chunk, counted, event

from farthing.dialects.messages.answers.whole import event_of
from farthing.dialects.messages.streams import stream_writer
from farthing.dialects.told import told
from farthing.edge.messages import form
from farthing.edge.messages.form import MESSAGES, Streamed, Whole, without_start
from farthing.errors import StreamBroken
from farthing.models.answers import SIGN_OF_LIFE
from farthing.types import DEFAULT_ENDPOINT, Answer, Receipt, Request, Tenant, Usage

WAIT_S = 60.0
START = b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_theirs"}}\n\n'
BLOCK = b'event: content_block_start\ndata: {"type":"content_block_start","index":0}\n\n'
END = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


class Client:
    """A sink that keeps what it is sent."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.heard = asyncio.Event()

    def send(self, events: bytes) -> None:
        self.got.append(events)
        self.heard.set()

    def when_writable(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        """It always is."""

    def outlive(self, left: Callable[[Callable[[], None]], bool]) -> None:
        """It never leaves."""

    def returned(self, lines: bytes) -> None:
        """Not looked at."""

    def closing(self, reply: Answer) -> Answer:
        return reply

    async def wait(self, count: int) -> None:
        async with asyncio.timeout(WAIT_S):
            while len(self.got) < count:
                self.heard.clear()
                await self.heard.wait()


def asked(stream: bool = True) -> Request:
    return Request(
        id="req_1",
        tenant=Tenant(name="t"),
        endpoint=DEFAULT_ENDPOINT,
        operation="chat",
        model="a/m",
        alias="claude-auto",
        body={},
        text="",
        prompt_chars=400,
        stream=stream,
    )


def receipt(usage: Usage | None = None) -> Receipt:
    return Receipt(request_id="req_1", at_unix_s=0.0, started_s=0.0, usage=usage)


def begun(client: Client, usage: Usage | None = None) -> Streamed:
    writer = MESSAGES.writer(client, asked(), receipt(usage))
    assert isinstance(writer, Streamed)
    return writer


def names(*sent: bytes) -> list[str]:
    found = []
    for block in b"".join(sent).decode().split("\n\n"):
        lines = block.splitlines()
        found += [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    return found


def data(sent: bytes) -> list[Any]:
    return [json.loads(line[6:]) for line in sent.split(b"\n") if line.startswith(b"data: ")]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(form, "PING_AFTER_S", 0.01)


@pytest.mark.usefixtures("quick")
def test_who_hears_nothing_is_told_the_beginning_and_then_pinged() -> None:
    async def go() -> None:
        client = Client()
        writer = begun(client)
        await client.wait(3)
        assert names(*client.got[:3]) == ["message_start", "ping", "ping", "ping"]
        message = data(client.got[0])[0]["message"]
        assert (message["model"], message["usage"]["input_tokens"]) == ("claude-auto", 100)
        writer.send(b"".join(map(event, HELLO)))
        closing = writer.closing(Answer(body=event(STOP) + DONE, stream=True))
        sent = b"".join(client.got) + closing.body
        assert [name for name in names(sent) if name != "ping"] == [
            "message_start",
            "content_block_start",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ]

    asyncio.run(go())


class Timed(Client):
    """Notes when each event came."""

    def __init__(self) -> None:
        super().__init__()
        self.at: list[tuple[float, str]] = []

    def send(self, events: bytes) -> None:
        super().send(events)
        self.at += [(round(asyncio.get_running_loop().time(), 6), name) for name in names(events)]


def test_a_client_is_pinged_when_it_has_heard_nothing_for_ten_seconds_and_not_before() -> None:
    async def go() -> list[tuple[float, str]]:
        client = Timed()
        writer = begun(client)
        await asyncio.sleep(26)  # 26.0
        writer.send(b"".join(map(event, HELLO[:2])))
        await asyncio.sleep(13)  # 39.0
        for _ in range(3):
            writer.send(event(HELLO[2]))
            await asyncio.sleep(8)
        writer.close()  # 63.0
        await asyncio.sleep(100)
        return client.at

    delta = "content_block_delta"
    assert virtual.run(go()) == [
        (10.0, "message_start"),
        (10.0, "ping"),
        (20.0, "ping"),
        (26.0, "content_block_start"),
        (26.0, delta),
        (36.0, "ping"),
        (39.0, delta),
        (47.0, delta),
        (55.0, delta),
    ]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("end", ["close", "last"])
def test_no_ping_comes_when_it_is_over(end: str) -> None:
    async def go() -> None:
        client = Client()
        writer = begun(client)
        await client.wait(2)
        if end == "last":
            writer.closing(Answer(body=DONE, stream=True))
        writer.close()
        writer.close()
        count = len(client.got)
        await asyncio.sleep(0.1)
        assert len(client.got) == count

    asyncio.run(go())


def test_a_provider_that_lives_and_is_slow_begins_the_answer_at_once() -> None:
    async def go() -> None:
        client = Client()
        writer = begun(client)
        writer.send(SIGN_OF_LIFE)
        writer.send(SIGN_OF_LIFE)
        assert names(*client.got)[:2] == ["message_start", "ping"]
        assert names(*client.got).count("message_start") == 1
        writer.close()

    asyncio.run(go())


@pytest.mark.parametrize("pinged", [False, True])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_a_provider_of_messages_is_passed_on_without_a_second_beginning(pinged: bool, end: bytes) -> None:
    async def go() -> None:
        client = Client()
        writer = begun(client)
        if pinged:
            writer.send(SIGN_OF_LIFE)
        writer.send(told(b"", (START + BLOCK).replace(b"\n", end)))
        writer.send(told(event(chunk({"content": "x"})), START))
        closing = writer.closing(Answer(body=DONE, stream=True, own=END))
        assert closing.body == END
        if pinged:
            assert client.got[1] == BLOCK and data(client.got[0])[0]["message"]["id"] == "msg_req_1"
        else:
            assert client.got[0] == (START + BLOCK).replace(b"\n", end)
        assert client.got[-1] == START, "what comes later is not ours to judge"

    asyncio.run(go())


def test_of_events_without_a_beginning_nothing_is_left_out() -> None:
    assert without_start(BLOCK + END) == (BLOCK + END, {})
    assert without_start(START) == (b"", {})
    said = b'event: content_block_delta\ndata: {"text":"event: message_start"}\n\n'
    assert without_start(START + said) == (said, {})
    said = b'data: {"type":"content_block_delta","delta":{"text":"message_start"}}\n\n'
    assert without_start(nameless(START) + said) == (said, {})


def nameless(events: bytes) -> bytes:
    """`events` without the lines that name them, as some servers write them."""
    return b"\n".join([line for line in events.split(b"\n") if not line.startswith(b"event:")])


@pytest.mark.parametrize("named", [True, False])
def test_the_usage_of_a_beginning_that_is_left_out_is_told_at_the_end(named: bool) -> None:
    opening = {"input_tokens": 9, "cache_read_input_tokens": 4, "output_tokens": 1}
    start = event_of({"type": "message_start", "message": {"id": "m", "usage": opening}}) + b"\n\n"
    delta = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}}
    ending = event_of(delta) + b"\n\n" + END
    if not named:
        start, ending = nameless(start), nameless(ending)

    def sent(pinged: bool) -> tuple[bytes, bytes]:
        client = Client()
        writer = begun(client)
        if pinged:
            writer.send(SIGN_OF_LIFE)
        writer.send(told(b"", start + BLOCK))
        closing = writer.closing(Answer(body=DONE, stream=True, own=ending))
        return b"".join(client.got), closing.body

    async def go() -> None:
        before, closing = sent(pinged=True)
        assert [one["type"] for one in data(before)].count("message_start") == 1
        told_last, stop = data(closing)
        assert told_last == {**delta, "usage": {**opening, "output_tokens": 7}}
        assert stop == {"type": "message_stop"}
        assert sent(pinged=False) == (start + BLOCK, ending), "who heard the beginning gets what came"

    asyncio.run(go())


def test_the_receipt_has_the_last_word_on_usage() -> None:
    async def go() -> None:
        client = Client()
        writer = begun(client, Usage(input_tokens=7, output_tokens=5, cached_tokens=3, estimated=True))
        writer.send(b"".join(map(event, HELLO)))
        closing = writer.closing(Answer(body=event(STOP) + event(counted()) + DONE, stream=True))
        usage = data(closing.body)[-2]["usage"]
        assert (usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"]) == (4, 3, 5)

    asyncio.run(go())


def test_what_cannot_be_written_ends_in_an_error_and_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def go() -> None:
        client = Client()
        writer = begun(client)
        writer.send(event(HELLO[0]) + event(HELLO[1]))

        def fails(_: bytes) -> None:
            raise KeyError("a fault of ours")

        monkeypatch.setattr(writer, "_reader", type("Broken", (), {"feed": staticmethod(fails)}))
        sent = len(client.got)
        with caplog.at_level(logging.ERROR):
            writer.send(event(HELLO[2]))
            writer.send(event(STOP))
        assert len(client.got) == sent and caplog.text.count("req_1") == 1
        with pytest.raises(StreamBroken):
            writer.closing(Answer(body=DONE, stream=True))

    asyncio.run(go())


@pytest.mark.usefixtures("quick")
def test_who_waits_for_the_end_of_an_answer_that_cannot_be_written_is_pinged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def go() -> None:
        client = Client()
        writer = begun(client)
        writer.send(event(HELLO[0]) + event(HELLO[1]))

        def fails(_: bytes) -> None:
            raise KeyError("a fault of ours")

        monkeypatch.setattr(writer, "_reader", type("Broken", (), {"feed": staticmethod(fails)}))
        writer.send(event(HELLO[2]))
        sent = len(client.got)
        await client.wait(sent + 2)
        assert set(names(*client.got[sent:])) == {"ping"}
        with pytest.raises(StreamBroken):
            writer.closing(Answer(body=DONE, stream=True))

    asyncio.run(go())


def test_an_answer_that_cannot_be_written_from_the_start_is_not_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its client gets a status that says so, which none can come after a beginning."""

    async def go() -> None:
        client = Client()
        writer = begun(client)

        def fails(_: bytes) -> None:
            raise KeyError("a fault of ours")

        monkeypatch.setattr(writer, "_reader", type("Broken", (), {"feed": staticmethod(fails)}))
        writer.send(event(HELLO[0]))
        await asyncio.sleep(35)
        with pytest.raises(StreamBroken):
            writer.closing(Answer(body=DONE, stream=True))
        assert client.got == []

    virtual.run(go())


def test_an_answer_that_is_too_large_to_be_told_is_the_provider_s_fault_and_none_of_ours(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stream_writer, "HELD_CHARS_MAX", 2_000)

    async def go() -> None:
        client = Client()
        writer = begun(client)
        for _ in range(20):  # white space alone is no block: it waits for words
            writer.send(event(chunk({"content": " "})))
        writer.send(event(chunk({"content": "words"})))
        with pytest.raises(StreamBroken, match="2000 characters"):
            writer.closing(Answer(body=DONE, stream=True))
        assert not any(b"words" in events for events in client.got) and not caplog.records

    asyncio.run(go())


@pytest.mark.parametrize("first", [BLOCK, event_of({"type": "message_delta"}) + b"\n\n"])
def test_a_stream_that_the_provider_does_not_begin_is_begun(first: bytes) -> None:
    async def go() -> None:
        client = Client()
        writer = begun(client)
        for events in (b": hello\n\n", first, BLOCK):
            writer.send(told(b"", events))
        writer.closing(Answer(body=DONE, stream=True, own=END))
        hello, opened, rest = client.got
        assert hello == b": hello\n\n" and rest == BLOCK
        assert opened.endswith(b"\n\n" + first) and opened.count(b"event: message_start") == 1

    asyncio.run(go())


def test_a_whole_answer_that_is_none_is_told_as_broken() -> None:
    writer = MESSAGES.writer(None, asked(stream=False), receipt())  # type: ignore[arg-type]
    assert isinstance(writer, Whole)
    own = Answer(body=b"{}", own=b'{ "type": "message"}')
    assert writer.closing(own).body == own.own
    with pytest.raises(StreamBroken):
        writer.closing(Answer(body=b'{"error": {"message": "x"}}'))
