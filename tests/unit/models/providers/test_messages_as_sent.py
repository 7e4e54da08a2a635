"""A client of Messages before Anthropic: what it sends goes up byte for byte but for what had to change, and
what comes back goes down as it was written."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.contract.test_provider import (
    ANTHROPIC,
    COUNTS,
    EVENT_BYTES_MAX,
    KEY,
    OPENAI,
    TEXT,
    WIRES,
    message,
    sse,
)
from tests.e2e.streams import frames, messages_faults
from tests.unit.dialects.test_splice import BLANKS, NAMES, strings, values
from tests.unit.models.providers.test_anthropic_provider import made

from farthing.dialects.chat.answers.completion import assemble
from farthing.dialects.chat.requests import request_writer
from farthing.dialects.faults import BadStream, ProviderSaid
from farthing.dialects.messages.requests import request_reader
from farthing.dialects.told import Told
from farthing.errors import KeyRejected, ProviderUnavailable
from farthing.models.providers.anthropic import edits
from farthing.models.providers.anthropic.form import MESSAGES
from farthing.models.providers.anthropic.own import OwnDecoder
from farthing.models.providers.decoder import TranslatingDecoder
from farthing.protocols import ALL_SAID, StreamDecoder
from farthing.text.lenient_json import read_json
from farthing.types import Json, Prompt, Sent, Target, replace

PROVIDER = ANTHROPIC.provider
TARGET = Target(name="a/claude-haiku-4-5", provider="a", model="claude-haiku-4-5")
ODD = b"""\r\n{ "model" : "a\\/x","max_tokens":1024 , "messages":[{"role":"user","content":[
  {"type":"text","text":"caf\\u00e9 \\ud83d\\ude00","cache_control":{"type":"ephemeral"}},
  {"type":"future","id":1234567890123456789,"amount":1.10,"ratio":1e-7}]}],
  "temperature":1.0,"metadata":{"user_id":"x"},"future_field":{"b":[],"a":null} , "stream" : true}\n"""


def sent_of(raw: bytes, **fields: Any) -> Sent:
    body: Json = read_json(raw)
    form = {"model": body.get("model", ""), "messages": [{"role": "user", "content": "in our form"}]}
    return Sent(dialect="messages", raw=raw, body=body, read=form, **fields)


def asked(raw: bytes, *, stream: bool | None = None, **fields: Any) -> Prompt:
    sent = sent_of(raw, **fields)
    return Prompt(
        body=sent.read,
        input_tokens=7,
        input_tokens_bound=None,
        output_tokens_max=sent.body.get("max_tokens"),
        stream=sent.body.get("stream") is True if stream is None else stream,
        sent=sent,
    )


def up(prompt: Prompt, passed: tuple[tuple[str, str], ...] = ()) -> tuple[bytes, bytes]:
    assert PROVIDER.unsaid(prompt, TARGET, "chat").names == ()
    return PROVIDER.encode(prompt, TARGET, "chat", "req-1", passed)


USUAL = {
    "model": '"up/claude"',
    "max_tokens": "77",
    "messages": '[{"role":"user","content":"my \\"model\\":\\"up/claude\\" and \\u0022"}]',
}


# -- what goes up ----------------------------------------------------------------------------------------


def test_a_request_goes_up_as_it_was_sent_but_for_its_model() -> None:
    _, body = up(asked(ODD))
    assert body == ODD.replace(rb'"a\/x"', b'"claude-haiku-4-5"')
    same = ODD.replace(rb'"a\/x"', b'"claude-haiku-4-5"')
    assert up(asked(same))[1] is same


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A request with fields of any name and value around those that a request has, spaced in any way."""
    others = draw(
        st.dictionaries(NAMES.filter(lambda name: name not in {*USUAL, "stream"}), values(), max_size=5)
    )
    said = [*USUAL.items(), *others.items()]
    if draw(st.booleans()):
        said.append(("stream", "true"))
    members = [
        f"{draw(BLANKS)}{draw(strings(name))}{draw(BLANKS)}:{draw(BLANKS)}{value}{draw(BLANKS)}"
        for name, value in draw(st.permutations(said))
    ]
    return f"{draw(BLANKS)}{{{','.join(members)}}}{draw(BLANKS)}".encode()


@pytest.mark.slow
@given(requests())
def test_whatever_it_looks_like_no_byte_but_the_model_s_changes(raw: bytes) -> None:
    assert up(asked(raw))[1] == raw.replace(b'"up/claude"', b'"claude-haiku-4-5"', 1)
    same = raw.replace(b'"up/claude"', b'"claude-haiku-4-5"', 1)
    assert up(asked(same))[1] is same


