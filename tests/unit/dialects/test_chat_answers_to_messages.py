"""What chat servers really send, and what a client of Messages makes of it, whole and streamed."""

import json
import string
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import DecodeError
from tests.e2e.streams import frames, messages_faults
from tests.faults.exact import COUNTS, DONE, chunk, counted, say, whole_of
from tests.unit.dialects.answered import Json, events_of, gathered, piece, sse, streamed, whole, written
from tests.unit.dialects.test_messages_usage import JSON

from farthing.dialects.chat.answers import answer_reader
from farthing.dialects.chat.streams.event_reader import EventReader
from farthing.dialects.chat.streams.stream_reader import Reader
from farthing.dialects.conversation import (
    PING,
    ArgumentsDelta,
    BlockStarted,
    Ended,
    Event,
    Message,
    Reasoning,
    Stopped,
    Text,
    TextDelta,
    ToolCall,
)
from farthing.dialects.events import BadAnswer, BadStream, ProviderSaid
from farthing.dialects.faults import ProviderSaid as ErrorInStream
from farthing.dialects.messages.answers import answer_writer
from farthing.dialects.messages.streams.stream_writer import HELD_CHARS_MAX, EventWriter
from farthing.dialects.proofs import opened

ID_CHARS = frozenset(f"{string.ascii_letters}{string.digits}_-")
STOP = chunk(finish="stop")
CALLED = chunk(finish="tool_calls")
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}


def calls(*pieces: Json) -> Json:
    return chunk({"tool_calls": list(pieces)})


def call(name: str = "f", arguments: Any = "{}", **more: Any) -> Json:
    return {"type": "function", "function": {"name": name, "arguments": arguments}, **more}


def thinking(**told: Any) -> Json:
    return {"type": "thinking", **told}


def content_of(message: Json) -> list[Any]:
    """Its blocks in short: text, thought with its signature, or a call's name and input."""
    found: list[Any] = []
    for block in message["content"]:
        match block["type"]:
            case "text":
                found.append(block["text"])
            case "thinking":
                found.append((block["thinking"], block["signature"]))
            case "tool_use":
                found.append({block["name"]: block["input"]})
            case kind:
                found.append(kind)
    return found


# -- streams -------------------------------------------------------------------------------------------

