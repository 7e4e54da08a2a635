"""The fault provider does what it is told, byte for byte: nothing else here would notice if it did not."""

import base64
import contextlib
import gzip
import http.client
import json
import os
import signal
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

import pytest
import trustme
from tests.e2e.gateway import until
from tests.faults.exact import DONE, HELLO, STOP, encoded, event, streamed, whole
from tests.faults.network import black_hole, closed_port
from tests.faults.process import spawned
from tests.faults.provider import FaultProvider, TlsFault
from tests.faults.script import ALIASES, parse
from tests.faults.truth import Call, read_truth

LIMIT_S = 5.0


@pytest.fixture
def provider() -> Iterator[FaultProvider]:
    with FaultProvider() as running:
        yield running


def request_bytes(
    model: str, text: str = "hello", path: str = "/v1/chat/completions", **fields: Any
) -> bytes:
    headers = fields.pop("headers", {"connection": "close"})
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": text}], **fields}).encode()
    lines = [f"POST {path} HTTP/1.1", "host: provider", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def dial(url: str) -> socket.socket:
    address = urlsplit(url)
    assert address.hostname and address.port
    return socket.create_connection((address.hostname, address.port), timeout=LIMIT_S)


def until_end(connection: socket.socket) -> list[bytes]:
    """Every piece as it was read, to the end of the connection."""
    return list(iter(lambda: connection.recv(1 << 20), b""))


def talk(provider: FaultProvider, model: str, text: str = "hello", **fields: Any) -> tuple[bytes, bytes]:
    """Head and body as they were on the wire, up to the FIN."""
    with dial(provider.base_url) as connection:
        connection.sendall(request_bytes(model, text, **fields))
        head, _, body = b"".join(until_end(connection)).partition(b"\r\n\r\n")
    return head, body


def ask(provider: FaultProvider, model: str, text: str = "hello", **fields: Any) -> Any:
    head, body = talk(provider, model, text, **fields)
    assert head.startswith(b"HTTP/1.1 200 "), head
    return json.loads(body)


def unchunked(body: bytes) -> bytes:
    """The content of a chunked body that ends properly, or of one that was cut between chunks."""
    content = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        content += rest[: int(size, 16)]
        body = rest[int(size, 16) + 2 :]
    return content


def events(
    provider: FaultProvider, model: str, text: str = "hello", **fields: Any
) -> tuple[list[Any], bytes]:
    """The JSON of each event, and the raw chunked body."""
    _, body = talk(provider, model, text, stream=True, **fields)
    lines = [line.removeprefix(b"data: ") for line in unchunked(body).split(b"\n") if line]
    return [json.loads(line) for line in lines if line != b"[DONE]"], body


def said(chunks: list[Any]) -> str:
    return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c.get("choices"))


# -- good answers -----------------------------------------------------------------------------------


def test_a_whole_answer_echoes_the_last_user_text_with_all_the_fields_of_the_real_thing(
    provider: FaultProvider,
) -> None:
    answer = ask(provider, "good", "what is it", brand_new_field={"a": 1})
    call = provider.wait_ended()[0]
    assert answer["choices"][0]["message"]["content"] == "echo: what is it"
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert (answer["id"], answer["model"]) == (f"chatcmpl-{call.id}", "good")
    assert answer["usage"]["prompt_tokens"] == 3
    assert answer["usage"]["completion_tokens"] == 4 == call.tokens_sent == call.completion_tokens
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == 0
    assert answer["system_fingerprint"] and answer["created"] > 1_700_000_000
    assert answer["echoed_fields"] == {"brand_new_field": {"a": 1}}
    assert call.json["brand_new_field"] == {"a": 1}


def test_a_stream_says_the_same_as_the_whole_answer_and_ends_with_done(provider: FaultProvider) -> None:
    chunks, body = events(provider, "good", "what is it")
    assert said(chunks) == "echo: what is it"
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert body.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    assert all("usage" not in chunk for chunk in chunks)
    assert provider.wait_ended()[0].tokens_sent == 4


def test_usage_comes_last_and_only_when_asked_for(provider: FaultProvider) -> None:
    chunks, _ = events(provider, "n=50", stream_options={"include_usage": True})
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["completion_tokens"] == 50
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert provider.wait_ended()[0].tokens_sent == 50