@given(strings("up/claude"))
def test_the_model_s_name_may_be_escaped_in_any_way(name: str) -> None:
    raw = b'{"max_tokens":5,"messages":[],"model":%b}' % name.encode()
    assert up(asked(raw))[1] == b'{"max_tokens":5,"messages":[],"model":"claude-haiku-4-5"}'


def test_limits_of_the_endpoint_take_the_place_of_the_client_s() -> None:
    raw = b'{"model":"claude-haiku-4-5", "max_tokens":  9000,"x":1.0, "messages":[]}'
    capped = replace(asked(raw), output_tokens_max=100, capped_by="output_tokens_max")
    assert PROVIDER.unsaid(capped, TARGET, "chat") is ALL_SAID
    assert up(capped)[1] == raw.replace(b"9000", b"100")
    for lower in (b"0", b"100"):  # nothing is to be said, and a prefix to be cached
        same = raw.replace(b"9000", lower)
        assert up(replace(asked(same), output_tokens_max=100, capped_by="output_tokens_max"))[1] is same


@pytest.mark.parametrize(
    ("cap", "told", "gave_way"),
    [
        (20_000, {"type": "enabled", "budget_tokens": 8_000, "display": "omitted"}, ()),
        (
            5_000,
            {"type": "enabled", "budget_tokens": 4_000, "display": "omitted"},
            ("thinking.budget_tokens",),
        ),
        (900, {"type": "disabled"}, ("thinking",)),
    ],
)
def test_thinking_fits_below_a_limit_of_ours_and_what_gave_way_is_named(
    cap: int, told: Json, gave_way: tuple[str, ...]
) -> None:
    thinking = b'{"type":"enabled", "budget_tokens":8000,"display":"omitted"}'
    raw = b'{"model":"claude-haiku-4-5","max_tokens":32000,"thinking":%b,"messages":[ ]}' % thinking
    capped = replace(asked(raw), output_tokens_max=cap, capped_by="output_tokens_max")
    assert PROVIDER.unsaid(capped, TARGET, "chat").gave_way == gave_way
    body = json.loads(up(capped)[1])
    assert (body["max_tokens"], body["thinking"]) == (cap, told)
    if not gave_way:
        assert thinking in up(capped)[1]


CALLED = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
TOLD = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t"}]}
SIGNED = {"type": "thinking", "thinking": "mine", "signature": "c2ln"}
FOREIGN = {"type": "thinking", "thinking": "of another", "signature": ""}
USER = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(
    ("model", "thinking", "gave_way", "off"),
    [
        (
            "claude-haiku-4-5",
            {"type": "enabled", "budget_tokens": 1_024},
            ("messages.thinking", "thinking"),
            1,
        ),
        ("claude-opus-5", {"type": "adaptive"}, ("messages.thinking",), 0),
        ("claude-haiku-4-5", None, ("messages.thinking",), 0),
    ],
)
def test_thinking_of_another_provider_is_left_out_for_models_that_sign_theirs(
    model: str, thinking: Json | None, gave_way: tuple[str, ...], off: int
) -> None:
    """A conversation may have changed its provider; what this one has signed stays."""
    mine, other = [SIGNED, CALLED], [FOREIGN, {"type": "text", "text": "x"}, CALLED]
    turns = [mine, TOLD, [FOREIGN], USER, other, TOLD]
    messages = [
        USER,
        *({"role": "assistant", "content": one} if isinstance(one, list) else one for one in turns),
    ]
    told: Json = {"model": model, "max_tokens": 9_000, "messages": messages}
    if thinking is not None:
        told["thinking"] = thinking
    prompt = asked(json.dumps(told).encode(), unsigned=True)
    target = Target(name=f"a/{model}", provider="a", model=model)
    assert PROVIDER.unsaid(prompt, target, "chat").gave_way == gave_way
    body = json.loads(PROVIDER.encode(prompt, target, "chat", "req-1", ())[1])
    kept = [messages[0], messages[1], TOLD, USER, {"role": "assistant", "content": other[1:]}, TOLD]
    assert body["messages"] == kept
    assert body.get("thinking") == ({"type": "disabled"} if off else thinking)
    counted = PROVIDER.count_call(prompt, target, "req-1")
    assert counted is not None and json.loads(counted[1])["messages"] == kept


PAGE = {"type": "web_search_result_location", "url": "https://e.org", "title": "T", "cited_text": ""}
INDEXED, UNINDEXED = {**PAGE, "encrypted_index": "aW5k"}, {**PAGE, "encrypted_index": ""}
PASSAGE = {"type": "char_location", "cited_text": "x", "document_index": 0}