AGAIN = {"index": 0, "id": "a"}
STREAMS: dict[str, tuple[list[Any], list[Any], str]] = {
    "calls whose pieces alternate": (
        [
            calls(call(arguments="", index=0, id="a"), call(arguments="", index=1, id="b")),
            piece(0, '{"q":'),
            piece(1, '{"q":"B'),
            calls(*[{"index": at, "function": {"arguments": end}} for at, end in enumerate(('"A"}', '"}'))]),
            CALLED,
        ],
        [{"f": {"q": "A"}}, {"f": {"q": "B"}}],
        "tool_use",
    ),
    "thoughts that end where text begins, and come again": (
        [
            chunk({"role": "assistant", "reasoning_content": "hm"}),
            chunk({"reasoning_content": " yes", "content": "It "}),
            *say("is"),
            chunk({"reasoning_content": "wait"}),
            *say(" so."),
            STOP,
        ],
        [("hm yes", ""), "It is", ("wait", ""), " so."],
        "end_turn",
    ),
    "a forced call told as a stop": ([piece(0, "{}", id="a", name="f"), STOP], [{"f": {}}], "tool_use"),
    "a call that is announced and does not come": ([*say("so"), CALLED], ["so"], "end_turn"),
    "content as parts": (
        [chunk({"content": [{"type": "text", "text": "a"}]}), chunk({"content": [{"text": "b"}]}), STOP],
        ["ab"],
        "end_turn",
    ),
    "thoughts as parts": (
        [
            chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "h"}]}]}),
            chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "m"}]}]}),
            *say("so"),
            STOP,
        ],
        [("hm", ""), "so"],
        "end_turn",
    ),
    "arguments as objects": ([piece(0, {"q": 1}, id="a", name="f"), CALLED], [{"f": {"q": 1}}], "tool_use"),
    "an empty object before the real one": (
        [piece(0, {}, id="a", name="f"), piece(0, {"q": 1}), piece(1, "{}", id="b", name="g"), CALLED],
        [{"f": {"q": 1}}, {"g": {}}],
        "tool_use",
    ),
    "no arguments": ([piece(0, None, id="a", name="f"), CALLED], [{"f": {}}], "tool_use"),
    "line breaks in arguments": (
        [piece(0, '{"q":"a', id="a", name="f"), piece(0, '\nb"}'), CALLED],
        [{"f": {"q": "a\nb"}}],
        "tool_use",
    ),
    "arguments of another language": (
        [piece(0, "{'q'", id="a", name="f"), piece(0, ": 1}"), CALLED],
        [{"f": {"INVALID_JSON": "{'q': 1}"}}],
        "tool_use",
    ),
    "calls without an index": (
        [calls(call("f", '{"q":1}', id="a"), call("g", '{"q":2}', id="b")), CALLED],
        [{"f": {"q": 1}}, {"g": {"q": 2}}],
        "tool_use",
    ),
    "calls without ids": (
        [calls({"index": 0, **call()}, {"index": 1, **call("g")}), CALLED],
        [{"f": {}}, {"g": {}}],
        "tool_use",
    ),
    "calls that share an index": (
        [piece(0, "{}", id="a", name="f"), piece(0, '{"q":2}', id="b", name="g"), CALLED],
        [{"f": {}}, {"g": {"q": 2}}],
        "tool_use",
    ),
    "id and name with every piece": (
        [piece(0, '{"q"', id="a", name="f"), piece(0, ":1}", id="a", name="f"), CALLED],
        [{"f": {"q": 1}}],
        "tool_use",
    ),
    "a name in pieces": (
        [piece(0, None, id="a", name="look_"), piece(0, None, name="up"), piece(0, "{}"), CALLED],
        [{"look_up": {}}],
        "tool_use",
    ),
    "an id that comes late": (
        [piece(0, "", name="f"), piece(0, "{}", id="late"), CALLED],
        [{"f": {}}],
        "tool_use",
    ),
    "a function of old": (
        [
            chunk({"function_call": {"name": "f", "arguments": ""}}),
            chunk({"function_call": {"arguments": '{"q":1}'}}),
            chunk(finish="function_call"),
        ],
        [{"f": {"q": 1}}],
        "tool_use",
    ),
    "a custom call": (
        [
            calls({**AGAIN, "type": "custom", "custom": {"name": "sh", "input": "ls "}}),
            calls({"index": 0, "custom": {"input": "-l"}}),
            CALLED,
        ],
        [{"sh": {"input": "ls -l"}}],
        "tool_use",
    ),
    "words behind a call": (
        [piece(0, '{"q":1}', id="a", name="f"), *say("so"), chunk({"reasoning": "hm"}), CALLED],
        [{"f": {"q": 1}}, "so", ("hm", "")],
        "tool_use",
    ),
    "a call that goes on behind words": (
        [piece(0, '{"q"', id="a", name="f"), *say("so"), piece(0, ":1}"), CALLED],
        [{"f": {"q": 1}}, "so"],
        "tool_use",
    ),
    "blanks alone": ([*say("\n", " "), piece(0, "{}", id="a", name="f"), CALLED], [{"f": {}}], "tool_use"),
    "blanks first": ([*say("\n", "\n", "so"), STOP], ["\n\nso"], "end_turn"),
    "nothing": ([STOP], [], "end_turn"),
    "words behind the finish": ([*say("a"), STOP, *say("b"), STOP, counted()], ["ab"], "end_turn"),
    "no finish": (say("a"), ["a"], "max_tokens"),
    "a finish that nobody knows": ([*say("a"), chunk(finish="whatever")], ["a"], "max_tokens"),
    "several choices": (
        [chunk({"content": "a"}), chunk({"content": "b"}, index=1), chunk(finish="length", index=1), STOP],
        ["a"],
        "end_turn",
    ),
    "another choice alone": (
        [chunk({"content": "b"}, index=1), chunk(finish="stop", index=1)],
        ["b"],
        "end_turn",
    ),
    "halves of a character": ([*say("\ud83d", "\ude00"), STOP], ["\U0001f600"], "end_turn"),
    "half a character": ([*say("\ud83d"), STOP], ["\ufffd"], "end_turn"),
    "halves in arguments": (
        [piece(0, '{"q":"\ud83d', id="a", name="f"), piece(0, '\ude00"}'), CALLED],
        [{"f": {"q": "\U0001f600"}}],
        "tool_use",
    ),
    "speech": (
        [chunk({"audio": {"id": "x", "transcript": "hi"}}), chunk({"audio": {"data": "AAAA"}}), STOP],
        ["hi"],
        "end_turn",
    ),
    "pictures": ([*say("see"), chunk({"images": [IMAGE]}), STOP], ["see"], "end_turn"),
    "a whole answer in a chunk": (
        [{**chunk(), "choices": [{"index": 0, "message": {"content": "all"}, "finish_reason": "stop"}]}],
        ["all"],
        "end_turn",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STREAMS)
