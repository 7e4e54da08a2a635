"""Which answers are given again: complete ones that say something and call nothing, whole or streamed."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import Running

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
HEAD = {"id": "chatcmpl-1", "created": 1_700_000_000, "model": "m-1"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
THINKING = {"type": "thinking", "thinking": [{"type": "text", "text": "hmm"}]}


class Canned(BaseHTTPRequestHandler):
    """Answers a chat with the messages that its text names, in the form that is asked for."""

    messages: ClassVar[dict[str, list[dict[str, Any]]]] = {}
    finishes: ClassVar[dict[str, str]] = {}
    asked: ClassVar[list[str]] = []
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        name = body["messages"][-1]["content"]
        self.asked.append(name)
        finish, messages = self.finishes.get(name, "stop"), self.messages[name]
        if body.get("stream"):
            kind, raw = "text/event-stream", events_of(messages, finish)
        else:
            choices = [
                {"index": i, "message": {"role": "assistant", **m}, "finish_reason": finish}
                for i, m in enumerate(messages)
            ]
            kind = "application/json"
            raw = json.dumps(
                {**HEAD, "object": "chat.completion", "choices": choices, "usage": USAGE}
            ).encode()
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def events_of(messages: list[dict[str, Any]], finish: str) -> bytes:
    chunks: list[dict[str, Any]] = []
    for i, message in enumerate(messages):
        calls = [{"index": n, **call} for n, call in enumerate(message.get("tool_calls") or [])]
        delta = message | ({"tool_calls": calls} if calls else {})
        chunks += [
            {"choices": [{"index": i, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]},
            {"choices": [{"index": i, "delta": delta, "finish_reason": None}]},
            {"choices": [{"index": i, "delta": {}, "finish_reason": finish}]},
        ]
    chunks.append({"choices": [], "usage": USAGE})
    lines = [json.dumps({**HEAD, "object": "chat.completion.chunk", **chunk}) for chunk in chunks]
    return "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"]).encode()


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway) -> Iterator[Running]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Canned) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield start_gateway(f"""
[providers.a]
base_url = "http://127.0.0.1:{server.server_port}/v1"
[tiers.cheap]
targets = ["a/m"]
""")
        server.shutdown()


KEPT: dict[str, list[dict[str, Any]]] = {
    "text": [{"content": "hello"}],
    "text after white space": [{"content": "\n\n hello"}],
    "text that speaks of calls": [{"content": 'I answer {"tool_calls": [1]} and "function_call"'}],
    "no calls": [{"content": "hi", "tool_calls": None}],
    "an empty list of calls": [{"content": "hi", "tool_calls": []}],
    "no function": [{"content": "hi", "function_call": None}],
    "text beside reasoning": [{"content": "hi", "reasoning_content": "long"}],
    "parts": [{"content": [THINKING, {"type": "text", "text": "yes"}]}],
    "a picture": [{"content": "", "images": [{"type": "image_url", "image_url": {"url": "data:,x"}}]}],
    "sound": [{"content": None, "audio": {"id": "a", "data": "AAAA", "transcript": "hi"}}],
    "two answers": [{"content": "one"}, {"content": "two"}],
}
LOST: dict[str, list[dict[str, Any]]] = {
    "nothing": [{"content": ""}],
    "null": [{"content": None}],
    "white space": [{"content": " \n"}],
    "reasoning alone": [{"content": None, "reasoning_content": "long"}],
    "vllm's reasoning alone": [{"content": "", "reasoning": "long"}],
    "thinking alone": [{"content": [THINKING]}],
    "a refusal": [{"content": None, "refusal": "I cannot"}],
    "a call": [{"content": None, "tool_calls": [CALL]}],
    "a call beside text": [{"content": "I look", "tool_calls": [CALL]}],
    "a function": [{"content": None, "function_call": {"name": "f", "arguments": "{}"}}],
    "a function beside text": [{"content": "I look", "function_call": {"name": "f", "arguments": "{}"}}],
    "one of two is empty": [{"content": "one"}, {"content": ""}],
}
OFFERS: list[dict[str, Any]] = [{}, {"tools": [TOOL]}, {"functions": [{"name": "f", "parameters": {}}]}]


UNOFFERED = ("a call beside text", "a function beside text")
"""Nobody calls what was not offered, and says something besides."""
CASES = [
    pytest.param(name, offer, id=f"{'+'.join(offer) or 'nothing'}-{name}")
    for name in (*KEPT, *LOST)
    for offer in OFFERS
    if offer or name not in UNOFFERED
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("name", "offer"), CASES)
def test_only_what_says_something_and_calls_nothing_is_given_again(
    gateway: Running, name: str, offer: dict[str, Any], stream: bool
) -> None:
    kept = name in KEPT
    messages = Canned.messages[name] = (KEPT if kept else LOST)[name]
    fields = {**offer, "stream": stream, "seed": int(stream), "n": len(messages)}
    first, second = (gateway.chat(name, **fields) for _ in range(2))
    assert first.status == second.status == 200, first.body
    assert second.headers["x-farthing-cache"] == ("exact" if kept else "miss")
    if kept and not stream:
        assert second.body == first.body


@pytest.mark.parametrize("finish", ["length", "content_filter", "tool_calls", "function_call"])
@pytest.mark.parametrize("stream", [False, True])
def test_what_did_not_end_by_itself_is_not_given_again(gateway: Running, finish: str, stream: bool) -> None:
    name = f"{finish} {stream}"
    Canned.messages[name], Canned.finishes[name] = [{"content": "hello"}], finish
    replies = [gateway.chat(name, stream=stream) for _ in range(2)]
    assert [reply.headers["x-farthing-cache"] for reply in replies] == ["miss", "miss"]