def cited(*citations: Json, **more: Any) -> Json:
    return {"type": "text", "text": "x", **({"citations": [*citations]} if citations else {}), **more}


CITED: Any = [
    USER,
    {"role": "assistant", "content": [cited(UNINDEXED, newer=1), cited(UNINDEXED, INDEXED, PASSAGE), CALLED]},
    TOLD,
]
KEPT: Any = [
    USER,
    {"role": "assistant", "content": [cited(newer=1), cited(INDEXED, PASSAGE), CALLED]},
    TOLD,
]


@pytest.mark.parametrize("is_edited", [False, True])
@pytest.mark.parametrize(
    ("model", "kept", "gave_way"),
    [("claude-haiku-4-5", KEPT, ("messages.citations",)), ("m", CITED, ())],
)
def test_pages_that_another_provider_has_found_are_not_cited_to_models_that_search_themselves(
    model: str, kept: list[Json], gave_way: tuple[str, ...], is_edited: bool
) -> None:
    told: Json = {"model": model, "max_tokens": 9_000, "messages": CITED}
    if not is_edited:
        told["thinking"] = {"type": "enabled", "budget_tokens": 1_024}
    raw = json.dumps(told).encode()
    prompt = asked(raw, unsigned=True)
    if is_edited:
        form = request_writer.inner(request_reader.read(told))
        prompt = replace(prompt, body=form)
    target = Target(name=f"a/{model}", provider="a", model=model)
    assert PROVIDER.unsaid(prompt, target, "chat").gave_way == gave_way
    body = json.loads(PROVIDER.encode(prompt, target, "chat", "req-1", ())[1])
    assert [one["content"] for one in body["messages"] if one["role"] == "assistant"] == [kept[1]["content"]]
    assert is_edited or (body["messages"], body["thinking"]) == (kept, told["thinking"])


def test_thinking_goes_back_to_models_that_sign_nothing() -> None:
    told = {
        "model": "m",
        "max_tokens": 9,
        "messages": [USER, {"role": "assistant", "content": [FOREIGN]}, USER],
    }
    raw, target = json.dumps(told).encode(), Target(name="a/m", provider="a", model="m")
    prompt = asked(raw, unsigned=True)
    assert PROVIDER.unsaid(prompt, target, "chat") is ALL_SAID
    assert PROVIDER.encode(prompt, target, "chat", "req-1", ())[1] is prompt.sent.raw  # type: ignore[union-attr]


def test_what_is_streamed_to_us_alone_asks_for_a_stream_and_the_other_way_round() -> None:
    whole = b'{"model":"claude-haiku-4-5","max_tokens":5,"messages":[ ]}'
    assert up(asked(whole, stream=True))[1] == b'{"stream":true,' + whole[1:]
    streamed = b'{"model":"claude-haiku-4-5","max_tokens":5,"messages":[ ], "stream":true }'
    assert up(asked(streamed, stream=False))[1] == streamed.replace(b"true", b"false")


def test_an_object_with_a_name_twice_goes_up_as_it_was_read() -> None:
    raw = b'{"model":"x", "max_tokens":5,"messages":[{"role":"user","role":"user","content":"a"}]}'
    body = json.loads(up(asked(raw, exact=False))[1])
    assert up(asked(raw, exact=False))[1].count(b'"role"') == 1
    assert body == {**json.loads(raw), "model": "claude-haiku-4-5"}


def test_an_edited_request_is_written_from_what_it_was_edited_into() -> None:
    prompt = asked(ODD)
    edited = replace(prompt, body={**prompt.body, "messages": [{"role": "user", "content": "edited"}]})
    body = json.loads(up(edited)[1])
    assert body["messages"][0]["content"] in ("edited", [{"type": "text", "text": "edited"}])
    assert "future_field" not in body and body["stream"] is True
    assert PROVIDER.whole({}, ANTHROPIC.whole, edited).own == ANTHROPIC.whole  # its client reads the same


# -- headers ---------------------------------------------------------------------------------------------

VERSIONED = (("anthropic-beta", "b1,b2"), ("anthropic-version", "2030-05-05"))


def test_the_version_and_the_betas_of_a_client_of_messages_are_its_own() -> None:
    head, _ = up(asked(ODD), VERSIONED)
    assert head.count(b"anthropic-version: ") == 1 and b"anthropic-version: 2030-05-05\r\n" in head
    assert b"anthropic-beta: b1,b2\r\n" in head and KEY.encode() in head
    head, _ = up(asked(ODD))
    assert head.count(b"anthropic-version: ") == 1 and b"anthropic-beta" not in head
    fixed = made(headers={"Anthropic-Version": "2031-01-01", "anthropic-beta": "ours"})
    head, _ = fixed.encode(asked(ODD), TARGET, "chat", "r", VERSIONED)
    assert head.lower().count(b"anthropic-version: ") == 1 and b"2031-01-01\r\n" in head
    assert b"anthropic-beta: ours\r\n" in head and b"b1" not in head