def test_streams_of_servers(name: str) -> None:
    values, content, stop = STREAMS[name]
    found = streamed(*values)
    assert content_of(found) == content
    assert (found["stop_reason"], found["stop_sequence"]) == (stop, None)
    ids = [block["id"] for block in found["content"] if block["type"] == "tool_use"]
    assert len(set(ids)) == len(ids)
    assert all(one and set(one) <= ID_CHARS for one in ids)


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_may_be_cut_at_every_byte(name: str) -> None:
    data = sse(*STREAMS[name][0])
    expected = gathered(written(events_of([data])))
    for at in range(1, len(data), 5):
        assert gathered(written(events_of([data[:at], data[at:]]))) == expected
    assert gathered(written(events_of([bytes([byte]) for byte in data]))) == expected


@given(
    st.lists(st.sampled_from([value for values, _, _ in STREAMS.values() for value in values]), max_size=12)
)
def test_pieces_in_any_order_are_a_stream_that_clients_can_read(values: list[Any]) -> None:
    assert messages_faults(frames(written(events_of([sse(*values)])))) == []


ONE_BY_ONE = [
    *say("a", " b"),
    *map(
        chunk,
        ({"content": "c", "tool_calls": [], "reasoning_content": ""}, {"content": "d", "refusal": None}),
    ),
    *map(chunk, ({"reasoning_content": "e"}, {"reasoning": "f", "content": ""}, {"reasoning": "g", "x": 1})),
    *map(
        chunk,
        ({"thinking_blocks": [thinking(index=0, thinking="h")]}, {"reasoning_content": "", "content": ""}),
    ),
    *(value for values, _, _ in STREAMS.values() for value in values),
]


@given(st.lists(st.sampled_from(ONE_BY_ONE), max_size=12))
def test_the_short_way_tells_the_same(values: list[Any]) -> None:
    class AllTheWay(Reader):
        def _plain(self, payload: bytes, found: list[Event]) -> None:
            raise DecodeError

    data = sse(*values)
    assert Reader().feed(data) == AllTheWay().feed(data)


@pytest.mark.parametrize(
    ("opens", "more"),
    [
        (say("a"), {"content": " b", "tool_calls": [], "reasoning_content": None, "role": "assistant"}),
        ([chunk({"reasoning": "a"})], {"reasoning": "b", "content": ""}),
        ([piece(0, '{"', id="a", name="f")], piece(0, "q")["choices"][0]["delta"]),
    ],
)
def test_most_pieces_go_the_short_way(opens: list[Json], more: Json) -> None:
    reader = Reader()
    reader.feed(sse(*opens).removesuffix(DONE))
    values: list[Event] = []
    reader._plain(json.dumps(chunk(more)).encode(), values)
    assert len(values) == 1


