"""What it costs to translate between chat completions and Messages, in microseconds of processor time:

    python -m benchmarks.dialects [--json]

A request of twenty messages is read from chat and written for Messages, a whole answer is read from Messages
and written for chat, and so is each event of a stream. The same request comes from a client of Messages too:
it is read and written in the form of the pipeline, and from there for a server of chat completions. JSON is
parsed and written beside it as the gateway does; the request's own parse, which every request has, is told
apart.
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import msgspec

from benchmarks.machine import machine
from farthing.dialects.chat import answer_writer as chat_answer
from farthing.dialects.chat import request_reader as chat_request
from farthing.dialects.chat.request_writer import inner, lowered
from farthing.dialects.chat.stream_writer import ChunkWriter
from farthing.dialects.messages import answer_reader as messages_answer
from farthing.dialects.messages import request_reader as messages_request
from farthing.dialects.messages.request_writer import translate
from farthing.dialects.messages.stream_reader import Reader

TURNS = 5  # of four messages each
EVENTS = 200
LEAST_OF = 7
ROUND_S = 0.03


def request() -> dict[str, Any]:
    """A session of an agent: system, and turns of question, call, result and answer."""
    messages: list[dict[str, Any]] = []
    for turn in range(TURNS):
        call = {"name": "look_up", "arguments": json.dumps({"q": f"word {turn}", "limit": 3})}
        messages += [
            {"role": "user", "content": f"Question {turn}: " + "what does this mean? " * 10},
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": f"call_{turn}", "type": "function", "function": call}]},
            {"role": "tool", "tool_call_id": f"call_{turn}", "content": "It means a good deal. " * 20},
            {"role": "assistant", "content": "It means: " + "this and that. " * 20},
        ]  # fmt: skip
    messages[0] = {"role": "system", "content": "You help people with words. " * 30}
    parameters = {"type": "object", "properties": {"q": {"type": "string"}, "limit": {"type": "integer"}}}
    tool = {
        "type": "function",
        "function": {"name": "look_up", "description": "Look up.", "parameters": parameters},
    }
    return {"model": "claude-haiku-4-5", "messages": messages, "tools": [tool], "max_tokens": 900}


ANSWER = {
    "id": "msg_01", "type": "message", "role": "assistant", "model": "claude-haiku-4-5-20251001",
    "content": [{"type": "text", "text": "It means this. " * 20},
                {"type": "tool_use", "id": "toolu_01", "name": "look_up", "input": {"q": "word", "n": 3}}],
    "stop_reason": "tool_use", "stop_sequence": None,
    "usage": {"input_tokens": 900, "output_tokens": 80, "cache_read_input_tokens": 4000,
              "cache_creation_input_tokens": 0, "service_tier": "standard"},
}  # fmt: skip


def stream() -> bytes:
    start: dict[str, Any] = {
        "type": "message_start",
        "message": {**ANSWER, "content": [], "stop_reason": None},
    }
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " meaning"}}
    events: list[dict[str, Any]] = [start, block, *[delta] * EVENTS]
    return b"".join(b"event: %b\ndata: %b\n\n" % (e["type"].encode(), json.dumps(e).encode()) for e in events)


def cost_us(work: Callable[[], object]) -> float:
    """The least of some rounds: the others were disturbed."""
    best = float("inf")
    for _ in range(LEAST_OF):
        times, spent = 0, 0.0
        start = time.process_time()
        while spent < ROUND_S:
            for _ in range(20):
                work()
            times += 20
            spent = time.process_time() - start
        best = min(best, spent / times)
    return best * 1e6


def figures() -> dict[str, float]:
    body = request()
    raw = json.dumps(body).encode()
    whole = json.dumps(ANSWER).encode()
    said = stream()
    first = said.index(b"event: content_block_delta")
    head, deltas = said[:first], said[first:].split(b"\n\n")[:-1]
    pieces = [delta + b"\n\n" for delta in deltas]

    def written() -> object:
        return translate(chat_request.read(body), model="claude-haiku-4-5", output_tokens_max=64_000)

    said_in_messages = translate(
        chat_request.read(body), model="claude-haiku-4-5", output_tokens_max=64_000
    ).body
    form = inner(messages_request.read(said_in_messages))

    def answered() -> object:
        return chat_answer.write(messages_answer.read(whole), request_id="chatcmpl-1", created=1_790_000_000)

    def streamed() -> object:
        reader, writer = Reader(65_536), ChunkWriter(request_id="chatcmpl-1", created=1_790_000_000)
        writer.write(reader.feed(head))
        return [writer.write(reader.feed(piece)) for piece in pieces]

    return {
        "parse_request_us": cost_us(lambda: msgspec.json.decode(raw)),
        "request_us": cost_us(written),
        "messages_read_us": cost_us(lambda: inner(messages_request.read(said_in_messages))),
        "messages_to_chat_us": cost_us(lambda: lowered(form)),
        "answer_us": cost_us(answered),
        "event_us": cost_us(streamed) / EVENTS,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = figures()
    if asked.json:
        print(json.dumps({**machine(), **{name: round(value, 2) for name, value in found.items()}}))
        return
    print(", ".join(f"{name} {value}" for name, value in machine().items()))
    for name, value in found.items():
        print(f"{name:18}{value:8.2f}")


if __name__ == "__main__":
    main()