def test_they_stay_where_the_dialect_is_spoken() -> None:
    for stream in (False, True):
        head, _ = OPENAI.provider.encode(asked(ODD, stream=stream), TARGET, "chat", "r", VERSIONED)
        assert b"anthropic-" not in head.lower()


@pytest.mark.parametrize(("beta", "path"), [(False, b"/v1/messages"), (True, b"/v1/messages?beta=true")])
def test_a_beta_request_goes_up_by_the_path_of_beta_requests(beta: bool, path: bytes) -> None:
    prompt = asked(ODD, beta=beta)
    assert up(prompt)[0].startswith(b"POST %b HTTP/1.1\r\n" % path)
    call = PROVIDER.count_call(prompt, TARGET, "r", VERSIONED)
    assert call is not None
    counts = path.replace(b"messages", b"messages/count_tokens")
    assert call[0].startswith(b"POST %b HTTP/1.1\r\n" % counts) and b"anthropic-beta: b1,b2\r\n" in call[0]


def test_tokens_are_counted_of_what_was_sent_without_what_counting_refuses() -> None:
    call = PROVIDER.count_call(asked(ODD), TARGET, "r")
    assert call is not None
    kept = {"model": "claude-haiku-4-5"}
    told = {name: value for name, value in json.loads(ODD).items() if name in ("messages", "future_field")}
    assert json.loads(call[1]) == {**told, **kept}
    start, end = ODD.index(b'"messages"'), ODD.index(b"}]}]") + 4
    assert ODD[start:end] in call[1] and ODD[ODD.index(b'"future_field"') :].split(b" ,")[0] in call[1]


# -- whole answers ---------------------------------------------------------------------------------------

ODD_ANSWER = b""" {"id":"msg_1","type":"message","role":"assistant","model":"claude-haiku-4-5","content":
 [{"type":"text","text":"caf\\u00e9 1\\/4","citations":null,"later":1.10}],"stop_reason":"end_turn",
 "stop_sequence":null,"usage":{"input_tokens":5,"output_tokens":9,"later":12345678901234567890},
 "new":[ ]}\n"""
SEARCH: Json = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"q": "¼"}}
FOUND: Json = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [{"url": "u"}]}


def test_a_whole_answer_comes_back_as_it_was_written() -> None:
    reply = PROVIDER.whole({}, ODD_ANSWER, asked(ODD))
    assert reply.own == ODD_ANSWER and reply.text == "café 1/4" and reply.whole_in_form
    assert reply.usage is not None and (reply.usage.input_tokens, reply.usage.output_tokens) == (5, 9)
    assert PROVIDER.whole({}, ODD_ANSWER).own is None


@pytest.mark.parametrize(
    "block",
    [
        SEARCH,
        FOUND,
        {"type": "of a later day"},
        {"type": "text", "text": "x", "citations": [{"type": "char_location", "cited_text": "y"}]},
    ],
)
@pytest.mark.parametrize("own", [True, False])
def test_what_the_form_has_no_place_for_is_nobody_else_s_answer(block: Json, own: bool) -> None:
    body = json.dumps(message([{"type": "text", "text": "So:"}, block], "end_turn")).encode()
    prompt = asked(ODD) if own else None
    reply = PROVIDER.whole({}, body, prompt)
    assert reply.whole_in_form is False and reply.own == (body if own else None)
    decoder = PROVIDER.decoder(EVENT_BYTES_MAX, prompt)
    decoder.whole(body)
    assert decoder.whole_in_form is False


# -- streams ---------------------------------------------------------------------------------------------


def event(kind: str, **fields: Any) -> tuple[str, Json]:
    return kind, {"type": kind, **fields}


def delta(index: int, kind: str, **fields: Any) -> tuple[str, Json]:
    return event("content_block_delta", index=index, delta={"type": kind, **fields})


