"""Farthing's own answers hold text as a string, in whatever parts the provider sends it."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import Running
from tests.faults.exact import (
    COUNTED,
    DONE,
    ENDING,
    STOP,
    Exact,
    chunk,
    encoded,
    say,
    streamed,
    whole,
    whole_of,
)
from tests.faults.provider import FaultProvider


class Scripted(BaseHTTPRequestHandler):
    """An upstream whose text comes in parts, as Mistral's reasoning models send it."""

    protocol_version = "HTTP/1.1"
    CONTENT = (
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "hel"},
        {"type": "text", "text": "lo"},
    )

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        choice = {"index": 0, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
        whole = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "usage": usage}
        if asked.get("stream"):
            deltas = [
                {"role": "assistant"},
                *({"content": [part]} for part in self.CONTENT),
                {"content": "!"},
            ]
            chunks = [{**whole, "usage": None, "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
            chunks += [{**whole, "choices": [{**choice, "delta": {}}]}]
            events = [b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks]
            body, kind = b"".join(events) + b"data: [DONE]\n\n", "text/event-stream"
        else:
            message = {"role": "assistant", "content": list(self.CONTENT)}
            body = json.dumps({**whole, "choices": [{**choice, "message": message}]}).encode()
            kind = "application/json"
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def in_parts(start_gateway: StartGateway) -> Iterator[Running]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Scripted)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield start_gateway(f"""
[providers.up]
base_url = "http://127.0.0.1:{server.server_port}/v1"
[tiers.cheap]
targets = ["up/x"]
[cache]
exact = "off"
""")
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("path", ["/llm-inference", "/v1/ask"])
def test_text_is_a_string(in_parts: Running, path: str) -> None:
    asked = {"prompt": "x"} if path == "/llm-inference" else {"text": "x"}
    reply = in_parts.post(path, asked)
    assert reply.status == 200 and reply.json["text"] == "hello"
    assert reply.json["usage"]["completion_tokens"] == 2


@pytest.mark.parametrize("path", ["/llm-inference", "/v1/ask"])
def test_the_texts_of_a_stream_are_strings(in_parts: Running, path: str) -> None:
    asked = (
        {"prompt": "x", "stream": True}
        if path == "/llm-inference"
        else {"text": "x", "metadata": {"flags": ["stream"]}}
    )
    events = in_parts.post(path, asked).events
    assert [event["text"] for event in events if "text" in event] == ["hel", "lo", "!"]
    assert events[-2]["done"] and events[-2]["finish_reason"] == "stop" and events[-1] == "[DONE]"


NAN = float("nan")
ODD: dict[str, tuple[Exact, str]] = {
    "index null": (
        streamed(*(chunk(one["choices"][0]["delta"], index=None) for one in say("hel", "lo")), STOP, DONE),
        "hello",
    ),
    "NaN": (streamed(*({**one, "x": NAN} for one in say("hel", "lo")), *ENDING), "hello"),
    "a usage of NaN": (streamed(*say("hel", "lo"), STOP, {**COUNTED, "usage": {"x": NAN}}, DONE), "hello"),
    "an emoji in two chunks": (streamed(*say("\ud83d", "\ude00"), *ENDING), "\ud83d\ude00"),
    "half an emoji": (streamed(*say("hel\ud83d", "lo"), *ENDING), "hel\ud83dlo"),
    "whole, NaN": (whole(whole_of(x=NAN)), "hello"),
    "whole, half an emoji": (whole(whole_of("hel\ud83dlo")), "hel\ufffdlo"),
    "whole, a byte order mark": (whole(b"\xef\xbb\xbf" + encoded(whole_of())), "hello"),
}


TIERS = {name: f"odd-{number}" for number, name in enumerate(ODD)}


@pytest.fixture(scope="module")
def oddly(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    for name, (reply, _) in ODD.items():
        upstream.exactly(TIERS[name], reply)
    tiers = [f'[tiers.{tier}]\ntargets = ["up/{tier}"]\n' for tier in TIERS.values()]
    return start_gateway(
        f'[providers.up]\nbase_url = "{upstream.base_url}"\n{"".join(tiers)}[cache]\nexact = "off"\n'
    )


@pytest.mark.parametrize("name", ODD)
def test_no_text_is_lost_for_how_a_provider_writes(oddly: Running, name: str) -> None:
    stream = not name.startswith("whole")
    asked = {"prompt": "x", "model_tier": TIERS[name], "stream": stream}
    reply = oddly.post("/llm-inference", asked)
    assert reply.status == 200, reply.body
    if stream:
        events = reply.events
        assert "".join(event["text"] for event in events if "text" in event) == ODD[name][1]
        assert events[-2]["done"] and events[-2]["finish_reason"] == "stop" and events[-1] == "[DONE]"
    else:
        assert reply.json["text"] == ODD[name][1] and reply.json["finish_reason"] == "stop"
