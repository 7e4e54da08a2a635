"""Completions of before chat: what is asked as a chat, and what is answered as a text."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Completion
from tests.unit.dialects.messages_drawn import VALUES

from farthing.dialects.completions.answer_writer import EventWriter, whole
from farthing.dialects.completions.request_reader import read
from farthing.errors import InvalidRequest
from farthing.text.lenient_json import NotJson

Json = dict[str, Any]


def asked(**body: Any) -> Json:
    return read({"model": "m", "prompt": "Once", **body})


@pytest.mark.parametrize("prompt", ["Once", ["Once"]])
def test_a_prompt_is_what_the_user_says(prompt: Any) -> None:
    body = {"model": "m", "prompt": prompt, "max_tokens": 9, "stop": ["END"], "temperature": 0, "newer": 1}
    sent = copy.deepcopy(body)
    assert read(body) == {
        "model": "m", "max_tokens": 9, "stop": ["END"], "temperature": 0, "newer": 1,
        "messages": [{"role": "user", "content": "Once"}],
    }  # fmt: skip
    assert body == sent


def test_what_asks_for_nothing_more_is_no_field_of_chat() -> None:
    plain = asked()
    assert asked(suffix=None, echo=False, best_of=1, logprobs=None, tools=None) == {**plain, "tools": None}
    assert asked(n=3, best_of=3) == {**plain, "n": 3}
    assert asked(echo=True) == plain
    assert asked(logprobs=0) == {**plain, "logprobs": True}
    assert asked(logprobs=5) == {**plain, "logprobs": True, "top_logprobs": 5}


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        ({"prompt": None}, "prompt", "must be a string"),
        ({"prompt": []}, "prompt", "must be a string"),
        ({"prompt": 7}, "prompt", "must be a string"),
        ({"prompt": ["a", "b"]}, "prompt", "has 2 prompts: send each in a request of its own"),
        ({"prompt": [1, 2, 3]}, "prompt", "must be text"),
        ({"prompt": [[1, 2], [3]]}, "prompt", "must be text"),
        ({"suffix": "end"}, "suffix", "fill no gaps"),
        ({"echo": "yes"}, "echo", "true or false"),
        ({"best_of": 3}, "best_of", "ask for `n`"),
        ({"best_of": 3, "n": 2}, "best_of", "ask for `n`"),
        ({"best_of": "3"}, "best_of", "an integer"),
        ({"logprobs": 21}, "logprobs", "from 0 to 20"),
        ({"logprobs": True}, "logprobs", "an integer"),
        ({"logprobs": 1, "echo": True}, "logprobs", "beside `echo`"),
        ({"messages": []}, "messages", "/v1/chat/completions"),
        ({"tools": []}, "tools", "/v1/chat/completions"),
    ],
)
def test_what_no_chat_model_does_is_refused_by_name(body: Json, param: str, said: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        asked(**body)
    assert refused.value.param == param and said in str(refused.value)


@given(
    st.dictionaries(st.sampled_from(["prompt", "suffix", "echo", "best_of", "n", "logprobs", "stop"]), VALUES)
)
def test_a_wrong_request_is_refused_by_name_or_read(body: Json) -> None:
    try:
        written = asked(**body)
    except InvalidRequest as error:
        assert error.param in {"prompt", *body}
    else:
        assert isinstance(written["messages"][0]["content"], str)


LOGPROBS = {
    "content": [
        {"token": "up", "logprob": -0.1, "bytes": [117], "top_logprobs": [{"token": "up", "logprob": -0.1},
                                                                         {"token": "on", "logprob": -2.5}]},
        {"token": "on", "logprob": -0.2, "bytes": None, "top_logprobs": []},
    ]
}  # fmt: skip
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def completion(*choices: Json, **more: Any) -> bytes:
    said = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m-1",
        "usage": USAGE,
        **more,
    }
    return json.dumps({**said, "choices": list(choices)}).encode()


def choice(message: Json, finish: Any = "stop", index: int = 0, **more: Any) -> Json:
    return {"index": index, "message": {"role": "assistant", **message}, "finish_reason": finish, **more}


def texts(raw: bytes) -> list[tuple[int, str, str]]:
    found = Completion.model_validate_json(raw, strict=True)
    return [(one.index, one.text, one.finish_reason) for one in found.choices]


def test_a_whole_answer() -> None:
    raw = whole(completion(choice({"content": "upon"}, "length", logprobs=LOGPROBS), system_fingerprint="f"))
    assert json.loads(raw) == {
        "id": "chatcmpl-1", "object": "text_completion", "created": 1, "model": "m-1", "usage": USAGE,
        "system_fingerprint": "f",
        "choices": [{"index": 0, "text": "upon", "finish_reason": "length", "logprobs": {
            "tokens": ["up", "on"], "token_logprobs": [-0.1, -0.2],
            "top_logprobs": [{"up": -0.1, "on": -2.5}, {}], "text_offset": [0, 2]}}],
    }  # fmt: skip
    Completion.model_validate_json(raw, strict=True)


def test_choices_refusals_parts_and_what_stood_before() -> None:
    raw = completion(
        choice({"content": [{"type": "text", "text": "a"}, {"type": "thinking", "thinking": "hm"}]}),
        choice({"content": None, "refusal": "No."}, index=1),
        choice({"content": None, "tool_calls": [{}], "reasoning_content": "hm"}, "tool_calls", index=2),
    )
    assert texts(whole(raw)) == [(0, "a", "stop"), (1, "No.", "content_filter"), (2, "", "stop")]
    assert texts(whole(raw, "Once "))[0] == (0, "Once a", "stop")


@pytest.mark.parametrize("raw", [b"", b"[]", b"<html>", b"7"])
def test_what_is_no_answer_is_none(raw: bytes) -> None:
    with pytest.raises(NotJson):
        whole(raw)


def event(delta: Json, finish: Any = None, index: int = 0, **more: Any) -> bytes:
    said = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m-1",
        "usage": None,
    }
    inner = {"index": index, "delta": delta, "finish_reason": finish, **more}
    return b"data: %b\n\n" % json.dumps({**said, "choices": [inner]}).encode()


def test_a_stream() -> None:
    last = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m-1",
        "choices": [],
    }
    events = [
        b": alive\n\n",
        event({"role": "assistant", "content": ""}),
        event({"reasoning_content": "hm"}),
        event({"content": "up"}, logprobs={"content": LOGPROBS["content"][:1]}),
        event({"content": "on"}, logprobs={"content": LOGPROBS["content"][1:]}),
        event({"content": "No", "refusal": None}, index=1),
        event({"refusal": "."}, index=1),
        event({}, "stop", index=1),
        event({}, "stop"),
        b"data: %b\n\n" % json.dumps({**last, "usage": USAGE}).encode(),
        b"data: [DONE]\n\n",
    ]
    for pieces in (events, [b"".join(events)]):
        writer = EventWriter("> ")
        written = b"".join(map(writer.write, pieces))
        assert written.startswith(b": alive\n\n") and written.endswith(b"data: [DONE]\n\n")
        chunks = [json.loads(one[6:]) for one in written.split(b"\n\n")[1:-2]]
        for one in chunks:
            assert one["object"] == "text_completion" and one["id"] == "chatcmpl-1"
        said = [(c["index"], c["text"], c["finish_reason"]) for one in chunks for c in one["choices"]]
        assert said == [
            (0, "> up", None), (0, "on", None), (1, "> No", None), (1, ".", None), (1, "", "content_filter"),
            (0, "", "stop"),
        ]  # fmt: skip
        assert [one["usage"] for one in chunks] == [None] * 6 + [USAGE]
        assert chunks[1]["choices"][0]["logprobs"]["text_offset"] == [4]


def test_probabilities_that_come_without_text_are_told_after_what_is_echoed() -> None:
    writer = EventWriter("> ")
    nothing = writer.write(event({"role": "assistant", "content": ""}, logprobs={"content": []}))
    early = writer.write(event({}, logprobs={"content": LOGPROBS["content"][:1]}))
    text = writer.write(event({"content": "up"}))
    first, second = (json.loads(one[6:])["choices"][0] for one in (early, text))
    assert nothing == b""
    assert (first["text"], first["logprobs"]["tokens"]) == ("> ", ["up"])
    assert (second["text"], second["logprobs"]) == ("up", None)