def test_answers_follow_the_request(provider: FaultProvider) -> None:
    schema = {
        "type": "object",
        "properties": {"age": {"type": "integer", "minimum": 3}, "ok": {"enum": ["y"]}},
    }
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    tools = [{"type": "function", "function": {"name": "weather", "parameters": schema}}]
    structured = ask(provider, "good", response_format=form)["choices"][0]["message"]["content"]
    assert json.loads(structured) == {"age": 3, "ok": "y"}
    called = ask(provider, "good", "the weather please", tools=tools)["choices"][0]
    assert called["finish_reason"] == "tool_calls" and called["message"]["content"] is None
    assert json.loads(called["message"]["tool_calls"][0]["function"]["arguments"]) == {"age": 3, "ok": "y"}
    assert "tool_calls" not in ask(provider, "good", "hi", tools=tools)["choices"][0]["message"]
    assert [c["index"] for c in ask(provider, "good", n=3)["choices"]] == [0, 1, 2]
    assert ask(provider, "good", logprobs=True)["choices"][0]["logprobs"]["content"][0]["token"] == "echo:"
    cut = ask(provider, "n=9", max_tokens=2)
    assert (cut["choices"][0]["finish_reason"], cut["usage"]["completion_tokens"]) == ("length", 2)
    thought = ask(provider, "say=one%2C two,reasoning=hm hm,cached=7")
    assert thought["choices"][0]["message"]["content"] == "one, two"
    assert thought["choices"][0]["message"]["reasoning_content"] == "hm hm"
    assert thought["usage"]["prompt_tokens_details"]["cached_tokens"] == 7


