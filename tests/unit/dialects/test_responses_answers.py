"""Answers as clients of Responses get them, whole and streamed: their shapes, their order, what they say."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.e2e.responses_grammar import last_of, response_of, responses_faults, valid
from tests.e2e.streams import frames
from tests.faults.exact import HELLO, ROLE, STOP, chunk, counted, say, whole_of
from tests.sampled import at_length
from tests.unit.dialects.answered import events_of, piece, sse

from farthing.dialects.chat.answers import answer_reader
from farthing.dialects.chat.answers.completion import explode
from farthing.dialects.conversation import (
    BlockStarted,
    BlockStopped,
    CitationDelta,
    Counted,
    Ended,
    Event,
    Message,
    Reasoning,
    Refusal,
    Started,
    Stopped,
    Text,
    TextDelta,
    ToolCall,
)
from farthing.dialects.events import BadStream
from farthing.dialects.responses import envelopes
from farthing.dialects.responses.answers import answer_writer
from farthing.dialects.responses.answers.frame import Frame
from farthing.dialects.responses.streams import stream_writer
from farthing.dialects.responses.streams.stream_writer import EventWriter
from farthing.dialects.responses.streams.summary_writer import SummaryWriter
from farthing.types import Usage

Json = dict[str, Any]

FUNCTION = {"type": "function", "name": "look_up", "parameters": {"type": "object"}, "strict": False}
PATCH = {"type": "custom", "name": "apply_patch", "description": "Edits."}
DOCS = {"type": "namespace", "name": "mcp__docs", "description": "Docs", "tools": [FUNCTION]}
ASKED: Json = {"model": "m", "input": "hi", "tools": [FUNCTION, PATCH, DOCS]}
LENGTH = chunk(finish="length")
CALLS = chunk(finish="tool_calls")
PAGE = {"type": "web_search_result_location", "url": "https://x.example", "title": "X", "cited_text": ""}


def frame(asked: Json = ASKED) -> Frame:
    return Frame(asked, id="resp_1", model="m", created_s=7)


def written(events: list[Event], asked: Json = ASKED) -> bytes:
    return EventWriter(frame(asked), asked).write(events, ended_s=9)


def streamed(*values: Any, asked: Json = ASKED) -> Json:
    """The response at the end of the stream of these chunks, whose order is right; the official client makes
    the same of it."""
    stream = written(events_of([sse(*values)]), asked)
    found = last_of(stream)
    if found["status"] == "completed":
        read = response_of(stream)
        assert [one["type"] for one in read["output"]] == [one["type"] for one in found["output"]]
    return found


def whole(value: Any, asked: Json = ASKED) -> Json:
    return told(answer_reader.read(json.dumps(value).encode()), asked)


def told(message: Message, asked: Json = ASKED) -> Json:
    return valid(answer_writer.write(message, frame(asked), asked, usage=message.usage, ended_s=9))


def both(message: Any, finish: str = "stop", asked: Json = ASKED) -> Json:
    """The response for a completion, which is the same whole and streamed."""
    completion = whole_of({"role": "assistant", **message}, finish)
    events = explode(json.dumps(completion).encode(), include_usage=True)
    found = last_of(written(events_of([events + b"data: [DONE]\n\n"]), asked))
    assert found == whole(completion, asked)
    return found


# -- shapes ------------------------------------------------------------------------------------------


def test_a_response_has_all_that_its_request_said() -> None:
    asked = {
        "model": "auto", "input": "hi", "instructions": "Be brief.", "temperature": 0.5, "top_p": 0.9,
        "max_output_tokens": 64, "parallel_tool_calls": False, "tool_choice": {"type": "function",
        "name": "look_up"}, "tools": [FUNCTION], "text": {"format": {"type": "json_object"}},
        "reasoning": {"effort": "low"}, "truncation": "auto", "metadata": {"a": "b"}, "user": "u",
        "previous_response_id": "resp_0", "service_tier": "flex", "prompt_cache_key": "k",
        "safety_identifier": "s", "top_logprobs": 2, "max_tool_calls": 3,
    }  # fmt: skip
    found = whole(whole_of(), asked)
    same = set(asked) - {"model", "input", "reasoning", "service_tier"}
    assert {name: found[name] for name in same} == {name: asked[name] for name in same}
    assert found["reasoning"] == {"effort": "low", "summary": None}
    assert (found["model"], found["service_tier"], found["store"]) == ("m-1", "default", False)
    assert (found["status"], found["created_at"], found["completed_at"]) == ("completed", 7, 9)
    assert (found["error"], found["incomplete_details"], found["background"]) == (None, None, False)
    assert streamed(*HELLO, STOP, counted(), asked=asked) == found


def test_what_a_request_did_not_say_has_the_defaults_of_openai() -> None:
    found = whole(whole_of(), {"model": "m", "input": "hi"})
    assert found["text"] == {"format": {"type": "text"}}
    assert (found["tools"], found["tool_choice"], found["parallel_tool_calls"]) == ([], "auto", True)
    assert (found["temperature"], found["top_p"], found["truncation"]) == (1.0, 1.0, "disabled")
    assert (found["instructions"], found["metadata"], found["user"]) == (None, {}, None)


def test_a_text_is_one_message() -> None:
    found = both({"content": "It is cold."})
    (item,) = found["output"]
    part = {"type": "output_text", "text": "It is cold.", "annotations": [], "logprobs": []}
    assert item == {
        "id": "msg_1_0",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [part],
    }
    assert found["usage"] == {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 15,
    }


def test_usage_has_the_prefix_cache_in_its_input() -> None:
    usage = Usage(
        input_tokens=900,
        output_tokens=50,
        cached_tokens=800,
        reasoning_tokens=7,
        cache_write_5m_tokens=60,
        cache_write_30m_tokens=30,
        fees={"web_search": 2},
    )
    found = told(Message(id="", model="m", blocks=(), stop="end", usage=usage))
    assert found["usage"]["input_tokens_details"] == {
        "cached_tokens": 800,
        "cache_write_tokens": 90,
        "cache_write_tokens_details": {"ttl_30m_tokens": 30, "ttl_12h_tokens": 0},
    }
    assert (found["usage"]["total_tokens"], found["usage"]["output_tokens_details"]) == (
        950,
        {"reasoning_tokens": 7},
    )
    assert found["tool_usage"]["web_search"] == {"num_requests": 2}
    assert told(Message(id="", model="m", blocks=(), stop="end"))["usage"] is None


@pytest.mark.parametrize(
    ("tier", "said"), [("", "default"), ("flex", "flex"), ("priority", "priority"), ("batch", "default")]
)
def test_the_service_tier_is_the_one_that_ran(tier: str, said: str) -> None:
    message = Message(id="", model="m", blocks=(), stop="end", usage=Usage(tier=tier))
    assert told(message)["service_tier"] == said


# -- calls -------------------------------------------------------------------------------------------


def call(name: str, arguments: str, call_id: str = "call_a") -> Json:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_calls_have_the_names_of_the_client_and_ids_of_their_own() -> None:
    calls = [
        call("look_up", '{"q": 1}', "same"),
        call("mcp__docs__look_up", "", "same"),
        call("apply_patch", '{"input": "*** Begin\\n\\u00e4"}', "x" * 90),
    ]
    found = both({"content": None, "tool_calls": calls}, "tool_calls")
    first, second, third = found["output"]
    assert (first["type"], first["name"], first["arguments"]) == ("function_call", "look_up", '{"q": 1}')
    assert (first["call_id"], second["call_id"]) == ("same", "same_2")
    assert (second["name"], second["namespace"], second["arguments"]) == ("look_up", "mcp__docs", "{}")
    assert (third["type"], third["name"], third["input"]) == (
        "custom_tool_call",
        "apply_patch",
        "*** Begin\nä",
    )
    assert len(third["call_id"]) <= 64
    assert [one["id"] for one in found["output"]] == ["fc_1_0", "fc_1_1", "ctc_1_2"]


def test_calls_whose_pieces_alternate_go_on_as_they_come() -> None:
    stream = written(
        events_of(
            [
                sse(
                    ROLE,
                    piece(0, "", id="a", name="look_up"),
                    piece(1, "", id="b", name="look_up"),
                    piece(0, '{"q":'),
                    piece(1, '{"q"'),
                    piece(0, " 1}"),
                    piece(1, ":2}"),
                    CALLS,
                )
            ]
        )
    )
    found = last_of(stream)
    assert [one["arguments"] for one in found["output"]] == ['{"q": 1}', '{"q":2}']
    deltas = [one.data for one in frames(stream) if one.kind == "response.function_call_arguments.delta"]
    assert [one["output_index"] for one in deltas] == [0, 1, 0, 1]
    assert [one["arguments"] for one in response_of(stream)["output"]] == ['{"q": 1}', '{"q":2}']


def test_an_empty_object_before_the_arguments_is_left_out() -> None:
    found = streamed(ROLE, piece(0, "{}", id="a", name="look_up"), piece(0, '{"q":'), piece(0, "1}"), CALLS)
    assert found["output"][0]["arguments"] == '{"q":1}'
    assert (
        both({"tool_calls": [call("look_up", '{} {"q":1}')]}, "tool_calls")["output"][0]["arguments"]
        == '{"q":1}'
    )


def test_a_text_before_calls_is_done_when_they_begin() -> None:
    stream = written(events_of([sse(*say("Looking."), piece(0, "{}", id="a", name="look_up"), CALLS)]))
    kinds = [one.kind for one in frames(stream)]
    assert kinds.index("response.output_item.done") < kinds.index("response.function_call_arguments.done")
    assert [one["type"] for one in last_of(stream)["output"]] == ["message", "function_call"]


# -- thoughts ----------------------------------------------------------------------------------------


def test_a_thought_travels_in_its_encrypted_content() -> None:
    found = both({"content": "So.", "reasoning_content": "Hm."})
    thought, said = found["output"]
    assert thought["summary"] == [{"type": "summary_text", "text": "Hm."}]
    held = envelopes.reasoning_of(thought["encrypted_content"])
    assert held is not None and held.text == "Hm."
    assert said["content"][0]["text"] == "So."


def test_signed_thoughts_keep_apart_and_their_signatures() -> None:
    blocks = [
        {"type": "thinking", "thinking": "First.", "signature": "c2lnQQ=="},
        {"type": "redacted_thinking", "data": "secret"},
        {"type": "thinking", "thinking": "Second.", "signature": "c2lnQg=="},
    ]
    found = both({"content": "So.", "thinking_blocks": blocks})
    held = [envelopes.reasoning_of(one["encrypted_content"]) for one in found["output"][:3]]
    assert held == [
        Reasoning("First.", "c2lnQQ==", "", "messages"),
        Reasoning("", "", "secret", "messages"),
        Reasoning("Second.", "c2lnQg==", "", "messages"),
    ]


# -- texts, sources, refusals --------------------------------------------------------------------------


def test_texts_in_a_row_are_one_part_with_their_sources_in_place() -> None:
    blocks = (Text("Ah: "), Text("cold", None, ({"type": "page_location"}, PAGE)), Text(".", None, (PAGE,)))
    answer = Message(id="", model="m", blocks=blocks, stop="end")
    (item,) = told(answer)["output"]
    (part,) = item["content"]
    assert part["text"] == "Ah: cold."
    assert [(one["start_index"], one["end_index"]) for one in part["annotations"]] == [(4, 8), (8, 9)]
    assert part["annotations"][0]["url"] == "https://x.example"
    events: list[Event] = [Started("", "m")]
    for at, block in enumerate(blocks):
        events += [BlockStarted(at, Text("")), TextDelta(at, block.text)]
        events += [CitationDelta(at, one) for one in block.citations] + [BlockStopped(at)]
    assert last_of(written([*events, Stopped("end"), Ended()]))["output"] == [item]


def test_a_refusal_of_the_model_is_a_part_of_its_own() -> None:
    found = both({"content": None, "refusal": "I cannot."})
    assert found["status"] == "completed"
    assert found["output"][0]["content"] == [{"type": "refusal", "refusal": "I cannot."}]
    found = both({"content": "Well. ", "refusal": "I cannot."})
    assert [part["type"] for part in found["output"][0]["content"]] == ["output_text", "refusal"]


@pytest.mark.parametrize(
    ("stop", "why", "reason"),
    [
        ("end", "", None),
        ("stop_sequence", "", None),
        ("length", "", "max_output_tokens"),
        ("context", "", "max_output_tokens"),
        ("unknown", "", "max_output_tokens"),
        ("filter", "", "content_filter"),
        ("refusal", "", "content_filter"),
        ("refusal", "Not this.", "content_filter"),
    ],
)
def test_why_it_ended_decides_whether_it_is_whole(stop: Any, why: str, reason: str | None) -> None:
    answer = Message(id="", model="m", blocks=(Text("Cold and"),), stop=stop, refused_why=why)
    events: list[Event] = [
        Started("", "m"),
        BlockStarted(0, Text("Cold and")),
        BlockStopped(0),
        Stopped(stop, refused_why=why),
        Ended(),
    ]
    found = last_of(written(events))
    assert found == told(answer)
    assert found["status"] == ("incomplete" if reason else "completed")
    assert found["incomplete_details"] == ({"reason": reason} if reason else None)
    (item,) = found["output"]
    assert item["status"] == found["status"]
    refused = [part["refusal"] for part in item["content"] if part["type"] == "refusal"]
    assert refused == ([why] if why else [])


def test_a_call_that_was_cut_says_so() -> None:
    calls = [call("look_up", '{"q": 1}', "a"), call("look_up", '{"q": ', "b")]
    found = both({"content": None, "tool_calls": calls}, "length")
    assert [one["status"] for one in found["output"]] == ["completed", "incomplete"]


# -- the stream --------------------------------------------------------------------------------------


MIXED = (
    ROLE,
    chunk({"reasoning_content": "H\u00e4"}),
    chunk({"reasoning_content": "m."}),
    *say("Co", "ld \U0001f976", "!"),
    piece(0, '{"q":', id="a", name="look_up"),
    piece(0, '"\u00e4"}'),
    piece(1, '{"input": "*** B', id="b", name="apply_patch"),
    piece(1, 'egin\\n\\ud83d\\ude00 \\"x\\""}'),
    CALLS,
    counted(),
)


def test_the_events_of_a_stream_come_in_order() -> None:
    stream = written(events_of([sse(ROLE, *say("Co", "ld"), STOP, counted())]))
    assert responses_faults(frames(stream)) == []
    assert [one.kind for one in frames(stream)] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]


@pytest.mark.slow
@at_length("step", sample=7, full=1)
def test_a_stream_may_be_cut_at_every_byte(step: int) -> None:
    data = sse(*MIXED)
    expected = last_of(written(events_of([data])))
    assert [one.get("input") for one in expected["output"]][-1] == '*** Begin\n\U0001f600 "x"'
    for cut in range(0, len(data), step):
        assert last_of(written(events_of([data[:cut], data[cut:]]))) == expected


def test_a_stream_that_breaks_ends_in_a_response_that_failed() -> None:
    events = events_of([sse(*MIXED)])
    for stop in range(len(events)):
        writer = EventWriter(frame(), ASKED)
        sent = writer.write(events[:stop])
        if b"response.completed" in sent:
            continue
        found = last_of(sent + writer.fail("server_error", "It broke."))
        assert found["error"] == {"code": "server_error", "message": "It broke."}
        assert found["status"] == "failed"
        said = [one.data["delta"] for one in frames(sent) if one.kind == "response.output_text.delta"]
        parts = [part["text"] for item in found["output"] for part in item.get("content", ())]
        assert "".join(parts) == "".join(said)


def test_who_waits_is_told_the_beginning_and_then_that_it_goes_on() -> None:
    writer = EventWriter(frame(), ASKED)
    sent = writer.alive() + writer.alive()
    sent += writer.write(events_of([sse(*HELLO, STOP)]))
    assert [one.kind for one in frames(sent)][:4] == [
        "response.created",
        "response.in_progress",
        "response.in_progress",
        "response.output_item.added",
    ]
    assert last_of(sent)["model"] == "m-1"
    assert response_of(sent)["output"][0]["content"][0]["text"] == "hello"


def test_an_answer_that_says_nothing_is_complete_and_empty() -> None:
    assert streamed(ROLE, STOP, counted())["output"] == []


def test_what_is_held_of_an_answer_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_writer, "CHARS_MAX", 10)
    with pytest.raises(BadStream, match="more than 10"):
        written([BlockStarted(0, Text("")), *[TextDelta(0, "abcd")] * 3])
    monkeypatch.setattr(stream_writer, "ITEMS_MAX", 2)
    with pytest.raises(BadStream, match="more than 2"):
        written([BlockStarted(at, ToolCall(f"c{at}", "look_up", "")) for at in range(3)])


# -- compaction --------------------------------------------------------------------------------------


def test_a_compaction_is_one_item_with_the_summary() -> None:
    events = events_of(
        [sse(ROLE, chunk({"reasoning_content": "Hm."}), *say("All ", "so far."), STOP, counted())]
    )
    stream = SummaryWriter(frame()).write(events, ended_s=9)
    found = last_of(stream)
    (item,) = found["output"]
    assert item["type"] == "compaction"
    assert envelopes.summary_of(item["encrypted_content"]) == "All so far."
    assert response_of(stream)["output"][0]["type"] == "compaction"
    answer = answer_reader.read(json.dumps(whole_of("All so far.")).encode())
    body = answer_writer.write(answer, frame(), ASKED, usage=answer.usage, ended_s=9, compacts=True)
    assert valid(body) == found


# -- drawn -------------------------------------------------------------------------------------------

TEXTS = st.sampled_from(["", " ", "Cold.", "\u00e4\U0001f600", '{"a": 1}', "{", '"'])
PIECES = st.sampled_from(["", "{", '{"input": "', "a\\n", "\\u00", 'e4"', "}", "{}", "x", " "])
BLOCKS = st.one_of(
    st.builds(Text, TEXTS, st.none(), st.sampled_from([(), (PAGE,)])),
    st.builds(Refusal, TEXTS),
    st.builds(Reasoning, TEXTS, st.sampled_from(["", "sig"]), st.just(""), st.just("messages")),
    st.builds(
        ToolCall,
        st.sampled_from(["", "a", "b"]),
        st.sampled_from(["look_up", "apply_patch", "odd"]),
        st.lists(PIECES, max_size=5).map("".join),
        st.booleans(),
    ),
)
STOPS = st.sampled_from(["end", "tool_calls", "length", "filter", "refusal", "unknown", "pause"])


@given(st.lists(BLOCKS, max_size=6), STOPS)
def test_an_answer_says_the_same_whole_and_streamed(blocks: list[Any], stop: Any) -> None:
    usage = Usage(input_tokens=3, output_tokens=2)
    answer = Message(id="i", model="m-1", blocks=tuple(blocks), stop=stop, usage=usage)
    events: list[Event] = [Started("i", "m-1")]
    for at, block in enumerate(blocks):
        events += [BlockStarted(at, block), BlockStopped(at)]
    stream = written([*events, Stopped(stop), Counted(usage), Ended()])
    pair = last_of(stream), told(answer)
    for response in pair:  # a stream has told of earlier calls before it is known that the answer was cut
        for item in response["output"][:-1]:
            item.pop("status", None)
    assert pair[0] == pair[1]
