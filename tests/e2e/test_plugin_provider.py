"""A provider whose dialect a plug-in knows, between a real gateway and a server that speaks it; and one that
does what it should not: the next target answers, and the next request is as if nothing had been."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from tests.conftest import StartGateway
from tests.e2e.gateway import Running, until
from tests.faults.provider import FaultProvider
from tests.plugged import distribution

TOY = '''
import asyncio, contextvars, json, time

seen = contextvars.ContextVar("seen", default="")

def does(body):
    """What the question asks for, at the step that it names: `do:STEP:DEED`."""
    text = body["messages"][-1]["content"]
    return text.split(":")[1:3] if text.startswith("do:") else ["", ""]

def deed(what):
    if what == "raising":
        raise KeyError("no luck")
    if what == "leaving":
        raise SystemExit(1)
    if what == "interrupting":
        raise KeyboardInterrupt
    if what == "cancelling":
        raise asyncio.CancelledError
    if what == "blocking":
        time.sleep(0.3)
    if what == "context":
        assert not seen.get(), "a context was shared"
        seen.set("mine")
        raise ValueError("set")
    return 7 if what == "wrong" else None

class Toy:
    def __init__(self, options, context):
        self.word = options["word"]
        self.now = ["", ""]

    def at(self, step):
        return deed(self.now[1]) if self.now[0] == step else None

    def unsaid(self, body):
        self.now = does(body)
        bad = self.at("unsaid")
        return bad if bad is not None else [name for name in ("logprobs", "n") if body.get(name)]

    def request(self, body, model):
        bad = self.at("request")
        if bad is not None:
            return bad
        asked = body["messages"][-1]["content"]
        if asked == "do:request:changing":
            body["messages"][-1]["content"] = "changed"
            return 7
        live = bool(body.get("stream"))
        return "/generate", {"of": model, "prompt": asked, "live": live, "word": self.word}

    def answer(self, raw):
        bad = self.at("answer")
        if bad is not None:
            return bad
        said = json.loads(raw)
        return {"id": "t", "object": "chat.completion", "created": 1, "model": said["of"],
                "choices": [{"index": 0, "message": {"role": "assistant", "content": said["reply"]},
                             "finish_reason": "stop"}],
                "usage": {"prompt_tokens": said["in"], "completion_tokens": said["out"]}}

    def stream(self):
        return None if self.at("stream") else Stream(self)

class Stream:
    def __init__(self, toy):
        self.toy = toy

    def event(self, name, data):
        bad = self.toy.at("event")
        if bad is not None:
            return [bad]
        said = json.loads(data)
        head = {"id": "t", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        if "piece" in said:
            delta = {"content": said["piece"]}
            return [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}]
        usage = {"prompt_tokens": said["in"], "completion_tokens": said["out"]}
        return [{**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
                {**head, "choices": [], "usage": usage}]
'''

CONFIG = """
[providers.toy]
kind = "plugin"
plugin = "toy"
base_url = "http://127.0.0.1:{port}/v0"
api_key = "${{TOY_KEY}}"
auth = "x-api-key"
options = {{ word = "${{TOY_WORD}}" }}
[providers.good]
base_url = "{good}"
[tiers.cheap]
targets = ["toy/m", "good/g"]
[[prices]]
target = "toy/m"
input = 1
output = 2
[cache]
exact = "off"
[call]
retry_share_max = 1.0
breaker_calls = 1000
adaptive = false
"""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    """Speaks the toy's dialect: `prompt` in, `reply` out, or pieces of it as events."""

    server: Server

    def log_message(self, format: str, *args: Any) -> None:
        return

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        reply = f"echo: {body['prompt']}"
        if body["live"] and "whole" not in reply:
            said = [*({"piece": piece} for piece in (reply[:4], reply[4:])), {"in": 5, "out": 3}]
            raw = b"".join(b"data: %b\n\n" % json.dumps(one).encode() for one in said)
        else:
            raw = json.dumps({"of": body["of"], "reply": reply, "in": 5, "out": 3}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


@contextmanager
def serving() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(
    server: Server,
    upstream: FaultProvider,
    start_gateway: StartGateway,
    tmp_path_factory: pytest.TempPathFactory,
) -> Running:
    site = distribution(
        tmp_path_factory.mktemp("site"), {"farthing.providers:toy": "Toy"}, TOY, name="toy_provider"
    )
    text = CONFIG.format(port=server.server_address[1], good=upstream.base_url)
    return start_gateway(text, PYTHONPATH=str(site), TOY_KEY="sk-toy", TOY_WORD="please")


def test_an_unmodified_client_talks_through_it(gateway: Running, server: Server) -> None:
    client = OpenAI(base_url=f"http://127.0.0.1:{gateway.port}/v1", api_key="none", max_retries=0)
    messages: Any = [{"role": "user", "content": "hello"}]
    whole = client.chat.completions.create(model="cheap", messages=messages)
    assert whole.choices[0].message.content == "echo: hello"
    path, headers, body = server.asked[-1]
    assert path == "/v0/generate" and headers["x-api-key"] == "sk-toy"
    assert body == {"of": "m", "prompt": "hello", "live": False, "word": "please"}
    stream = client.chat.completions.create(
        model="cheap", messages=messages, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said == "echo: hello" and chunks[-1].usage is not None and chunks[-1].usage.prompt_tokens == 5


def test_a_whole_answer_in_the_place_of_a_stream_is_one(gateway: Running) -> None:
    reply = gateway.chat("whole, please", model="cheap", stream=True)
    receipt = gateway.receipt_of(reply)
    assert b"echo: whole, please" in reply.body and b"[DONE]" in reply.body
    assert receipt.target == "toy/m" and receipt.cost_nusd == 5_000 + 2 * 3_000


def test_its_money_adds_up_and_no_secret_shows(gateway: Running) -> None:
    reply = gateway.chat("hello", model="cheap")
    receipt = gateway.receipt_of(reply)
    assert receipt.target == "toy/m" and receipt.cost_nusd == 5_000 + 2 * 3_000
    assert "sk-toy" not in gateway.logged() and "please" not in gateway.logged()


def test_what_it_cannot_say_goes_to_the_next_target_or_is_refused_by_name(gateway: Running) -> None:
    reply = gateway.chat("hello", model="cheap", n=2)
    receipt = gateway.receipt_of(reply)
    assert reply.status == 200 and receipt.target == "good/g" and receipt.calls == 1
    assert receipt.skipped == {"toy/m": "cannot_say"}
    refused = gateway.chat("hello", model="toy/m", n=2)
    assert (refused.status, refused.error["param"]) == (400, "n")
    assert (
        "`n`" in refused.error["message"] and "name a model of another provider" in refused.error["message"]
    )
    assert "drop" not in refused.error["message"], "without it the answer is another one"


DEEDS = ("raising", "wrong", "context", "leaving", "interrupting", "cancelling")
STEPS = {False: ("unsaid", "request", "answer"), True: ("unsaid", "request", "stream", "event")}
"""Those that a whole answer takes, and a stream."""
WRONG = [
    (step, deed, stream)
    for stream, steps in STEPS.items()
    for step in steps
    for deed in DEEDS
    if (step, deed) != ("stream", "wrong")  # that is looked at with the first event
]


@pytest.mark.parametrize(("step", "deed", "stream"), WRONG)
def test_what_it_does_wrong_costs_an_attempt(gateway: Running, step: str, deed: str, stream: bool) -> None:
    reply = gateway.chat(f"do:{step}:{deed}", model="cheap", stream=stream)
    receipt = gateway.receipt_of(reply)
    assert reply.status == 200 and receipt.target == "good/g", receipt
    if step == "unsaid":
        assert receipt.skipped == {"toy/m": "provider_unavailable"}
    else:
        assert receipt.attempts[0].target == "toy/m" and receipt.attempts[0].error
    after = gateway.receipt_of(gateway.chat("hello after", model="cheap", stream=stream))
    assert after.target == "toy/m" and after.attempts[0].error is None
    assert "a context was shared" not in gateway.logged()


def test_what_it_changes_is_its_own_copy(gateway: Running) -> None:
    reply = gateway.chat("do:request:changing", model="cheap")
    assert reply.json["choices"][0]["message"]["content"] == "echo: do:request:changing"
    assert gateway.receipt_of(reply).target == "good/g"


def test_its_failures_are_told_with_its_own_line_and_now_and_then(gateway: Running) -> None:
    for _ in range(3):
        receipt = gateway.receipt_of(gateway.chat("do:answer:raising:canary", model="cheap"))
        assert receipt.attempts[0].error
    line = 1 + TOY[: TOY.index('raise KeyError("no luck")')].count("\n")
    told = [one for one in gateway.logged().splitlines() if "plug-in toy: answer failed" in one]
    assert any(f"plug-in toy: answer failed: KeyError at toy_provider.py:{line}" in one for one in told)
    gateway.chat("do:stream:wrong", model="cheap", stream=True)
    assert "plug-in toy: stream gave None, expected an object with a method `event`" in gateway.logged()
    assert "canary" not in gateway.logged()


@pytest.mark.parametrize("step", ["unsaid", "request", "answer"])
def test_one_that_blocks_is_slow_and_answers_and_is_told_of(gateway: Running, step: str) -> None:
    until(lambda: gateway.receipt_of(gateway.chat("hello", model="cheap")).target == "toy/m")  # no cooldown
    receipt = gateway.receipt_of(gateway.chat(f"do:{step}:blocking", model="cheap"))
    assert receipt.target == "toy/m" and receipt.status == 200
    assert f"plug-in toy: {step} held the event loop" in gateway.logged()
    assert "longer than 250 ms; this time 3" in gateway.logged()


def test_a_plug_in_that_is_none_ends_the_start(start_gateway: StartGateway, tmp_path: Path) -> None:
    site = distribution(
        tmp_path / "site", {"farthing.providers:toy": "Toy"}, "def Toy(options, context):\n    return 7\n"
    )
    text = CONFIG.format(port=1, good="http://127.0.0.1:1/v1")
    with pytest.raises(RuntimeError, match="which is no provider: it has no request and no answer"):
        start_gateway(text, PYTHONPATH=str(site), TOY_KEY="sk-toy", TOY_WORD="please")