SIGNED = {"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0}
SEALED = {"type": "reasoning.encrypted", "data": "E", "format": "openai-responses-v1", "index": 1}


@pytest.mark.parametrize(
    ("deltas", "thoughts"),
    [
        (
            [
                {"reasoning_content": "h", "thinking_blocks": [thinking(index=0, thinking="h")]},
                {"reasoning_content": "m", "thinking_blocks": [thinking(index=0, thinking="m")]},
                {"thinking_blocks": [thinking(index=0, signature="S")]},
                {"thinking_blocks": [{"index": 1, "type": "redacted_thinking", "data": "R"}]},
                {"thinking_blocks": [thinking(index=2, thinking="n", signature="T")]},
            ],
            [("hm", "S"), "redacted_thinking", ("n", "T")],
        ),
        (
            [
                {"reasoning": "hm", "reasoning_details": [{**SIGNED, "text": "hm"}]},
                {"reasoning_details": [{**SIGNED, "text": "", "signature": "S"}]},
            ],
            [("hm", "S")],
        ),
        ([{"reasoning": "hm"}, {"reasoning_details": [SEALED]}], [("hm", "")]),
        ([{"thinking": "h"}, {"thinking": "m"}], [("hm", "")]),
        (
            [{"thinking_blocks": [thinking(thinking="a", signature="S")]}, {"reasoning_content": "b"}],
            [("a", "S"), ("b", "")],
        ),
    ],
)  # fmt: skip
def test_reasoning_comes_with_the_signature_of_its_maker(deltas: list[Json], thoughts: list[Any]) -> None:
    found = streamed(*map(chunk, deltas), *say("so"), STOP)
    assert content_of(found) == [*thoughts, "so"]


def proof(said: str) -> Json:
    return {"extra_content": {"google": {"thought_signature": said}}}


def proofs_of(message: Json) -> list[Any]:
    """The call after each proof, and what stands there, by the id that the proof bears."""
    found = []
    for block, after in pairwise(message["content"]):
        if block["type"] == "thinking":
            told = opened(block["signature"])
            assert told["id"] == after["id"]
            found.append((after["input"], told["extra_content"]["google"]["thought_signature"]))
    return found


@pytest.mark.parametrize("ids", [("", ""), ("a", "b"), ("", "b")])
def test_each_proof_stands_before_its_own_call_and_bears_the_id_that_the_client_knows(
    ids: tuple[str, str],
) -> None:
    told = [
        {"index": at, **call(arguments=arguments), "id": call_id, **proof(said)}
        for at, (call_id, arguments, said) in enumerate(zip(ids, ('{"n":1}', '{"n":2}'), "12", strict=True))
    ]
    expected = [({"n": 1}, "1"), ({"n": 2}, "2")]
    assert proofs_of(whole(whole_of({"role": "assistant", "content": None, "tool_calls": told}))) == expected
    assert proofs_of(streamed(calls(*told), CALLED)) == expected
    assert proofs_of(streamed(*map(calls, told), CALLED)) == expected


def test_of_two_calls_with_one_id_each_has_its_own_proof() -> None:
    first, second = (
        {**call(arguments=arguments), "id": "a", **proof(said)}
        for arguments, said in (('{"n":1}', "1"), ('{"n":2}', "2"))
    )
    read = answer_reader.read(
        json.dumps(whole_of({"role": "assistant", "content": None, "tool_calls": [first, second]})).encode()
    )
    kinds = [block.__class__.__name__ for block in read.blocks]
    said = [opened(block.signature) for block in read.blocks if isinstance(block, Reasoning)]
    assert kinds == ["Reasoning", "ToolCall"] * 2
    assert [one["extra_content"]["google"]["thought_signature"] for one in said] == ["1", "2"]


def test_a_proof_that_comes_after_its_call_began_bears_its_id() -> None:
    begins = calls({"index": 0, **call(arguments="")})
    found = streamed(begins, calls({"index": 0, **proof("1"), "function": {"arguments": "{}"}}), CALLED)
    ids = [block["id"] for block in found["content"] if block["type"] == "tool_use"]
    told = [opened(block["signature"])["id"] for block in found["content"] if block["type"] == "thinking"]
    assert len(ids) == 1 and told == ids


def test_a_refusal_of_the_model_is_said_and_is_one() -> None:
    found = streamed(chunk({"refusal": "I "}), chunk({"refusal": "won't."}), STOP)
    assert content_of(found) == ["I won't."]
    assert (found["stop_reason"], found["stop_details"]["explanation"]) == ("refusal", "I won't.")
    told = whole(whole_of({"role": "assistant", "content": None, "refusal": "I won't."}))
    assert content_of(told) == ["I won't."] and told["stop_reason"] == "refusal"


def test_what_a_filter_took_away_is_a_refusal() -> None:
    found = streamed(*say("half"), chunk(finish="content_filter"))
    assert content_of(found) == ["half"] and found["stop_reason"] == "refusal"


def test_sources_stand_on_the_text_that_they_are_of() -> None:
    page = {"type": "url_citation", "url_citation": {"url": "https://e.org", "title": "T", "start_index": 0}}
    expected = {
        "type": "web_search_result_location",
        "url": "https://e.org",
        "title": "T",
        "cited_text": "",
        "encrypted_index": "",
    }
    found = streamed(*say("see this"), chunk({"annotations": [page]}), *say("."), STOP)
    assert content_of(found) == ["see this", "."] and found["content"][0]["citations"] == [expected]
    placed = {**page, "url_citation": {**page["url_citation"], "start_index": 4, "end_index": 8}}  # type: ignore[dict-item]
    told = whole(whole_of({"role": "assistant", "content": "see this now", "annotations": [placed]}))
    assert content_of(told) == ["see ", "this", " now"] and told["content"][1]["citations"] == [expected]


# -- usage ---------------------------------------------------------------------------------------------

CACHED = {
    "prompt_tokens": 2000,
    "completion_tokens": 50,
    "total_tokens": 2050,
    "prompt_tokens_details": {"cached_tokens": 1500, "cache_write_tokens": 300},
}
FRESH = {
    "input_tokens": 200,
    "cache_read_input_tokens": 1500,
    "cache_creation_input_tokens": 300,
    "output_tokens": 50,
}


@pytest.mark.parametrize(
    "ending",
    [
        [STOP, counted(CACHED)],
        [{**STOP, "usage": CACHED}],
        [{**STOP, "choices": [{**STOP["choices"][0], "usage": CACHED}]}],
        [{**STOP, "x_groq": {"usage": CACHED}}],
        [counted(COUNTS), STOP, counted(CACHED)],
        [STOP, counted(CACHED), counted(None)],
    ],
)
def test_usage_is_found_wherever_it_stands(ending: list[Any]) -> None:
    usage = streamed(*say("a"), *ending)["usage"]
    assert {name: usage[name] for name in FRESH} == FRESH


def test_usage_counts_what_went_by_the_cache_apart() -> None:
    usage = whole(whole_of(usage=CACHED))["usage"]
    assert {name: usage[name] for name in FRESH} == FRESH
    assert usage["cache_creation"] == {"ephemeral_5m_input_tokens": 300, "ephemeral_1h_input_tokens": 0}


def test_a_tier_that_clients_do_not_know_is_not_told() -> None:
    for tier, told in (("flex", None), ("priority", "priority"), ("default", "standard")):
        usage = whole(whole_of(service_tier=tier))["usage"]
        assert usage["service_tier"] == told


def test_without_usage_the_estimate_of_the_prompt_stands() -> None:
    stream = EventWriter(request_id="r", model="m", input_tokens=77).write(events_of([sse(*say("a"), STOP)]))
    assert gathered(stream)["usage"]["input_tokens"] == 77


# -- whole answers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "content"),
    [
        ({"content": "hi"}, ["hi"]),
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, ["a", "b"]),
        ({"content": None}, []),
        ({"content": " \n"}, []),
        ({"content": "", "tool_calls": [call("now", "", id="a")]}, [{"now": {}}]),
        ({"tool_calls": [call("f", {"q": 1}, id="a")]}, [{"f": {"q": 1}}]),
        ({"tool_calls": [call("f", '{}{"q":1}', id="a")]}, [{"f": {"q": 1}}]),
        ({"tool_calls": [call("f", '{"q":"a\nb"}', id="a")]}, [{"f": {"q": "a\nb"}}]),
        ({"tool_calls": [call("f", "{q", id="a")]}, [{"f": {"INVALID_JSON": "{q"}}]),
        ({"tool_calls": [call(id=None), call("g")]}, [{"f": {}}, {"g": {}}]),
        ({"function_call": {"name": "f", "arguments": "{}"}}, [{"f": {}}]),
        ({"tool_calls": [{"id": "a", "type": "custom", "custom": {"name": "sh", "input": "ls"}}]},
         [{"sh": {"input": "ls"}}]),
        ({"content": "so", "reasoning_content": "hm"}, [("hm", ""), "so"]),
        ({"content": "so", "reasoning": "hm",
          "reasoning_details": [{**SIGNED, "text": "hm", "signature": "S"}]}, [("hm", "S"), "so"]),
        ({"content": "so", "thinking_blocks": [thinking(thinking="hm", signature="S"),
                                               thinking(thinking="n", signature="T", at=1)]},
         [("hm", "S"), "so", ("n", "T")]),
        ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                      {"type": "text", "text": "so"}]}, [("hm", ""), "so"]),
        ({"content": "see", "images": [IMAGE]}, ["see"]),
        ({"content": None, "audio": {"id": "x", "transcript": "hi", "data": "AAAA"}}, ["hi"]),
        ({"content": [{"type": "new_kind", "x": 1}, "so"]}, ["so"]),
    ],
)  # fmt: skip
def test_whole_answers_of_servers(message: Json, content: list[Any]) -> None:
    finish = "tool_calls" if any(isinstance(one, dict) for one in content) else "stop"
    found = whole(whole_of({"role": "assistant", **message}, finish))
    assert content_of(found) == content
    assert found["stop_reason"] == ("tool_use" if finish == "tool_calls" else "end_turn")
    assert found["id"] == "msg_chatcmpl-1" and found["model"] == "m-1"


