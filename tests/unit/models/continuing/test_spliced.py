"""What a client gets of a continuation: the text that follows what it has, as chunks of the first answer."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.dialects.chat.streams.event_reader import EventReader
from farthing.dialects.told import Resumed, told
from farthing.models.continuing.delivered import TEXT_CHARS_MAX, Watched
from farthing.models.continuing.seam import Seam
from farthing.models.continuing.spliced import Spliced, first_of
from farthing.models.continuing.terms import may_go_on
from farthing.types import Answer

Json = dict[str, Any]
MARK = b": here\n\n"
ROLE = {"role": "assistant", "content": ""}


class Client:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.blocks: list[bytes] = []

    def send(self, events: bytes) -> None:
        self.blocks.append(events)

    def when_writable(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        pass

    def outlive(self, left: Callable[[Callable[[], None]], bool]) -> None:
        pass

    def returned(self, lines: bytes) -> None:
        pass

    def closing(self, reply: Answer) -> Answer:
        return reply

    def chunks(self) -> Iterator[Json]:
        for event in b"".join(map(bytes, self.blocks)).split(b"\n\n"):
            if event.startswith(b"data: {"):
                yield json.loads(event[6:])

    @property
    def text(self) -> str:
        return "".join(one["choices"][0]["delta"].get("content") or "" for one in self.chunks())


def event(delta: Json, finish: str | None = None, id: str = "first", **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    said = {"id": id, "created": 7, "model": f"m-{id}", "choices": [choice], **more}
    half = "\ud800" <= str(delta.get("content"))[-1:] <= "\udbff"
    return b"data: " + json.dumps(said, ensure_ascii=half).encode() + b"\n\n"


def cut(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    for size in sizes:
        yield data[:size]
        data = data[size:]
    yield data


def go_on(client: Client, watched: Watched, second: bytes, sizes: list[int]) -> Spliced:
    text = watched.text("chat")
    assert text is not None
    payload = event(ROLE)[6:-2]
    seam = Seam(text)
    spliced = Spliced(
        client, first_of(payload), text, seam, mark=MARK, own=False, item="", legacy_functions=False
    )
    reader = EventReader(1_000_000)
    for piece in cut(second, sizes):
        block = reader.feed(piece)
        if block:
            spliced.send(block)
    spliced.finish(whole=True)
    return spliced


PIECES = st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=6), max_size=6)
SIZES = st.lists(st.integers(1, 90), max_size=20)


@settings(max_examples=50, deadline=None)
@given(PIECES, PIECES, SIZES, SIZES)
def test_the_client_has_the_first_part_and_the_rest_however_both_were_cut(
    begun: list[str], rest: list[str], first_sizes: list[int], sizes: list[int]
) -> None:
    client = Client()
    watched = Watched(client)
    reader = EventReader(1_000_000)
    first = event(ROLE) + b"".join(event({"content": one}) for one in begun) + b'data: {"id": "fir'
    for piece in cut(first, first_sizes):
        block = reader.feed(piece)
        if block:
            watched.send(block)
    assert watched.text("chat") == client.text == "".join(begun)
    second = event(ROLE, id="second") + b"".join(event({"content": one}, id="second") for one in rest)
    spliced = go_on(client, watched, second + event({}, "stop", "second") + b"data: [DONE]\n\n", sizes)
    assert client.text == "".join(begun) + "".join(rest)
    assert "".join(spliced.sent) == "".join(rest)
    found = list(client.chunks())
    assert {one["id"] for one in found} == {"first"}
    assert [one["choices"][0]["finish_reason"] for one in found if one["choices"][0]["finish_reason"]] == [
        "stop"
    ]
    roles = [one for one in found if "role" in one["choices"][0]["delta"]]
    assert len(roles) == 1
    assert b"".join(client.blocks).count(MARK) == 1


def test_a_character_that_comes_in_halves_is_whole() -> None:
    client = Client()
    watched = Watched(client)
    watched.send(event(ROLE) + event({"content": "so "}))
    halves = b'data: {"id":"s","choices":[{"index":0,"delta":{"content":"\\ud83d"}}]}\n\n'
    halves += b'data: {"id":"s","choices":[{"index":0,"delta":{"content":"\\ude00!"}}]}\n\n'
    go_on(client, watched, halves + event({}, "stop"), [])
    assert client.text == "so 😀!"


def test_a_call_of_a_tool_may_follow_and_thinking_is_left_out() -> None:
    client = Client()
    watched = Watched(client)
    watched.send(event(ROLE) + event({"content": "I look "}))
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    second = event({"reasoning_content": "hm"}) + event({"content": "it up."}) + event({"tool_calls": [call]})
    spliced = go_on(client, watched, second + event({}, "tool_calls"), [])
    assert client.text == "I look it up."
    assert not spliced.plain
    last = list(client.chunks())
    assert not any("reasoning_content" in one["choices"][0]["delta"] for one in last)
    assert last[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert any("tool_calls" in one["choices"][0]["delta"] for one in last)


def test_nothing_is_kept_of_a_continuation_that_is_too_long_to_be_gone_on_with() -> None:
    client = Client()
    watched = Watched(client)
    watched.send(event(ROLE) + event({"content": "so "}))
    pieces = TEXT_CHARS_MAX // 1_000 + 1
    second = b"".join(event({"content": "x" * 1_000}) for _ in range(pieces))
    spliced = go_on(client, watched, second + event({}, "stop"), [])
    assert client.text == "so " + "x" * 1_000 * pieces
    assert (spliced.sent, spliced.plain) == ([], False)


def test_what_is_not_text_cannot_be_gone_on_with() -> None:
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
    for delta in (
        {"tool_calls": [call]},
        {"reasoning_content": "hm"},
        {"refusal": "no"},
        {"annotations": [{"type": "url_citation", "url_citation": {"url": "https://a.example"}}]},
        {"content": "\ud83d"},
    ):
        watched = Watched(Client())
        watched.send(event(ROLE) + event({"content": "so"}) + event(delta))
        text = watched.text("chat")
        assert text is None or not may_go_on(text, ())
    watched = Watched(Client())
    for _ in range(TEXT_CHARS_MAX // 10_000 + 1):
        watched.send(event({"content": "x" * 10_000}))
    assert watched.text("chat") is None
    assert not watched.pieces


def test_own_events_go_on_only_within_their_one_block() -> None:
    start = b'data: {"type":"content_block_start","index":0}\n\n'
    stop = b'data: {"type":"content_block_stop","index":0}\n\n'
    chunks = event({"content": 'says "content_block_stop"'})
    cited = b'data: {"type":"content_block_delta","delta":{"type":"citations_delta"}}\n\n'
    ways = (start, True), (start + stop, False), (start + start, False), (start + cited, False), (b"", False)
    for own, open_ in ways:
        watched = Watched(Client())
        watched.send(told(chunks, own))
        assert (watched.text("messages") is not None) is open_
        assert watched.text("chat") is None


def test_a_beginning_of_own_events_is_told_with_the_first_of_the_rest() -> None:
    client = Client()
    spliced = Spliced(
        client,
        {"id": "i"},
        "so ",
        Seam("so "),
        mark=MARK,
        own=True,
        item="msg_1",
        legacy_functions=False,
    )
    spliced.send(event({"content": "it"}))
    spliced.send(event({"content": " is"}))
    first, second = client.blocks
    assert isinstance(first, Resumed)
    assert not isinstance(second, Resumed)
    assert first.item == "msg_1"
    assert b'"so "' in first.before
    assert first.startswith(MARK)