def test_a_streamed_tool_call_adds_up_to_valid_arguments(provider: FaultProvider) -> None:
    parameters = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "boolean"}}}
    tools = [{"type": "function", "function": {"name": "f1", "parameters": parameters}}]
    chunks, _ = events(provider, "good", tools=tools, tool_choice="required")
    parts = [
        c["choices"][0]["delta"]["tool_calls"][0] for c in chunks if "tool_calls" in c["choices"][0]["delta"]
    ]
    assert parts[0]["function"]["name"] == "f1" and len(parts) > 2
    assert json.loads("".join(p["function"]["arguments"] for p in parts)) == {"a": "text", "b": True}
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_a_script_names_the_tool_and_what_it_is_given(provider: FaultProvider) -> None:
    tools = [
        {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
        for name in ("first", "second")
    ]
    script = "fault:tool=second,arguments=%7B%22a%22%3A 1%7D"
    (call,) = ask(provider, script, "first", tools=tools)["choices"][0]["message"]["tool_calls"]
    assert call["function"] == {"name": "second", "arguments": '{"a": 1}'}
    assert ask(provider, "fault:tool=third", "first", tools=tools)["choices"][0]["finish_reason"] == "stop"


def test_a_stop_sequence_ends_the_text_where_the_script_says_so(provider: FaultProvider) -> None:
    (choice,) = ask(provider, "fault:stops", "one two three", stop=["two"])["choices"]
    assert choice["message"]["content"] == "echo: one" and choice["stop_reason"] == "two"
    chunks, _ = events(provider, "fault:stops", "one two three", stop="two")
    assert said(chunks) == "echo: one" and chunks[-1]["choices"][0]["stop_reason"] == "two"
    (choice,) = ask(provider, "good", "one two three", stop="two")["choices"]
    assert choice["message"]["content"] == "echo: one two three" and "stop_reason" not in choice


def test_embeddings_and_models(provider: FaultProvider) -> None:
    path = "/v1/embeddings"
    floats = ask(provider, "good", path=path, input=["a", "b", "a"])["data"]
    assert floats[0]["embedding"] == floats[2]["embedding"] != floats[1]["embedding"]
    packed = ask(provider, "good", path=path, input="a", encoding_format="base64")["data"][0]["embedding"]
    assert struct.unpack("<8f", base64.b64decode(packed)) == pytest.approx(floats[0]["embedding"], abs=1e-6)
    client = http.client.HTTPConnection(provider.host, provider.port, timeout=LIMIT_S)
    client.request("GET", "/v1/models")
    assert "good-cheap" in {row["id"] for row in json.load(client.getresponse())["data"]}
    client.close()


def test_requests_that_no_provider_takes_are_refused(provider: FaultProvider) -> None:
    for raw, status in (
        (b"POST /v1/chat/completions HTTP/1.0\r\ncontent-length: 1\r\n\r\n{", b"400"),
        (b"GET /v1/embeddings HTTP/1.0\r\n\r\n", b"405"),
        (b"GET /elsewhere HTTP/1.0\r\n\r\n", b"404"),
        (b"POST /v1/embeddings HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n", b"411"),
        (b"POST /v1/embeddings HTTP/1.0\r\ncontent-length: 99999999999\r\n\r\n", b"413"),
        (request_bytes("fault:U99"), b"400"),
    ):
        with dial(provider.base_url) as connection:
            connection.sendall(raw)
            assert b"".join(until_end(connection)).split(b" ")[1] == status, raw


# -- where scripts come from ------------------------------------------------------------------------


def status_of(provider: FaultProvider, model: str, **headers: str) -> int:
    return int(talk(provider, model, headers={"connection": "close", **headers})[0].split(b" ")[1])


def test_scripts_come_from_model_header_callback_and_queue_and_the_last_wins(provider: FaultProvider) -> None:
    assert status_of(provider, "fault:status=501") == 501
    assert status_of(provider, "fault:status=501", **{"x-fault": "status=502"}) == 502
    provider.on_call = lambda call: "status=503" if call.model == "special" else None
    assert [status_of(provider, m) for m in ("special", "plain")] == [503, 200]
    provider.script("status=504", "U10", "good")
    assert [status_of(provider, "special") for _ in range(4)] == [504, 500, 200, 503]
    assert [call.struck for call in provider.calls[-2:]] == [False, True]


def test_chance_is_the_same_in_every_run_and_near_its_share() -> None:
    def run() -> list[int]:
        with FaultProvider() as fresh:
            return [status_of(fresh, "fault:status=500,share=0.3,seed=7") for _ in range(100)]

    once = run()
    assert once == run()
    assert 15 <= once.count(500) <= 45
    assert once.count(200) == 100 - once.count(500)


def test_first_limits_a_fault_to_the_first_calls(provider: FaultProvider) -> None:
    assert [status_of(provider, "fault:U10,first=2") for _ in range(4)] == [500, 500, 200, 200]


def test_a_script_nobody_understands_is_refused_where_it_is_given(provider: FaultProvider) -> None:
    for wrong in ("U99", "status=many", "end=never", "say"):
        with pytest.raises(ValueError, match="fault script"):
            provider.script(wrong)
    assert all(parse(alias) != parse() for alias in ALIASES)


# -- faults -----------------------------------------------------------------------------------------


def test_u1_a_closed_port_refuses_and_u2_a_black_hole_does_not_answer() -> None:
    with closed_port() as port, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S)
    with black_hole() as port, pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", port), timeout=0.3)


def test_u3_resets_before_any_byte(provider: FaultProvider) -> None:
    with pytest.raises(ConnectionResetError):
        talk(provider, "fault:U3")
    call = provider.wait_ended()[0]
    assert (call.bytes_sent, call.status, call.aborted) == (0, None, False)


def test_u4_hangs_before_the_head_and_then_closes(provider: FaultProvider) -> None:
    begun = time.monotonic()
    assert talk(provider, "fault:U4,hold=0.3") == (b"", b"")
    assert 0.3 <= time.monotonic() - begun < LIMIT_S


def test_u5_stalls_after_k_events(provider: FaultProvider) -> None:
    with dial(provider.base_url) as connection:
        connection.sendall(request_bytes("fault:stall=2,n=9", stream=True))
        connection.settimeout(0.3)
        got = b""
        with pytest.raises(TimeoutError):
            while True:
                got += connection.recv(65536)
    assert got.count(b"data: ") == 2
    call = provider.wait_ended()[0]
    assert call.tokens_sent == 1 and call.aborted