THOUGHT: Json = {"type": "thinking", "thinking": "", "signature": ""}
USE: Json = {"type": "tool_use", "id": "t", "name": "n", "input": {}}
START = event("message_start", message={**message([], ""), "stop_reason": None, "later": 1})
BLOCKS: list[tuple[str, Json]] = [
    event("content_block_start", index=0, content_block=THOUGHT),
    event("ping"),
    delta(0, "thinking_delta", thinking="A penny "),
    delta(0, "thinking_delta", thinking="is four."),
    delta(0, "signature_delta", signature="c2ln+/=="),
    event("content_block_stop", index=0),
    event("content_block_start", index=1, content_block={"type": "redacted_thinking", "data": "zz=="}),
    event("content_block_stop", index=1),
    event("content_block_start", index=2, content_block={**SEARCH, "input": {}}),
    delta(2, "input_json_delta", partial_json='{"q":'),
    delta(2, "input_json_delta", partial_json=' "\\u00bc"}'),
    event("content_block_stop", index=2),
    event("content_block_start", index=3, content_block=FOUND),
    event("content_block_stop", index=3),
    event("content_block_start", index=4, content_block={"type": "text", "text": "", "citations": []}),
    delta(4, "citations_delta", citation={"type": "web_search_result_location", "url": "u"}),
    delta(4, "text_delta", text="A quarter: ¼ 😀"),
    delta(4, "future_delta", future="part ", level=1),
    delta(4, "future_delta", future="two"),
    event("content_block_stop", index=4),
    event("weather", sky=["blue"]),
    event("content_block_start", index=5, content_block=USE),
    delta(5, "input_json_delta", partial_json='{"year":'),
    delta(5, "input_json_delta", partial_json=" 1860}"),
    event("content_block_stop", index=5),
]  # fmt: skip
END = [
    event(
        "message_delta",
        delta={"stop_reason": "tool_use", "stop_sequence": None, "container": {"id": "c"}},
        usage={"output_tokens": 90, "later": 2},
        context_management={"applied_edits": []},
    ),
    event("message_stop"),
]
EVENTS = [START, *BLOCKS, *END]
FULL = b": hello\n\n" + sse(START) + b"id: 7\nretry: 10\n\n" + sse(*BLOCKS, *END)
WHOLE = {
    **message([], "tool_use"),
    "later": 1,
    "container": {"id": "c"},
    "context_management": {"applied_edits": []},
    "usage": {**COUNTS, "output_tokens": 90, "later": 2},
    "content": [
        {"type": "thinking", "thinking": "A penny is four.", "signature": "c2ln+/=="},
        {"type": "redacted_thinking", "data": "zz=="},
        SEARCH,
        FOUND,
        {
            "type": "text",
            "text": "A quarter: ¼ 😀",
            "citations": [{"type": "web_search_result_location", "url": "u"}],
            "future": "part two",
            "level": 1,
        },
        {"type": "tool_use", "id": "t", "name": "n", "input": {"year": 1860}},
    ],
}


def own_decoder(event_bytes_max: int = EVENT_BYTES_MAX) -> StreamDecoder:
    return PROVIDER.decoder(event_bytes_max, asked(ODD))


def both(blocks: list[bytes]) -> tuple[bytes, bytes]:
    """What of `blocks` is for the pipeline, and what for the client."""
    assert all(isinstance(block, Told) for block in blocks if block)
    return b"".join(blocks), b"".join(block.own for block in blocks if isinstance(block, Told))


@pytest.mark.slow
@pytest.mark.parametrize("ends", [b"\n", b"\r\n", b"\r"])
def test_a_stream_comes_back_as_it_was_written_wherever_it_is_cut(ends: bytes) -> None:
    raw = FULL.replace(b"\n", ends)
    plain = TranslatingDecoder(MESSAGES, EVENT_BYTES_MAX, created=1)
    chunks = plain.feed(FULL)
    for cut in range(0, len(raw), 1 if ends == b"\n" else 7):
        decoder = OwnDecoder(EVENT_BYTES_MAX, created=1)
        told, own = both([decoder.feed(raw[:cut]), decoder.feed(raw[cut:]), decoder.end()])
        assert decoder.done and decoder.usage == plain.usage and decoder.chunks == plain.chunks
        assert own + (decoder.own_end(None) or b"") == FULL
        assert b"message_delta" not in own, "what ends it waits for the receipt"
        assert told == chunks


@given(st.lists(st.integers(0, len(FULL)), max_size=30))
def test_in_pieces_of_any_size(cuts: list[int]) -> None:
    decoder = own_decoder()
    places = [0, *sorted(cuts), len(FULL)]
    pieces = [decoder.feed(FULL[a:b]) for a, b in pairwise(places)]
    _, own = both(pieces)
    assert own + (decoder.own_end(None) or b"") == FULL and decoder.whole_in_form is False


def test_a_stream_of_text_has_all_of_it_in_the_form() -> None:
    decoder = own_decoder()
    told, own = both([decoder.feed(ANTHROPIC.stream)])
    assert decoder.whole_in_form and own + (decoder.own_end(None) or b"") == ANTHROPIC.stream
    assert assemble([told], None)["choices"][0]["message"]["content"].startswith("A quarter")
    assert decoder.usage == ANTHROPIC.usage