@pytest.mark.parametrize(
    ("choice", "stop", "sequence"),
    [
        ({"finish_reason": "stop", "stop_reason": "###"}, "stop_sequence", "###"),
        ({"finish_reason": "stop", "matched_stop": "###"}, "stop_sequence", "###"),
        ({"finish_reason": "stop", "matched_stop": 2}, "end_turn", None),
        ({"finish_reason": "stop", "stop_reason": None}, "end_turn", None),
        ({"finish_reason": "length"}, "max_tokens", None),
        ({"finish_reason": "length", "native_finish_reason": "model_context_window_exceeded"},
         "model_context_window_exceeded", None),
        ({"finish_reason": "length", "native_finish_reason": "pause_turn"}, "pause_turn", None),
        ({"finish_reason": "content_filter", "native_finish_reason": "refusal"}, "refusal", None),
        ({"finish_reason": "MAX_TOKENS"}, "max_tokens", None),
        ({"finish_reason": {"type": "length", "length": 9}}, "max_tokens", None),
        ({"finish_reason": "eos"}, "end_turn", None),
        ({"finish_reason": None}, "max_tokens", None),
        ({"finish_reason": "tool_calls"}, "end_turn", None),
    ],
)  # fmt: skip
def test_why_it_ended(choice: Json, stop: str, sequence: str | None) -> None:
    body = whole_of()
    body["choices"][0].update(choice)
    found = whole(body)
    assert (found["stop_reason"], found["stop_sequence"]) == (stop, sequence)
    ending = {**chunk(), "choices": [{"index": 0, "delta": {}, **choice}]}
    ended = streamed(*say("hello"), ending)
    assert (ended["stop_reason"], ended["stop_sequence"]) == (stop, sequence)