@pytest.mark.parametrize("end", ["clean", "cut", "reset"])
def test_u6_truncates_without_done(provider: FaultProvider, end: str) -> None:
    pieces = []
    with dial(provider.base_url) as connection:
        connection.sendall(request_bytes(f"fault:truncate=3,end={end},gap=0.02,n=9", stream=True))
        reset = pytest.raises(ConnectionResetError) if end == "reset" else contextlib.nullcontext()
        with reset:
            while piece := connection.recv(65536):
                pieces.append(piece)
    body = b"".join(pieces)
    assert body.count(b"data: ") == 3 and b"[DONE]" not in body
    assert body.endswith(b"\r\n0\r\n\r\n") is (end == "clean")
    assert provider.wait_ended()[0].tokens_sent == 2


def test_u7_malformed_bodies_and_events_are_malformed(provider: FaultProvider) -> None:
    for bad in ("json", "sse", "empty", "html"):
        with pytest.raises(ValueError):
            json.loads(talk(provider, f"fault:bad={bad}")[1])
    assert json.loads(talk(provider, "fault:bad=type")[1]) == []
    for stream in (False, True):
        with pytest.raises(UnicodeDecodeError):
            talk(provider, "fault:bad=utf8", stream=stream)[1].decode()
    second = [
        unchunked(talk(provider, f"fault:bad={b}", stream=True)[1]).split(b"\n\n")[1]
        for b in ("json", "type")
    ]
    assert second[1] == b"data: []"
    with pytest.raises(ValueError):
        json.loads(second[0].removeprefix(b"data: "))
    assert b"\nthis line has no field\n\x00data:{" in unchunked(
        talk(provider, "fault:U7-sse", stream=True)[1]
    )
    assert unchunked(talk(provider, "fault:bad=empty", stream=True)[1]) == b""


def test_u7_line_ends_comments_and_long_lines(provider: FaultProvider) -> None:
    streams = {
        eol: unchunked(talk(provider, f"fault:eol={eol}", stream=True)[1]) for eol in ("crlf", "cr", "mixed")
    }
    assert streams["crlf"].count(b"\r\n\r\ndata: ") == 4 and streams["crlf"].count(b"\n") == 10
    assert b"\n" not in streams["cr"] and streams["cr"].count(b"\r") == 10
    assert b"}\n\n" in streams["mixed"] and b"}\r\n\r\n" in streams["mixed"] and b"}\r\r" in streams["mixed"]
    commented = unchunked(talk(provider, "fault:comments", stream=True)[1])
    assert commented.startswith(b": keep-alive\nevent: message\nid: 7\nretry: 1000\ndata: {")
    chunks, _ = events(provider, "fault:U7-line")
    assert said(chunks) == "x" * 10_000_000
    assert len(ask(provider, "fault:bigline=100000")["choices"][0]["message"]["content"]) == 100_000


def test_u7_splits_a_character_over_two_reads(provider: FaultProvider) -> None:
    with dial(provider.base_url) as connection:
        connection.sendall(request_bytes("fault:split=1,say=Grüße", headers={"connection": "close"}))
        pieces = until_end(connection)
    assert any(piece.endswith(b"\xc3") for piece in pieces)
    assert "Grüße" in b"".join(pieces).decode()


def test_u8_says_retry_after_in_every_way(provider: FaultProvider) -> None:
    def retry_after(script: str, name: bytes = b"retry-after") -> bytes:
        head, _ = talk(provider, f"fault:{script}")
        assert head.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
        return dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:]).get(name, b"none")

    assert [retry_after(s) for s in ("U8", "U8-year", "U8-negative", "U8-garbage", "U9")] == [
        b"2", b"31536000", b"-5", b"soon", b"none",
    ]  # fmt: skip
    assert retry_after("U8-ms", b"retry-after-ms") == b"1500"
    assert 25 < parsedate_to_datetime(retry_after("U8-date").decode()).timestamp() - time.time() <= 30


def test_u10_every_status_has_an_error_object_or_another_body(provider: FaultProvider) -> None:
    for status in (400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504, 529):
        head, body = talk(provider, f"fault:status={status},code=c")
        assert head.split(b" ")[1] == str(status).encode()
        assert json.loads(body)["error"]["code"] == "c"
    told = json.loads(talk(provider, "fault:U10,message=too long%2C by far")[1])["error"]["message"]
    assert told == "too long, by far"
    assert talk(provider, "fault:U10,body=empty")[1] == b""
    for kind in ("broken", "text", "html"):
        with pytest.raises(ValueError):
            json.loads(talk(provider, f"fault:U10,body={kind}")[1])


