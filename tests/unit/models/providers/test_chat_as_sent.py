"""A client of chat completions before a provider that speaks them: every value goes up as it was sent, in the
order in which it was sent, and what comes back goes down byte for byte."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.contract.test_provider import CHAT_USAGE, EVENT_BYTES_MAX, OPENAI, sse
from tests.unit.dialects.test_splice import read
from tests.unit.models.providers.test_messages_as_sent import requests

from farthing.edge.http.body import read_object
from farthing.types import Prompt, Target

TARGET = Target(name="o/gpt", provider="o", model="gpt")
ODD = b""" {"id":"c1","object":"chat.completion","created":1,"model":"m",
 "choices":[{"index":0,"message":{"role": "assistant","content":"caf\\u00e9 1\\/4","later":1.10},
 "finish_reason":"stop","logprobs":null}], "new":[ ],
 "usage":{"prompt_tokens":5,"completion_tokens":9,"total_tokens":14,"later":12345678901234567890}}\n"""


def in_order(raw: bytes) -> Any:
    """All of it, objects as lists of pairs; a number as Python writes it, so that 1 and 1.0 are two."""
    return json.loads(raw, object_pairs_hook=list, parse_int=repr_int, parse_float=repr_float)


def repr_int(text: str) -> str:
    return repr(int(text))


def repr_float(text: str) -> str:
    return repr(float(text))


@pytest.mark.slow
@given(requests())
def test_every_value_goes_up_as_it_was_sent_in_its_order(raw: bytes) -> None:
    try:
        read(raw)
    except AssertionError:  # it has a name twice, and is refused at the door
        return
    body = read_object(raw, depth_max=64, nodes_max=10_000)
    prompt = Prompt(body=body, input_tokens=1, input_tokens_bound=None, output_tokens_max=None, stream=False)
    _, sent = OPENAI.provider.encode(prompt, TARGET, "chat", "req-1")
    wanted = in_order(raw)
    wanted[[name for name, _ in wanted].index("model")] = ("model", "gpt")
    assert in_order(sent) == wanted


def test_a_whole_answer_comes_back_as_it_was_written() -> None:
    reply = OPENAI.provider.whole({}, ODD)
    assert reply.body == ODD and reply.own is None and reply.whole_in_form


SHARED = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "later": 1.10}
SAID = b"".join(
    sse(("", {**SHARED, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})).replace(
        b": ", b":  "
    )
    for delta, finish in [
        ({"role": "assistant", "content": ""}, None),
        ({"content": "caf\u00e9 \U0001f600", "future": [{}]}, None),
        ({"tool_calls": [{"index": 0, "id": "t", "function": {"name": "n", "arguments": "{}"}}]}, None),
        ({}, "tool_calls"),
    ]
)
COUNTED = sse(("", {**SHARED, "choices": [], "usage": CHAT_USAGE}))


@given(st.lists(st.integers(0, len(SAID) + len(COUNTED)), max_size=20))
def test_a_stream_comes_back_as_it_was_written_but_for_what_waits_for_the_receipt(cuts: list[int]) -> None:
    raw = SAID + COUNTED + b"data: [DONE]\n\n"
    decoder = OPENAI.provider.decoder(EVENT_BYTES_MAX)
    places = [0, *sorted(cuts), len(raw)]
    told = b"".join(decoder.feed(raw[a:b]) for a, b in pairwise(places))
    assert told == SAID and decoder.done and decoder.whole_in_form
    assert decoder.usage_event is not None and b"data: %b\n\n" % decoder.usage_event == COUNTED
