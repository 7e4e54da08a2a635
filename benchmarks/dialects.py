"""What it costs to translate between chat completions and Messages, in microseconds of processor time:

    python -m benchmarks.dialects [--json]

A request of twenty messages is read from chat and written for Messages, a whole answer is read from Messages
and written for chat, and so is each event of a stream. Answers go the other way too, for clients of Messages
(`to_messages`) and of Responses (`to_responses`): a whole one, and events of text, of thoughts, of a call's
arguments and of the text of a custom tool. JSON is parsed and written beside it in all cases as the gateway
does; the request's own parse, which every request has, is told apart.

`messages_read_us` is the request of a client of Messages, read and written in the form that all steps read;
`messages_to_chat_us` is that form as a server of chat completions gets it. `responses_read_us` and
`responses_to_chat_us` are the same of a request of twenty items of Responses. `sent_*` is what a client of
Messages costs whose provider speaks it, and `anew_*` what it would cost if the same were translated both
ways.
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import msgspec

from benchmarks.machine import machine
from farthing.config import AnthropicProviderConfig
from farthing.dialects.chat.answers import answer_reader as own_answer
from farthing.dialects.chat.answers import answer_writer as chat_answer
from farthing.dialects.chat.requests import request_reader as chat_request
from farthing.dialects.chat.requests import request_writer as own_request
from farthing.dialects.chat.streams.stream_reader import Reader as ChunkReader
from farthing.dialects.chat.streams.stream_writer import ChunkWriter
from farthing.dialects.messages.answers import answer_reader as messages_answer
from farthing.dialects.messages.answers import answer_writer
from farthing.dialects.messages.requests import request_reader
from farthing.dialects.messages.requests.request_writer import translate
from farthing.dialects.messages.streams.stream_reader import Reader
from farthing.dialects.messages.streams.stream_writer import EventWriter
from farthing.dialects.responses.answers import answer_writer as responses_answer
from farthing.dialects.responses.answers.frame import Frame
from farthing.dialects.responses.requests import request_reader as responses_reader
from farthing.dialects.responses.streams import stream_writer as responses_stream
from farthing.dialects.told import Told
from farthing.models.providers.kinds import make
from farthing.models.transport.origin import HttpOrigin
from farthing.types import Prompt, Sent, Target, replace

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


CALL = {"name": "look_up", "arguments": '{"q":"word","n":3}'}
COMPLETION = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1_790_000_000, "model": "gpt-5-mini",
    "choices": [{"index": 0, "message": {
        "role": "assistant", "content": "It means this. " * 20, "refusal": None,
        "tool_calls": [{"id": "call_1", "type": "function", "function": CALL}],
    }, "logprobs": None, "finish_reason": "tool_calls"}],
    "usage": {"prompt_tokens": 4900, "completion_tokens": 80, "total_tokens": 4980,
              "prompt_tokens_details": {"cached_tokens": 4000, "audio_tokens": 0},
              "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0}},
}  # fmt: skip


def chunks(*deltas: dict[str, Any]) -> list[bytes]:
    shared = {
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_790_000_000,
        "model": "gpt-5-mini", "service_tier": "default", "system_fingerprint": "fp_1",
    }  # fmt: skip
    choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None} for delta in deltas]
    return [b"data: %b\n\n" % msgspec.json.encode({**shared, "choices": [choice]}) for choice in choices]


def call_piece(text: str, **more: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": 0, "function": {"arguments": text, **more.pop("function", {})}, **more}]}


def event_to_messages_us(head: list[bytes], pieces: list[bytes]) -> float:
    """One of `pieces`, after `head`."""

    def streamed() -> object:
        reader, writer = ChunkReader(), EventWriter(request_id="r-1", model="m")
        for one in head:
            writer.write(reader.feed(one))
        return [writer.write(reader.feed(piece)) for piece in pieces]

    return cost_us(streamed) / len(pieces)


def items() -> dict[str, Any]:
    """The same session as a client of Responses sends it."""
    found: list[dict[str, Any]] = []
    for turn in range(TURNS):
        call = {"type": "function_call", "id": f"fc_{turn}", "call_id": f"call_{turn}", "status": "completed"}
        said = {"type": "output_text", "text": "It means: " + "this and that. " * 20, "annotations": []}
        found += [
            {"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": f"Question {turn}: " + "what does this mean? " * 10}]},
            {**call, "name": "look_up", "arguments": json.dumps({"q": f"word {turn}", "limit": 3})},
            {"type": "function_call_output", "call_id": f"call_{turn}",
             "output": "It means a good deal. " * 20},
            {"type": "message", "id": f"msg_{turn}", "role": "assistant", "status": "completed",
             "content": [said]},
        ]  # fmt: skip
    body = request()
    function = {"type": "function", **body["tools"][0]["function"], "strict": False}
    return {
        "model": "auto", "instructions": body["messages"][0]["content"], "input": found, "store": False,
        "tools": [function], "max_output_tokens": 900, "include": ["reasoning.encrypted_content"],
    }  # fmt: skip


ASKED = {"model": "m", "input": "hi", "tools": [
    {"type": "function", "name": "look_up", "description": "Look up.", "parameters": {"type": "object"}},
    {"type": "custom", "name": "apply_patch", "description": "Edits files."},
]}  # fmt: skip


def frame() -> Frame:
    return Frame(ASKED, id="resp_1", model="m", created_s=1_790_000_000)


def event_to_responses_us(head: list[bytes], pieces: list[bytes]) -> float:
    """One of `pieces`, after `head`."""

    def streamed() -> object:
        reader, writer = ChunkReader(), responses_stream.EventWriter(frame(), ASKED)
        for one in head:
            writer.write(reader.feed(one))
        return [writer.write(reader.feed(piece)) for piece in pieces]

    return cost_us(streamed) / len(pieces)


def answer_to_responses() -> object:
    message = own_answer.read(msgspec.json.encode(COMPLETION))
    return responses_answer.write(message, frame(), ASKED, usage=message.usage, ended_s=1_790_000_001)


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


def as_sent(whole: bytes, head: bytes, pieces: list[bytes]) -> dict[str, float]:
    """A client of Messages before Anthropic, and the same without a word for what came."""
    config = AnthropicProviderConfig(base_url="https://api.example")
    provider = make("a", HttpOrigin("a", "api.example", 443, True), config, path="")
    target = Target(name="a/claude", provider="a", model="claude-haiku-4-5", output_tokens_max=64_000)
    body = translate(chat_request.read(request()), model="auto", output_tokens_max=64_000).body
    raw = json.dumps(body).encode()
    form = own_request.inner(request_reader.read(body))
    sent = Sent(dialect="messages", raw=raw, body=body, read=form)
    prompt = Prompt(
        body=form, input_tokens=7, input_tokens_bound=None, output_tokens_max=900, stream=False, sent=sent
    )
    anew = replace(prompt, sent=None)

    def asked(one: Prompt) -> object:
        return provider.unsaid(one, target, "chat"), provider.encode(one, target, "chat", "req_1")

    def answered(one: Prompt) -> object:
        reply = provider.whole({}, whole, one)
        if reply.own is not None:
            return reply.own
        return answer_writer.write(own_answer.read(reply.body), request_id="req_1", usage=reply.usage)

    def streamed(one: Prompt) -> object:
        decoder, reader, writer = provider.decoder(65_536, one), ChunkReader(), EventWriter(request_id="r")
        found = []
        for piece in (head, *pieces):
            told = decoder.feed(piece)
            found.append(told.own if isinstance(told, Told) else writer.write(reader.feed(told)))
        return found

    return {
        "sent_request_us": cost_us(lambda: asked(prompt)),
        "anew_request_us": cost_us(lambda: asked(anew)),
        "sent_answer_us": cost_us(lambda: answered(prompt)),
        "anew_answer_us": cost_us(lambda: answered(anew)),
        "sent_event_us": cost_us(lambda: streamed(prompt)) / EVENTS,
        "anew_event_us": cost_us(lambda: streamed(anew)) / EVENTS,
    }


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

    def answered() -> object:
        return chat_answer.write(messages_answer.read(whole), request_id="chatcmpl-1", created=1_790_000_000)

    def streamed() -> object:
        reader, writer = Reader(65_536), ChunkWriter(request_id="chatcmpl-1", created=1_790_000_000)
        writer.write(reader.feed(head))
        return [writer.write(reader.feed(piece)) for piece in pieces]

    def answered_to_messages() -> object:
        return answer_writer.write(own_answer.read(completion), request_id="r-1")

    completion = msgspec.json.encode(COMPLETION)
    in_messages = translate(chat_request.read(body), model="claude-haiku-4-5", output_tokens_max=64_000).body
    form = own_request.inner(request_reader.read(in_messages))
    in_items = items()
    of_items = own_request.inner(responses_reader.read(in_items))
    begun = chunks({"role": "assistant", "content": ""}, {"content": "It"})
    call = chunks({"role": "assistant", "content": None}, call_piece("", id="call_1", function={"name": "f"}))
    call += chunks(call_piece('{"q":"'))
    patch = chunks(call_piece("", id="call_1", function={"name": "apply_patch", "arguments": '{"input": "'}))
    thought = [{"reasoning_content": " meaning", "content": None}]
    return {
        "parse_request_us": cost_us(lambda: msgspec.json.decode(raw)),
        "request_us": cost_us(written),
        "messages_read_us": cost_us(lambda: own_request.inner(request_reader.read(in_messages))),
        "messages_to_chat_us": cost_us(lambda: own_request.lowered(form)),
        "responses_read_us": cost_us(lambda: own_request.inner(responses_reader.read(in_items))),
        "responses_to_chat_us": cost_us(lambda: own_request.lowered(of_items, dialect="responses")),
        "answer_us": cost_us(answered),
        "event_us": cost_us(streamed) / EVENTS,
        "answer_to_messages_us": cost_us(answered_to_messages),
        "event_to_messages_us": event_to_messages_us(begun, chunks({"content": " meaning"}) * EVENTS),
        "thought_to_messages_us": event_to_messages_us(chunks(*thought), chunks(*thought) * EVENTS),
        "arguments_to_messages_us": event_to_messages_us(call, chunks(call_piece(" word")) * EVENTS),
        "answer_to_responses_us": cost_us(answer_to_responses),
        "event_to_responses_us": event_to_responses_us(begun, chunks({"content": " meaning"}) * EVENTS),
        "arguments_to_responses_us": event_to_responses_us(call, chunks(call_piece(" word")) * EVENTS),
        "patch_to_responses_us": event_to_responses_us(patch, chunks(call_piece(" word\\n")) * EVENTS),
        **as_sent(whole, head, pieces),
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
        print(f"{name:26}{value:8.2f}")


if __name__ == "__main__":
    main()