def test_an_error_event_ends_a_stream_in_its_middle(provider: FaultProvider) -> None:
    chunks, body = events(provider, "fault:error=2,n=9")
    assert len(chunks) == 3 and chunks[2]["error"]["type"] == "server_error"
    assert b"[DONE]" not in body and body.endswith(b"0\r\n\r\n")
    assert "error" in ask(provider, "fault:error=2")


@pytest.mark.slow
def test_u11_drips_byte_by_byte(provider: FaultProvider) -> None:
    with dial(provider.base_url) as connection:
        connection.sendall(request_bytes("fault:rate=50"))
        begun, got = time.monotonic(), b""
        while time.monotonic() - begun < 0.6:
            piece = connection.recv(65536)
            assert len(piece) <= 2 or piece.startswith(b"HTTP")
            got += piece
    assert 10 <= len(got.partition(b"\r\n\r\n")[2]) <= 31


def test_u11_drips_the_head_too_when_asked(provider: FaultProvider) -> None:
    begun = time.monotonic()
    head, _ = talk(provider, "fault:head-rate=500")
    assert 0.5 * len(head) / 500 < time.monotonic() - begun < LIMIT_S


@pytest.mark.slow
def test_u11_one_byte_a_second_is_one_byte_a_second(provider: FaultProvider) -> None:
    with dial(provider.base_url) as connection:
        connection.sendall(request_bytes("fault:U11"))
        connection.settimeout(1.3)
        arrivals: list[float] = []
        got = b""
        while len(arrivals) < 2:
            got += connection.recv(65536)
            if got.partition(b"\r\n\r\n")[2]:
                arrivals.append(time.monotonic())
    assert 0.8 < arrivals[1] - arrivals[0] < 1.3
    assert len(got.partition(b"\r\n\r\n")[2]) == 2


@pytest.mark.parametrize("stream", [False, True])
def test_u12_lies_about_the_length(provider: FaultProvider, stream: bool) -> None:
    def lengths(head: bytes) -> list[int]:
        return [int(h.split(b": ")[1]) for h in head.split(b"\r\n") if h.startswith(b"content-length")]

    for script, surplus in (("U12", [-10]), ("U12-long", [10]), ("U12-double", [0, 7])):
        head, body = talk(provider, f"fault:{script}", stream=stream)
        assert lengths(head) == [len(body) + each for each in surplus]
        assert b"chunked" not in head


def test_u13_never_ends_until_its_cap(provider: FaultProvider) -> None:
    for stream in (False, True):
        _, body = talk(provider, "fault:endless=3000000", stream=stream)
        assert 3_000_000 <= len(body) < 3_200_000 and not body.endswith(b"0\r\n\r\n")


def test_u13_huge_header_and_compressed_bodies(provider: FaultProvider) -> None:
    head, body = talk(provider, "fault:header=1000000")
    assert b"\r\nx-huge: " + b"h" * 1_000_000 in head and json.loads(body)["object"] == "chat.completion"
    head, packed = talk(provider, "fault:gzip=20000000")
    assert b"content-encoding: gzip" in head and len(packed) < 200_000
    plain = gzip.decompress(packed)
    assert len(plain) == 20_000_000 and json.loads(plain)["choices"]
    assert gzip.decompress(talk(provider, "fault:gzip", stream=True)[1]).endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("fault", get_args(TlsFault))
def test_u14_certificates_fail_as_they_are_named(fault: TlsFault) -> None:
    with FaultProvider(tls=fault) as provider:
        trusting = ssl.create_default_context(cafile=str(provider.ca_file))
        client = http.client.HTTPSConnection("127.0.0.1", provider.port, timeout=0.5, context=trusting)
        message = json.dumps({"model": "good", "messages": []})
        if fault == "good":
            for script, size in (("good", 100), ("say=" + "long " * 100_000, 499_999), ("fault:eol=cr", 100)):
                message = json.dumps({"model": script, "messages": [], "stream": "eol" in script})
                client.request("POST", "/v1/chat/completions", message)
                assert len(client.getresponse().read()) > size
        else:
            expected = TimeoutError if fault == "stalled" else ssl.SSLCertVerificationError
            named = {"wrong-host": "mismatch", "expired": "expired", "stalled": "timed out"}[fault]
            with pytest.raises(expected, match=named):
                client.request("POST", "/v1/chat/completions", message)
            assert provider.calls == ()
        client.close()