def test_ids_are_such_as_anthropic_takes_and_no_two_are_one() -> None:
    given_ids = ["functions.f:0", "functions_f_0", "call_a", "call_a", "", "x" * 200, "é"]
    told = [{**call(), "id": one} for one in given_ids]
    by_whole = whole(whole_of({"role": "assistant", "content": None, "tool_calls": told}, "tool_calls"))
    by_stream = streamed(calls(*[{"index": at, **one} for at, one in enumerate(told)]), CALLED)
    for found in (by_whole, by_stream):
        ids = [block["id"] for block in found["content"]]
        assert len(set(ids)) == len(given_ids)
        assert all(0 < len(one) <= 64 and set(one) <= ID_CHARS for one in ids)
        assert ids[2] == "call_a"
    assert [block["id"] for block in by_whole["content"]] == [block["id"] for block in by_stream["content"]]


def test_the_id_of_an_answer_begins_as_anthropics_do() -> None:
    for said in ("chatcmpl-1", "gen-é/x", "", "y" * 300, "msg_01"):
        found = answer_writer.id_of(said)
        assert found.startswith("msg_") and set(found) <= ID_CHARS and len(found) <= 68
    assert answer_writer.id_of("msg_01") == "msg_01"
    message = Message(id="", model="", blocks=(), stop="end")
    assert json.loads(answer_writer.write(message, request_id="r-1", model="m"))["id"] == "msg_r-1"