def test_what_follows_the_end_is_not_passed_on() -> None:
    decoder = own_decoder()
    _, own = both([decoder.feed(ANTHROPIC.stream + sse(event("error", error={"type": "x", "message": "y"})))])
    assert decoder.done and own + (decoder.own_end(None) or b"") == ANTHROPIC.stream


def test_a_stream_that_says_why_it_ended_and_no_more_is_closed() -> None:
    decoder = own_decoder()
    raw = ANTHROPIC.stream[: ANTHROPIC.stream.rindex(b"event: message_stop")]
    _, own = both([decoder.feed(raw), decoder.end()])
    stop = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    assert decoder.done and own + (decoder.own_end(None) or b"") == raw + stop


@pytest.mark.parametrize("missing", [1, 2])
def test_an_event_without_its_end_at_the_end_of_the_body_counts(missing: int) -> None:
    decoder = own_decoder()
    _, own = both([decoder.feed(FULL[:-missing]), decoder.end()])
    assert decoder.done and own + (decoder.own_end(None) or b"") == FULL


def test_a_part_of_an_event_that_says_nothing_is_not_passed_on() -> None:
    decoder = own_decoder()
    start = FULL.rindex(b"event: message_stop")
    _, own = both([decoder.feed(FULL[: start + 12]), decoder.end()])
    stop = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    assert decoder.done and own + (decoder.own_end(None) or b"") == FULL[:start] + stop


def test_a_stream_that_stops_half_way_is_none() -> None:
    end = FULL.index(b"event: message_delta")
    for cut in range(FULL.index(b"event: content_block_start"), end, 11):
        decoder = own_decoder()
        decoder.feed(FULL[:cut])
        assert not decoder.ended(1)
        with pytest.raises(BadStream) as caught:
            decoder.end()
        assert not isinstance(caught.value, ProviderSaid)


def test_an_error_event_goes_on_as_it_came_after_what_came_before_it() -> None:
    said = b'{"type":"error", "error":{"type":"overloaded_error","message":"Overl\\u006faded"}}'
    error = b"event: error\ndata: %b\n\n" % said
    first = FULL[: FULL.index(b"event: content_block_stop")]
    for cut in range(0, len(first), 13):
        decoder = own_decoder()
        begun = [decoder.feed(first[:cut])]
        with pytest.raises(ProviderSaid) as caught:
            decoder.feed(first[cut:] + error)
        assert caught.value.own == error
        _, own = both([*begun, caught.value.before])
        assert own == first
        assert PROVIDER.in_answer(caught.value.payload).own == said


def test_lines_of_an_error_event_that_nobody_reads_do_not_go_on() -> None:
    said = b'{"type":"error","error":{"type":"overloaded_error","message":"x"}}'
    hidden = b": %b\nid: %b\n" % (KEY.encode(), KEY.encode())
    with pytest.raises(ProviderSaid) as caught:
        own_decoder().feed(hidden + b"event: error\ndata: %b\n\n" % said)
    assert caught.value.own == b"event: error\ndata: %b\n\n" % said


def test_no_event_is_longer_than_it_may_be() -> None:
    decoder = own_decoder(1_000)
    with pytest.raises(BadStream):
        for _ in range(5):
            decoder.feed(b"data: " + b"x" * 400)


@pytest.mark.parametrize("until", [b"event: content_block_stop", b"event: weather", b"event: ping"])
def test_a_stream_that_a_limit_cuts_is_closed_in_good_order(until: bytes) -> None:
    decoder = own_decoder()
    _, own = both([decoder.feed(FULL[: FULL.index(until)])])
    events = [
        json.loads(one.split(b"data: ")[1])
        for one in (decoder.own_end("deadline_s") or b"").split(b"\n\n")[:-1]
    ]
    began = own.count(b"event: content_block_start") - own.count(b"event: content_block_stop")
    assert [one["type"] for one in events] == ["content_block_stop"] * began + [
        "message_delta",
        "message_stop",
    ]
    assert events[-2]["delta"]["stop_reason"] == "max_tokens"
    assert events[-2]["usage"]["output_tokens"] >= 1


@pytest.mark.parametrize(("told", "said", "output_tokens"), [(1, 7, 7), (40, 7, 40), (None, 7, 7)])
def test_of_a_stream_that_a_limit_cuts_the_client_is_told_the_tokens_that_came(
    told: int | None, said: int, output_tokens: int
) -> None:
    usage = {} if told is None else {"usage": {"input_tokens": 5, "output_tokens": told}}
    words = [
        (
            "content_block_delta",
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}},
        )
    ] * said
    start = {"type": "message_start", "message": {"id": "m", "model": "c", "content": [], **usage}}
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    decoder = own_decoder()
    decoder.feed(sse(("message_start", start), ("content_block_start", block), *words))
    _, delta, _ = (
        json.loads(one.split(b"data: ")[1])
        for one in (decoder.own_end("deadline_s") or b"").split(b"\n\n")[:-1]
    )
    assert delta["usage"] == {"output_tokens": output_tokens}