# -- truth ------------------------------------------------------------------------------------------


def test_connections_are_counted_and_reused(provider: FaultProvider) -> None:
    client = http.client.HTTPConnection(provider.host, provider.port, timeout=LIMIT_S)
    for _ in range(3):
        client.request("POST", "/v1/chat/completions", request_bytes("good").partition(b"\r\n\r\n")[2])
        client.getresponse().read()
    ask(provider, "good")
    client.close()
    assert [call.connection for call in provider.wait_ended(4)] == [1, 1, 1, 2]
    assert [call.connections for call in provider.calls] == [1, 1, 1, 2]
    assert (provider.connections_opened, provider.connections_peak) == (2, 2)


@pytest.mark.parametrize("script", ["fault:hang", "fault:stall=2", "gap=0.01,n=1000", "fault:endless"])
@pytest.mark.parametrize("reset", [False, True])
def test_a_client_that_leaves_is_seen_within_20_ms(provider: FaultProvider, script: str, reset: bool) -> None:
    late_s = []
    for attempt in range(1, 4):  # a busy machine may hold the thread up once, not three times running
        with dial(provider.base_url) as connection:
            connection.sendall(request_bytes(script, stream=True))
            time.sleep(0.1)
            if reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
            left_s = time.monotonic()
        call = provider.wait_ended(attempt)[-1]
        assert call.aborted_s is not None and not call.finished
        late_s.append(call.aborted_s - left_s)
        if late_s[-1] < 0.02:
            return
    pytest.fail(f"seen after {late_s} s")


def test_a_mistake_in_a_callback_fails_the_test_and_not_the_call() -> None:
    def mistaken(call: Call) -> str:
        raise ZeroDivisionError(call.model)

    with pytest.raises(ZeroDivisionError), FaultProvider(on_call=mistaken) as provider:
        assert talk(provider, "good") == (b"", b"")


def test_streamed_tokens_are_those_of_the_usage(provider: FaultProvider) -> None:
    tools = [
        {"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": {}, "b": {}}}}}
    ]
    asked: list[tuple[str, dict[str, Any]]] = [
        ("good", {}),
        ("n=17,reasoning=so and so", {"n": 3}),
        ("good", {"tools": tools, "tool_choice": "required", "n": 2}),
        ("n=40", {"max_completion_tokens": 11}),
        ("n=0", {}),
    ]
    for index, (model, fields) in enumerate(asked):
        chunks, _ = events(provider, model, stream_options={"include_usage": True}, **fields)
        call = provider.wait_ended(index + 1)[-1]
        assert chunks[-1]["usage"]["completion_tokens"] == call.tokens_sent == call.completion_tokens


def at_rest(provider: FaultProvider) -> bool:
    """The first call sends no more: its reader takes none."""
    before = provider.calls[0].bytes_sent
    time.sleep(0.3)
    return before > 100_000 and provider.calls[0].bytes_sent == before


def test_bytes_accepted_are_what_the_kernel_took_from_a_reader_that_stopped(provider: FaultProvider) -> None:
    with dial(provider.base_url) as connection:
        connection.sendall(request_bytes("fault:endless"))
        until(lambda: provider.calls and at_rest(provider))
        stuck = provider.calls[0]
        sent, accepted = stuck.bytes_sent, stuck.bytes_accepted
        assert accepted > 100_000 and 0 <= sent - accepted < 65_536 + 16
        connection.shutdown(socket.SHUT_WR)
        assert sum(map(len, until_end(connection))) == provider.wait_ended()[0].bytes_accepted
    assert provider.calls[0].aborted


def test_bytes_that_are_given_go_out_as_they_are(provider: FaultProvider) -> None:
    provider.exactly("odd", whole(b"\xef\xbb\xbf{}", 203, content_type=None))
    head, body = talk(provider, "odd")
    assert head.split(b"\r\n") == [b"HTTP/1.1 203 Non-Authoritative Information", b"content-length: 5"]
    assert body == b"\xef\xbb\xbf{}"
    provider.exactly("stream", streamed(*HELLO, STOP, DONE))
    _, body = talk(provider, "stream", stream=True)
    assert unchunked(body) == b"".join(event(one) for one in (*HELLO, STOP)) + DONE
    assert body.endswith(b"0\r\n\r\n")
    assert [call.status for call in provider.wait_ended(2)] == [203, 200]
    provider.exactly("turns", whole(b"1", 503), whole(b"2"))
    assert [talk(provider, "turns")[1] for _ in range(3)] == [b"1", b"2", b"2"]