def test_what_is_no_answer_is_refused() -> None:
    for body in (b"", b"[]", b"{}", b'{"choices":[]}', b'{"choices":[{"message":7}]}', b"[" * 100_000):
        with pytest.raises(BadAnswer):
            answer_reader.read(body)
    with pytest.raises(ProviderSaid):
        answer_reader.read(b'{"error":{"message":"no"}}')


@pytest.mark.slow
@given(JSON, st.fixed_dictionaries({}, optional=dict.fromkeys(
    ["content", "tool_calls", "function_call", "refusal", "audio", "images", "annotations", "reasoning",
     "reasoning_details", "thinking_blocks", "thinking"], JSON | st.lists(st.dictionaries(st.sampled_from(
         ["type", "text", "id", "function", "thinking", "data", "index", "at", "url_citation", "custom"]),
         JSON | st.sampled_from(["text", "thinking"])), max_size=3))))  # fmt: skip
def test_an_answer_of_any_shape_is_read(finish: Any, message: Json) -> None:
    found = whole({"choices": [{"message": message, "finish_reason": finish}], "usage": finish})
    assert found["type"] == "message"
    data = sse(chunk(message), {**chunk(finish=finish), "usage": finish})
    assert messages_faults(frames(written(Reader().feed(data)))) == []


# -- streams that break ----------------------------------------------------------------------------------


def test_what_was_said_before_an_error_is_told() -> None:
    events, reader, writer = EventReader(9_999), Reader(), EventWriter(request_id="r")
    data = sse(chunk({"role": "assistant", "content": "half"})).removesuffix(DONE)
    with pytest.raises(ErrorInStream) as raised:
        events.feed(data + b'data: {"error":{"message":"worker died"}}\n\n')
    found = frames(writer.write(reader.feed(raised.value.before)))
    assert [frame.kind for frame in found] == ["message_start", "content_block_start", "content_block_delta"]
    assert found[-1].data["delta"]["text"] == "half"


def test_a_call_that_is_cut_is_not_closed() -> None:
    events, reader, writer = EventReader(9_999), Reader(), EventWriter(request_id="r")
    data = sse(piece(0, '{"q":"ha', id="c", name="f")).removesuffix(DONE)
    kinds = [frame.kind for frame in frames(writer.write(reader.feed(events.feed(data))))]
    assert kinds == ["message_start", "content_block_start", "content_block_delta"]


def test_after_the_end_nothing_is_told() -> None:
    reader = Reader()
    data = sse(*say("a"), STOP)
    assert isinstance(reader.feed(data)[-1], Ended)
    assert reader.feed(sse(*say("b"), STOP) + b": alive\n\n") == []
    writer = EventWriter(request_id="r")
    writer.write(Reader().feed(data))
    assert writer.write([TextDelta(0, "b"), BlockStarted(1, Text("")), PING, Ended()]) == b""


# -- pings ---------------------------------------------------------------------------------------------