def test_a_stream_that_said_why_it_ended_before_a_limit_cut_it_ends_as_it_said() -> None:
    decoder = own_decoder()
    until = FULL.index(b"event: message_stop")
    _, own = both([decoder.feed(FULL[:until])])
    ending = decoder.own_end("deadline_s") or b""
    assert (own + ending).startswith(FULL[:until])
    assert ending.count(b"event: message_delta") == ending.count(b"event: message_stop") == 1
    assert b'"stop_reason":"max_tokens"' not in ending


# -- a stream for who waits for the whole, and the other way round ----------------------------------------


def test_what_was_streamed_to_us_alone_is_one_answer_with_all_that_came() -> None:
    decoder = own_decoder()
    _, own = both([decoder.feed(FULL)])
    assert json.loads(decoder.own_whole(own, None) or b"") == WHOLE


def test_an_event_may_be_told_by_its_name_alone() -> None:
    bare = [(name, {key: said for key, said in value.items() if key != "type"}) for name, value in EVENTS]
    decoder = own_decoder()
    _, own = both([decoder.feed(sse(*bare))])
    assert decoder.done and json.loads(decoder.own_whole(own, None) or b"") == WHOLE


def test_a_whole_answer_in_the_place_of_a_stream_is_told_as_one() -> None:
    body = json.dumps(WHOLE).encode()
    decoder = own_decoder()
    told, own = both([decoder.whole(body)])
    assert decoder.done and decoder.finish_reason == "tool_calls"
    assert decoder.own_whole(own, None) == body
    assert messages_faults(frames(own + (decoder.own_end(None) or b""))) == []
    again = own_decoder()
    _, same = both([again.feed(own + (decoder.own_end(None) or b""))])
    assert again.done and same == own and json.loads(again.own_whole(same, None) or b"") == WHOLE
    assert again.usage == decoder.usage is not None and b"event: message_delta" not in own
    assert b"1860" in told


COUNT = st.integers(0, 10**6) | st.none()
USAGES = st.fixed_dictionaries(
    {},
    optional={
        "input_tokens": COUNT,
        "output_tokens": COUNT,
        "cache_read_input_tokens": COUNT,
        "cache_creation_input_tokens": COUNT,
        "cache_creation": st.fixed_dictionaries(
            {"ephemeral_5m_input_tokens": COUNT, "ephemeral_1h_input_tokens": COUNT}
        ),
        "server_tool_use": st.fixed_dictionaries({"web_search_requests": COUNT}) | st.none(),
        "service_tier": st.sampled_from(["standard", "priority", "batch", "later"]),
        "inference_geo": st.sampled_from(["us", "global", "not_available"]),
        "iterations": st.lists(
            st.fixed_dictionaries({"type": st.sampled_from(["message", "compaction"]), "input_tokens": COUNT})
        ),
    },
)


@given(USAGES, USAGES)
def test_what_is_counted_is_what_the_translated_path_counts(first: Json, last: Json) -> None:
    body = json.dumps({**message([{"type": "text", "text": TEXT}], "end_turn"), "usage": last}).encode()
    assert PROVIDER.whole({}, body, asked(ODD)).usage == PROVIDER.whole({}, body).usage
    start, *middle, ending, stop = [one + b"\n\n" for one in ANTHROPIC.stream.split(b"\n\n")[:-1]]
    begun = {**message([], ""), "stop_reason": None, "usage": first}
    raw = [sse(event("message_start", message=begun)), *middle]
    raw += [sse(event("message_delta", delta={"stop_reason": "end_turn"}, usage=last)), stop]
    assert start.startswith(b"event: message_start") and b"message_delta" in ending
    own, translated = own_decoder(), PROVIDER.decoder(EVENT_BYTES_MAX)
    for piece in raw:
        own.feed(piece)
        translated.feed(piece)
        assert own.usage == translated.usage
        assert (own.chunks, own.text_chars) == (translated.chunks, translated.text_chars)
    assert own.usage_event is None or translated.usage_event is not None


# -- errors ----------------------------------------------------------------------------------------------


def failure(status: int, body: bytes, **headers: str) -> Any:
    lines = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return PROVIDER.failure(status, lines, body)