@pytest.mark.parametrize("end", ["cut", "reset", "hold"])
def test_given_bytes_end_as_they_are_told(provider: FaultProvider, end: Any) -> None:
    provider.exactly("odd", streamed(*HELLO, end=end, gap_s=0.02))
    with dial(provider.base_url) as connection:
        connection.settimeout(0.4)
        connection.sendall(request_bytes("odd", stream=True))
        found = b""
        told: type[Exception] | None = None
        try:
            for piece in iter(lambda: connection.recv(1 << 20), b""):
                found += piece
        except OSError as error:
            told = type(error)
    assert unchunked(found.partition(b"\r\n\r\n")[2]) == b"".join(map(event, HELLO))
    assert told is {"cut": None, "reset": ConnectionResetError, "hold": TimeoutError}[end]


def test_given_bytes_are_the_same_in_other_pieces(provider: FaultProvider) -> None:
    reply = streamed(*HELLO, STOP, DONE)
    provider.exactly("whole", reply)
    provider.exactly("cut", reply.cut_into((1, 2, 300), 0.001))
    assert talk(provider, "cut", stream=True) == talk(provider, "whole", stream=True)
    assert len(reply.cut_into((1, 2, 300), 0.001).pieces) == 4


def test_json_is_written_as_python_writes_it() -> None:
    assert encoded({"x": float("nan")}) == b'{"x": NaN}'
    assert encoded("\ud83d") == rb'"\ud83d"' and encoded("\u00e9") == b'"\xc3\xa9"'


def test_bytes_sent_are_the_bytes_on_the_wire(provider: FaultProvider) -> None:
    head, body = talk(provider, "n=20", stream=True, headers={"connection": "close", "x-request-id": "r-1"})
    call = provider.wait_ended()[0]
    assert call.bytes_sent == call.bytes_accepted == len(head) + 4 + len(body)
    assert call.request_id == "r-1" and call.finished and not call.aborted and call.status == 200


def test_the_truth_file_of_a_process_outlives_its_death(tmp_path: Path) -> None:
    truth = tmp_path / "truth.jsonl"
    with spawned(truth) as first, spawned(truth) as second:
        for running in (first, second):
            with dial(running.base_url) as connection:
                connection.sendall(request_bytes("good"))
                answer = json.loads(b"".join(until_end(connection)).partition(b"\r\n\r\n")[2])
            assert answer["id"].removeprefix("chatcmpl-") in read_truth(truth)
        with dial(first.base_url) as connection:
            connection.sendall(request_bytes("gap=0.01,n=1000", stream=True))
            assert connection.recv(100)
            os.kill(first.process.pid, signal.SIGKILL)
            first.process.wait()
    calls = list(read_truth(truth).values())
    assert [call.end_s is None for call in calls] == [False, False, True]
    assert [call.tokens_sent for call in calls[:2]] == [2, 2] and calls[2].stream
    assert second.process.returncode == 0


def test_a_process_speaks_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    both = str(tmp_path / "both.pem")
    with spawned(tmp_path / "truth", "--tls-cert", both, "--tls-key", both) as running:
        assert running.base_url.startswith("https://")
        context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        with context.wrap_socket(dial(running.base_url), server_hostname="127.0.0.1") as connection:
            connection.sendall(request_bytes("good"))
            assert b"echo: hello" in b"".join(until_end(connection))


def test_closing_ends_every_call_thread_and_socket() -> None:
    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
    with FaultProvider(tls="good") as secure, FaultProvider() as plain:
        held = [dial(plain.base_url) for _ in range(3)]
        for connection in held:
            connection.sendall(request_bytes("fault:U4"))
        while len(plain.calls) < 3:
            time.sleep(0.005)
        assert secure.port != plain.port
    assert all(call.end_s is not None and not call.finished for call in plain.calls)
    for connection in held:
        connection.close()
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == (threads, descriptors)
