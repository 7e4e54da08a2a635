"""The segments of a prompt: what of it is the same, where it differs, and what a conversation that grows
costs."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.models.prompt_cache import segments
from farthing.models.prompt_cache.segments import BLOCK_BYTES, MESSAGES, Prefix

Json = dict[str, Any]
TOOLS = [{"name": f"tool_{number}", "description": "Does. " * 60} for number in range(12)]
SYSTEM = "You are careful. " * 200


def messages(count: int, begin: int = 0) -> list[Json]:
    return [
        {"role": "user" if number % 2 == 0 else "assistant", "content": f"{number}: " + "words and " * 70}
        for number in range(begin, count)
    ]


def chat(turns: list[Json], system: str = SYSTEM, tools: Any = TOOLS, **more: Any) -> bytes:
    body = {"model": "m", "messages": [{"role": "system", "content": system}, *turns], "tools": tools, **more}
    return json.dumps(body, separators=(",", ":")).encode()


def anthropic(turns: list[Json], system: Any = SYSTEM, tools: Any = TOOLS, *, early: bool = False) -> bytes:
    body: Json = {"model": "m", "max_tokens": 9, "messages": turns, "system": system, "tools": tools}
    if early:
        body = {"model": "m", "system": system, "tools": tools, "messages": turns, "stream": True}
    return json.dumps(body).encode()


def responses(turns: list[Json]) -> bytes:
    return json.dumps({"model": "m", "instructions": SYSTEM, "input": turns, "tools": TOOLS}).encode()


def gemini(turns: list[Json]) -> bytes:
    said = [{"role": one["role"], "parts": [{"text": one["content"]}]} for one in turns]
    told = {"parts": [{"text": SYSTEM}]}
    return json.dumps({"systemInstruction": told, "contents": said, "tools": TOOLS}).encode()


def read(body: bytes, before: Prefix | None = None) -> Prefix:
    reading = segments.read(body, before)
    assert reading is not None
    return reading.finished()


WRITERS = {
    "chat": chat,
    "messages": anthropic,
    "messages, system first": lambda turns: anthropic(turns, early=True),
    "responses": responses,
    "gemini": gemini,
}
every_form = pytest.mark.parametrize("form", WRITERS)


@every_form
@pytest.mark.parametrize("count", [1, 5, 9, 40, 600])
def test_a_conversation_that_grows_begins_with_all_that_was_there(form: str, count: int) -> None:
    write = WRITERS[form]
    before = read(write(messages(count)))
    later = read(write(messages(count + 2)), before)
    assert before.parted(later) is None
    assert later.parted(before) is not None


@every_form
@pytest.mark.parametrize("count", [1, 5, 9, 40, 600])
def test_what_is_read_with_the_help_of_the_call_before_is_what_is_read_anew(form: str, count: int) -> None:
    write = WRITERS[form]
    prefix: Prefix | None = None
    for number in range(count, count + 24, 2):
        body = write(messages(number))
        prefix, anew = read(body, prefix), read(body)
        assert prefix.digests == anew.digests
        assert prefix.sizes == anew.sizes
        assert prefix.weights == anew.weights
        assert prefix.systems == anew.systems
        assert anew.parted(prefix) is None
        assert all(anew._blocks_of(place) == prefix._blocks_of(place) for place in range(len(anew.sizes)))


@pytest.mark.parametrize("count", [3, 40])
@pytest.mark.parametrize("early", [False, True])
def test_a_change_is_found_in_its_segment_at_its_byte(count: int, early: bool) -> None:
    before = read(anthropic(messages(count), early=early))
    turns = messages(count + 2)
    changed_tools = [*TOOLS[:5], {**TOOLS[5], "name": "another"}, *TOOLS[6:]]
    cases = (
        (anthropic(turns, tools=changed_tools, early=early), "tools", len(json.dumps(TOOLS[:5]))),
        (anthropic(turns, tools=TOOLS[:-1], early=early), "tools", len(json.dumps(TOOLS[:-1]))),
        (anthropic(turns, system=f"{SYSTEM[:1500]}!{SYSTEM[1501:]}", early=early), "system", 1_501),
        (anthropic([{"role": "user", "content": "Another."}, *turns[1:]], early=early), "message 0", 30),
        (
            anthropic([*turns[:2], {**turns[2], "content": "Edited."}, *turns[3:]], early=early),
            "message 2",
            30,
        ),
    )
    for body, label, byte in cases:
        parted = before.parted(read(body, before))
        assert parted is not None
        assert before.label(parted[0]) == label
        assert parted[1] <= byte < parted[1] + BLOCK_BYTES, label


def test_the_system_prompt_of_a_chat_is_no_message() -> None:
    before = read(chat(messages(5)))
    parted = before.parted(read(chat(messages(7), system=f"Today is Monday. {SYSTEM}"), before))
    assert parted is not None
    assert before.label(parted[0]) == "system"
    parted = before.parted(read(chat([{"role": "user", "content": "Other."}, *messages(7)[1:]]), before))
    assert parted is not None
    assert before.label(parted[0]) == "message 1"  # of the list that the client sent


MARK = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}


def marked(turns: list[Json]) -> list[Json]:
    """As agents mark: the last text becomes a block, which carries the mark."""
    *before, last = turns
    return [*before, {**last, "content": [{"type": "text", "text": last["content"], **MARK}]}]


@pytest.mark.parametrize("count", [3, 21, 301])
def test_a_mark_that_moves_changes_nothing(count: int) -> None:
    system = [{"type": "text", "text": SYSTEM, **MARK}]
    prefix = read(anthropic(marked(messages(count)), system=system))
    for number in range(count + 2, count + 20, 2):
        later = read(anthropic(marked(messages(number)), system=system), prefix)
        assert prefix.parted(later) is None
        prefix = later
    assert (
        prefix.parted(read(anthropic(messages(count + 20), system=[{"type": "text", "text": SYSTEM}])))
        is None
    )


def test_a_point_of_converse_is_a_mark() -> None:
    def body(turns: int, point: int) -> bytes:
        said: list[Any] = [
            {"role": "user", "content": [{"text": f"{number} " + "x" * 400}]} for number in range(turns)
        ]
        said[point]["content"].append({"cachePoint": {"type": "default"}})
        return json.dumps({"messages": said, "system": [{"text": SYSTEM}]}, separators=(",", ":")).encode()

    before = read(body(3, 2))
    assert before.parted(read(body(5, 4), before)) is None


def test_text_that_looks_like_a_mark_is_text() -> None:
    before = read(chat([{"role": "user", "content": '{"cache_control": {"type": "a"}}'}]))
    parted = before.parted(read(chat([{"role": "user", "content": '{"cache_control": {"type": "b"}}'}])))
    assert parted is not None
    assert before.label(parted[0]) == "message 1"


@given(
    texts=st.lists(st.text(max_size=30), min_size=1, max_size=30),
    more=st.lists(st.text(max_size=30), max_size=8),
    edited=st.integers(0, 29),
)
@settings(max_examples=150, deadline=None)
def test_any_conversation_is_known_again_and_any_edit_is_found(
    texts: list[str], more: list[str], edited: int
) -> None:
    def body(said: list[str]) -> bytes:
        turns = [{"role": "user", "content": [{"type": "text", "text": text}]} for text in said]
        return json.dumps(
            {"messages": turns, "padding": "x" * 2_000}, ensure_ascii=len(said) % 2 == 0
        ).encode("utf-8", "replace")

    long = [*texts, *more, *(["end"] if len(more) % 2 else [])]
    before = read(body(texts))
    assert before.parted(read(body(long), before)) is None or len(long) % 2 != len(texts) % 2
    at = edited % len(texts)
    other = [*texts[:at], texts[at] + "!", *texts[at + 1 :], *more]
    parted = before.parted(read(body(other), before))
    assert parted is not None
    if len(other) % 2 == len(texts) % 2:
        assert parted[0] == MESSAGES + at


def test_tokens_before_a_place_are_the_share_of_its_bytes_and_an_image_is_not_text() -> None:
    words = [{"role": "user", "content": "w" * 6_000}, {"role": "user", "content": "v" * 6_000}]
    plain = read(json.dumps({"messages": words}).encode())
    assert plain.tokens_before(MESSAGES + 1, 0, 1_000) == pytest.approx(500, abs=5)
    image = {"type": "image", "source": {"type": "base64", "data": "iVBORw0KGgo" * 100_000}}
    held = read(json.dumps({"messages": [{"role": "user", "content": [image]}, words[0]]}).encode())
    assert held.tokens_before(MESSAGES + 1, 0, 1_000) == pytest.approx(500, abs=15)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"input": "text"}',
        b'{"messages": 5}',
        b'{"messages": [',
        b"\xff\xfe",
        b"{" * 5_000,
    ],
)
def test_what_has_no_conversation_has_no_segments(body: bytes) -> None:
    assert segments.read(body) is None


@pytest.mark.parametrize("inner", [1, 3, 20])
def test_something_like_messages_before_them_is_not_taken_for_them(inner: int) -> None:
    def body(turns: int) -> bytes:
        said = messages(turns)
        decoy = {"messages": said[:1] + [{"role": "user", "content": f"{number}"} for number in range(inner)]}
        tools = [{"name": "a", "input_schema": {"examples": [decoy]}}]
        return json.dumps(
            {"tools": tools, "messages": said, "system": SYSTEM}, separators=(",", ":")
        ).encode()

    before = read(body(12))
    later = read(body(14), before)
    assert before.parted(later) is None
    assert later.digests == read(body(14)).digests


def test_a_long_conversation_is_read_in_pieces() -> None:
    reading = segments.read(anthropic(messages(1_000)))
    assert reading is not None
    pieces = 1
    while reading.go_on():
        pieces += 1
    assert pieces >= 3
    assert reading.finished().digests == read(anthropic(messages(1_000))).digests