TOO_LONG = b' {"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 tokens > 8 maximum","x":1.0},"request_id":"req_1"}\n'  # noqa: E501


@pytest.mark.parametrize("status", [400, 404, 413, 429, 500, 529])
def test_an_error_keeps_its_bytes_and_its_advice(status: int) -> None:
    error = failure(status, TOO_LONG, x_should_retry="false")
    assert error.own == TOO_LONG and error.advice is False and error.upstream_status == status
    assert failure(status, TOO_LONG).advice is None


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>no</html>", b"{}", b'{"type":"error"}', b'{"error":{"message":"x","type":"y"}}',
     b'{"type":"error","error":{"type":5,"message":"x"}}', b'{"type":"error","error":"x"}',
     TOO_LONG.replace(b"prompt", KEY.encode()),
     TOO_LONG.replace(b"prompt", KEY.replace("-", r"\u002d").encode()),
     TOO_LONG.replace(b"prompt", "".join(f"\\u{ord(char):04x}" for char in KEY).encode())],
)  # fmt: skip
def test_what_is_no_error_of_messages_or_holds_our_key_is_not_shown(body: bytes) -> None:
    assert failure(529, body).own is None


def test_that_our_key_is_no_good_is_no_client_s_business() -> None:
    error = failure(401, TOO_LONG.replace(b"invalid_request_error", b"authentication_error"))
    assert isinstance(error, KeyRejected) and error.own is None


def test_other_dialects_have_no_words_of_their_own() -> None:
    error = WIRES["openai"].provider.failure(400, {}, WIRES["openai"].overloaded)
    assert error.own is None


@pytest.mark.parametrize("told", ["-5", "1e30", "999999999999", '"7"', "null"])
def test_what_can_be_no_count_of_tokens_is_none(told: str) -> None:
    assert PROVIDER.counted(b'{"input_tokens": 7}') == 7
    with pytest.raises(ProviderUnavailable):
        PROVIDER.counted(b'{"input_tokens": %b}' % told.encode())


# -- what was edited ---------------------------------------------------------------------------------------


def test_what_was_edited_goes_up_with_all_that_messages_alone_has() -> None:
    body: Json = {
        "model": "a/x",
        "max_tokens": 5_000,
        "system": [{"type": "text", "text": "S", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": [{"type": "future", "id": 1}, {"type": "text", "text": "hi"}]},
            {"role": "system", "content": [{"type": "text", "text": "mind the date"}]},
        ],
        "tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 2}],
        "thinking": {"type": "enabled", "budget_tokens": 4_000},
        "output_config": {"effort": "low"},
        "future_field": [1],
    }
    form = request_writer.inner(request_reader.read(body))
    passage = {"role": "system", "content": "a passage that was found"}
    sent = Sent(dialect="messages", raw=b"", body=body, read=form)
    edited = Prompt(
        body={**form, "messages": [passage, *form["messages"]]},
        input_tokens=7,
        input_tokens_bound=None,
        output_tokens_max=2_000,
        capped_by="endpoint",
        stream=False,
        sent=sent,
    )
    assert PROVIDER.unsaid(edited, TARGET, "chat") == ALL_SAID
    written = read_json(PROVIDER.encode(edited, TARGET, "chat", "req-1")[1])
    text = {"type": "text", "text": "a passage that was found"}
    assert written == {
        **body,
        "model": "claude-haiku-4-5",
        "system": [text, *body["system"]],
        "max_tokens": 2_000,
        "thinking": {"type": "enabled", "budget_tokens": 1_600},
    }


def test_what_is_counted_asks_for_no_thinking_that_the_call_would_not_ask_for() -> None:
    body = {
        "model": "claude-sonnet-4-5",
        "max_tokens": 8_000,
        "thinking": {"type": "enabled", "budget_tokens": 2_000},
        "context_management": {"edits": [{"type": "clear_thinking_20251015"}]},
        "messages": [
            {"role": "user", "content": "hi"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "of another provider", "signature": ""},
                    {"type": "tool_use", "id": "t", "name": "n", "input": {}},
                ],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "x"}]},
        ],
    }
    sent = Sent(dialect="messages", raw=json.dumps(body).encode(), body=body, read=body, unsigned=True)
    prompt = Prompt(
        body=body, input_tokens=1, input_tokens_bound=1, output_tokens_max=8_000, stream=False, sent=sent
    )
    changed, counted = (
        edits.changes(prompt, sent, "claude-sonnet-4-5"),
        edits.counted(sent, "claude-sonnet-4-5"),
    )
    assert counted["thinking"] == changed["thinking"] == {"type": "disabled"}
    assert counted["messages"] == changed["messages"]
    assert counted["context_management"] == changed["context_management"]