def test_a_ping_begins_the_answer_before_anything_is_known_of_it() -> None:
    writer = EventWriter(request_id="r-1", model="auto", input_tokens=12)
    first = writer.write([PING])
    events = Reader().feed(sse(chunk({"role": "assistant", "content": ""}), *say("done"), STOP, counted()))
    found = frames(first + writer.write([PING, *events]))
    assert [frame.kind for frame in found[:3]] == ["message_start", "ping", "ping"]
    start = found[0].data["message"]
    assert (start["id"], start["model"], start["usage"]["input_tokens"]) == ("msg_r-1", "auto", 12)
    message = gathered(first + writer.write([]) + b"".join(
        f"event: {frame.name}\ndata: {frame.text}\n\n".encode() for frame in found[2:]))  # fmt: skip
    assert content_of(message) == ["done"] and message["usage"]["input_tokens"] == 10


def test_signs_of_life_are_pings() -> None:
    assert Reader().feed(b":\n\n") == [PING]
    assert Reader().feed(b":\n\ndata: null\n\n: x\n\n") == [PING, PING]


# -- bounds --------------------------------------------------------------------------------------------


def held(writer: EventWriter, event: Event) -> None:
    for _ in range(10_000_000):
        writer.write([event])


@pytest.mark.slow
def test_what_waits_for_a_call_to_end_is_bounded() -> None:
    for waits in (ArgumentsDelta(1, "x" * 9_999), ArgumentsDelta(1, "")):
        writer = EventWriter(request_id="r")
        writer.write([BlockStarted(0, ToolCall("a", "f", "")), BlockStarted(1, ToolCall("b", "g", ""))])
        with pytest.raises(BadStream, match="wait"):
            held(writer, waits)
    for first, custom in (("free text", True), ("[", False), ('{"q":1}', False)):
        writer = EventWriter(request_id="r")
        writer.write([BlockStarted(0, ToolCall("a", "f", "", custom)), ArgumentsDelta(0, first)])
        with pytest.raises(BadStream, match="wait"):
            held(writer, ArgumentsDelta(0, "x" * 9_999))
    reader = Reader()
    with pytest.raises(BadStream):
        for _ in range(HELD_CHARS_MAX):
            reader.feed(sse(piece(0, "x" * 100_000, id="a", name="f")).removesuffix(DONE))


@pytest.mark.slow
def test_arguments_that_end_are_held_no_more() -> None:
    reader, writer = Reader(), EventWriter(request_id="r")
    value = json.dumps({"q": "x" * 1_000_000})
    for at in range(40):
        writer.write(reader.feed(sse(piece(at, value, id=f"c{at}", name="f")).removesuffix(DONE)))


def test_there_are_no_more_calls_than_may_be() -> None:
    reader = Reader()
    with pytest.raises(BadStream, match="calls"):
        for at in range(2_000):
            reader.feed(sse(piece(at, "{}", id=f"c{at}", name="f")).removesuffix(DONE))


def test_a_text_goes_on_at_once() -> None:
    reader, writer = Reader(), EventWriter(request_id="r")
    told = [writer.write(reader.feed(sse(value).removesuffix(DONE))) for value in say("a", " ", "b")]
    assert [frame.data["delta"]["text"] for frame in frames(b"".join(told[1:]))] == [" ", "b"]


def test_of_calls_in_a_row_each_goes_on_as_it_comes() -> None:
    reader, writer = Reader(), EventWriter(request_id="r")
    values = [
        piece(0, '{"a"', id="a", name="f"),
        piece(0, ":1}"),
        piece(1, '{"b"', id="b", name="g"),
        piece(1, ":2}"),
    ]
    told = [frames(writer.write(reader.feed(sse(value).removesuffix(DONE)))) for value in values]
    kinds = [[frame.kind.removeprefix("content_block_") for frame in some] for some in told]
    assert kinds == [
        ["message_start", "start", "delta"],
        ["delta"],
        ["delta", "stop", "start", "delta"],
        ["delta"],
    ]


def test_events_come_one_by_one_as_they_come_together() -> None:
    events = events_of([sse(*[value for values, _, _ in STREAMS.values() for value in values[:-1]], CALLED)])
    writer = EventWriter(request_id="r-1", model="m")
    apart = b"".join(writer.write([event]) for event in events)
    assert gathered(apart) == gathered(written(events))
    assert any(isinstance(event, Stopped) for event in events)
    assert all(before != after or isinstance(before, TextDelta) for before, after in pairwise(events))
