"""Small truths of the wire: which headers count, what an error still tells, when the cache is not asked."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import LIMIT_S, Running, until
from tests.faults.provider import FaultProvider

from farthing.config import key_digest

ACME = {"authorization": "Bearer sk-acme"}


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    return start_gateway(f"""
[[keys]]
tenant = "acme"
digest = "{key_digest("sk-acme")}"
[endpoints.watched.cache]
exact = "observe"
[endpoints.once]
calls_max = 1
[providers.a]
base_url = "{upstream.base_url}"
pass_through = true
[tiers.cheap]
targets = ["a/good-cheap"]
[tiers.slow]
targets = ["a/fault:delay=0.3"]
[tiers.broken]
targets = ["a/fault:status=500"]
[[prices]]
target = "a/good-cheap"
input = 1
output = 2
""")


# -- headers that count ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Authorization", "content-type", "X-API-Key", "api-key"])
def test_a_header_that_decides_is_refused_when_it_comes_twice(
    gateway: Running, upstream: FaultProvider, name: str
) -> None:
    calls = len(upstream.calls)
    value = "application/json" if name == "content-type" else "Bearer sk-acme"
    lines = [f"{name}: {value}", f"{name.lower()}: {value}"][: 1 if name == "content-type" else 2]
    body = json.dumps({"model": "cheap", "messages": [{"role": "user", "content": "twice"}]}).encode()
    with gateway.dial() as client:
        client.sendall(gateway.wire("/v1/chat/completions", body, *lines))
        said = client.recv(65_536)
    assert said.startswith(b"HTTP/1.1 400 ") and b"there twice" in said and name.lower().encode() in said
    assert len(upstream.calls) == calls


def test_other_headers_may_come_twice(gateway: Running) -> None:
    body = json.dumps({"model": "cheap", "messages": [{"role": "user", "content": "twice"}]}).encode()
    with gateway.dial() as client:
        client.sendall(
            gateway.wire("/v1/chat/completions", body, "Authorization: Bearer sk-acme", "x-a: 1", "x-a: 2")
        )
        assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")


# -- what an error still tells -----------------------------------------------------------------------------


def test_an_error_tells_what_was_decided_before_it(gateway: Running) -> None:
    reply = gateway.chat("fails", headers=ACME, model="broken")
    assert reply.status == 500
    told = {name: reply.headers.get(f"x-farthing-{name}") for name in ("tier", "model", "cache")}
    assert told == {"tier": "broken", "model": "", "cache": "miss"}
    assert reply.headers["x-farthing-reason"] == gateway.receipt_of(reply).route_reason != ""
    session = {**ACME, "x-farthing-session": "s"}
    assert gateway.chat("first", headers=session, model="farthing/once").status == 200
    over = gateway.chat("second", headers=session, model="farthing/once")
    assert over.status == 429 and over.headers["x-farthing-tier"] == "cheap"


def test_an_error_before_anything_was_decided_claims_nothing(gateway: Running) -> None:
    for reply in (gateway.chat("x", headers=ACME, model="farthing/nope"), gateway.chat("x")):
        assert reply.status in (401, 404)
        assert not [name for name in reply.headers if name.startswith("x-farthing")]
        assert "x-request-id" in reply.headers


def test_the_first_status_of_an_attempt_is_kept(gateway: Running) -> None:
    broken = gateway.chat("odd", headers=ACME, model="a/fault:bad=html")
    assert broken.status == 502
    attempt = gateway.receipt_of(broken).attempts[0]
    assert (attempt.error, attempt.status) == ("provider_unavailable", 200)


def test_a_reply_that_goes_on_after_its_end_is_said_in_words(gateway: Running) -> None:
    reply = gateway.chat("long", headers=ACME, model="a/fault:length=short")
    assert reply.status == 502
    assert "went on after its declared length" in reply.error["message"]
    assert "callback" not in reply.error["message"]


# -- when the cache is not asked -----------------------------------------------------------------------------


def test_no_cache_gets_a_fresh_answer_which_replaces_the_stored_one(
    gateway: Running, upstream: FaultProvider
) -> None:
    def ask(**headers: str) -> tuple[str, str]:
        given = {**ACME, **{name.replace("_", "-"): value for name, value in headers.items()}}
        reply = gateway.chat("fresh", headers=given)
        assert gateway.receipt_of(reply).cache == reply.headers["x-farthing-cache"]
        return reply.headers["x-farthing-cache"], reply.json["id"]

    first = ask()
    assert first[0] == "miss" and ask() == ("exact", first[1])
    fresh = ask(cache_control="No-Cache")
    assert fresh[0] == "miss" and fresh[1] != first[1]
    assert ask() == ("exact", fresh[1]), "it took the place of the first"
    private = ask(cache_control="max-age=0, no-store, no-cache")
    assert private[0] == "off" and private[1] not in (first[1], fresh[1])
    assert ask() == ("exact", fresh[1]), "it was not kept"
    assert ask(cache_control="max-age=60") == ("exact", fresh[1])


@pytest.mark.parametrize("said", ["no-cache", "no-store"])
def test_who_wants_a_fresh_answer_shares_no_call(
    gateway: Running, upstream: FaultProvider, said: str
) -> None:
    calls = len(upstream.calls)
    text = f"alone {said}"
    asking = gateway.dial()
    raw = gateway.chat_bytes(text, model="slow")
    asking.sendall(raw.replace(b"\r\ncontent-type", b"\r\nauthorization: Bearer sk-acme\r\ncontent-type", 1))
    until(lambda: len(upstream.calls) > calls)
    reply = gateway.chat(text, headers={**ACME, "cache-control": said}, model="slow")
    assert reply.status == 200 and len(upstream.calls) - calls == 2
    asking.close()


def test_an_embedding_is_fresh_when_asked_for(gateway: Running, upstream: FaultProvider) -> None:
    body = {"model": "a/text-embedding-3-small", "input": "fresh"}
    kinds = [
        gateway.post("/v1/embeddings", body, {**ACME, **more}).headers["x-farthing-cache"]
        for more in ({}, {"cache-control": "no-cache"}, {"cache-control": "no-store"}, {})
    ]
    assert kinds == ["miss", "miss", "off", "exact"]


CUT_LAST = [("stop", 0), ("length", 1)]
CUT_FIRST = [("length", 1), ("stop", 0)]
ALL_STOPPED = [("stop", 1), ("stop", 0)]


class TwoChoices(BaseHTTPRequestHandler):
    """A provider whose two choices end as the test says."""

    ends: ClassVar[list[tuple[str, int]]] = []
    calls: ClassVar[int] = 0

    def do_POST(self) -> None:
        TwoChoices.calls += 1
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        usage = {"prompt_tokens": 1, "completion_tokens": 2}
        if asked.get("stream"):
            chunks: list[Any] = [
                {"choices": [{"index": index, "delta": {"content": "x"}, "finish_reason": reason}]}
                for reason, index in self.ends
            ]
            events = [*map(json.dumps, [*chunks, {"choices": [], "usage": usage}]), "[DONE]"]
            body, kind = "".join(f"data: {event}\n\n" for event in events).encode(), "text/event-stream"
        else:
            choices = [
                {"index": index, "message": {"content": "x"}, "finish_reason": reason}
                for reason, index in sorted(self.ends, key=lambda end: end[1])
            ]
            body, kind = json.dumps({"choices": choices, "usage": usage}).encode(), "application/json"
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return None


@pytest.fixture(scope="module")
def of_two(start_gateway: StartGateway) -> Iterator[Running]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), TwoChoices)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/v1"
    yield start_gateway(f'[providers.a]\nbase_url = "{url}"\n[tiers.cheap]\ntargets = ["a/two"]\n')
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("ends", "kept"), [(CUT_LAST, False), (CUT_FIRST, False), (ALL_STOPPED, True)])
def test_an_answer_of_which_one_choice_was_cut_is_not_kept(
    of_two: Running, ends: list[tuple[str, int]], kept: bool, stream: bool
) -> None:
    TwoChoices.ends = ends
    calls = TwoChoices.calls
    for _ in range(2):
        assert of_two.chat(f"{ends} {stream}", n=2, seed=1, stream=stream).status == 200
    assert TwoChoices.calls - calls == (1 if kept else 2)


def test_a_stream_that_lacks_a_choice_is_not_kept(of_two: Running) -> None:
    TwoChoices.ends = [("stop", 0)]
    calls = TwoChoices.calls
    for _ in range(2):
        assert of_two.chat("lacking", n=2, stream=True).status == 200
    assert TwoChoices.calls - calls == 2


# -- large bodies ------------------------------------------------------------------------------------------


def test_a_large_body_is_answered_as_a_small_one_and_its_faults_are_told(gateway: Running) -> None:
    big = "word " * 500_000
    reply = gateway.chat(big, headers=ACME, model="cheap", timeout_s=3 * LIMIT_S)
    assert reply.status == 200 and reply.json["choices"][0]["message"]["content"].startswith("echo: word")
    faulty = gateway.post("/v1/chat/completions", b'{"a": 1, "a": "' + big.encode() + b'"}', ACME)
    assert faulty.status == 400 and "twice" in faulty.error["message"]
    assert gateway.receipt_of(faulty).status == 400
    assert gateway.post("/v1/chat/completions", b'{"a": "' + big.encode() + b'"}').status == 401


def test_who_leaves_while_a_large_body_is_parsed_leaves_one_receipt(gateway: Running) -> None:
    body = json.dumps({"model": "cheap", "messages": [{"role": "user", "content": "a\n" * 2_000_000}]})
    for number in range(4):
        before = len(gateway.receipts())
        client = gateway.dial()
        client.sendall(gateway.wire("/v1/chat/completions", body.encode(), "authorization: Bearer sk-acme"))
        time.sleep(0.01 * number)
        client.close()
        assert gateway.next_receipt(before).status in (200, 499)
        assert len(gateway.receipts()) == before + 1
