"""Whatever is sent, the answer is a 4xx that names the field and the fix, and the gateway goes on."""

import gzip
import json
import socket
import time
from typing import Any

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import LIMIT_S, Reply, Running, until
from tests.faults.provider import FaultProvider
from tests.pace import BUSY_S

from farthing.config import key_digest
from farthing.edge.http.connection import HEADERS_MAX, PIPELINED_MAX

KEY = {"authorization": "Bearer sk-good"}
USER = [{"role": "user", "content": "hello"}]
CHAT = "/v1/chat/completions"
HEADER_S = 0.5


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    return start_gateway(f"""
[server]
header_s = {HEADER_S}
body_s = 0.6
idle_s = 1.5
body_bytes_max = 2_000_000
nodes_max = 100_000
depth_max = 64
[[keys]]
tenant = "acme"
digest = "{key_digest("sk-good")}"
[[keys]]
tenant = "bound"
digest = "{key_digest("sk-bound")}"
endpoint = "faq"
[endpoints.faq]
[endpoints.other]
[providers.a]
base_url = "{upstream.base_url}"
pass_through = true
[tiers.cheap]
targets = ["a/good-cheap"]
[cache]
exact = "off"
""")


def refused(gateway: Running, reply: Reply, status: int, *words: str, param: str | None = None) -> None:
    """`reply` is a refusal in OpenAI's form that names what is wrong, and the gateway is alive after it."""
    assert reply.status == status, (reply.status, reply.body[:500])
    error = reply.error
    assert set(error) == {"message", "type", "param", "code"}, error
    assert error["message"] and error["type"] and error["code"]
    assert error["param"] == param, error
    for word in words:
        assert word in error["message"], error
    assert gateway.chat("still there?", headers=KEY).status == 200


def with_field(**fields: Any) -> dict[str, Any]:
    return {"model": "auto", "messages": USER, **fields}


def deep(levels: int) -> bytes:
    return (
        b'{"model":"auto","messages":[{"role":"user","content":"x"}],"x":'
        + b"[" * levels
        + b"]" * levels
        + b"}"
    )


BAD_JSON: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty"),
    "not JSON": (b"hello", "JSON"),
    "cut off": (b'{"model":"auto","messages":[{"role":"us', "JSON"),
    "two values": (b'{"model":"auto"}{}', "JSON"),
    "an array": (b"[]", "object"),
    "a number": (b"12", "object"),
    "null": (b"null", "object"),
    "not UTF-8": (b'{"model":"auto","messages":[{"role":"user","content":"\xff\xfe"}]}', "UTF-8"),
    "UTF-16": ('{"model":"auto"}'.encode("utf-16"), "UTF-8"),
    "half of a character in UTF-8": (b'{"model":"auto","x":"\xed\xa0\xbd"}', "surrogate"),
    "NaN": (b'{"model":"auto","messages":[{"role":"user","content":"x"}],"temperature":NaN}', "JSON"),
    "Infinity": (
        b'{"model":"auto","messages":[{"role":"user","content":"x"}],"temperature":-Infinity}',
        "JSON",
    ),
    "a number too large": (
        b'{"model":"auto","messages":[{"role":"user","content":"x"}],"top_p":1e400}',
        "range",
    ),
    "a lone surrogate": (rb'{"model":"auto","messages":[{"role":"user","content":"\ud800"}]}', "surrogate"),
    "a high surrogate before another text": (rb'{"model":"auto","x":"\ud83d","y":"z"}', "surrogate"),
    "a low surrogate alone": (rb'{"model":"auto","x":"\udc00"}', "surrogate"),
    "a control character": (b'{"model":"auto","messages":[{"role":"user","content":"a\x00b"}]}', "JSON"),
    "65 levels": (deep(65), "64 levels"),
    "1,000 levels": (deep(1_000), "64 levels"),
    "90,000 levels": (deep(90_000), "64 levels"),
    "200,000 levels": (deep(200_000), "100000 values"),
    "120,000 lists": (
        b'{"model":"auto","messages":[{"role":"user","content":"x"}],"x":[' + b"[]," * 119_999 + b"[]]}",
        "100000 values",
    ),
    "600,000 numbers": (b'{"model":"auto","x":[' + b"0," * 599_999 + b"0]}", "100000 values"),
    "a key twice": (
        b'{"model":"auto","model":"cheap","messages":[{"role":"user","content":"x"}]}',
        "`model`",
    ),
    "a key twice further in": (
        b'{"model":"auto","messages":[{"role":"system","role":"user","content":"x"}]}',
        "`role`",
    ),
    "an unknown key twice": (
        b'{"model":"auto","messages":[{"role":"user","content":"x"}],"x":{"y":1,"z":2,"y":3}}',
        "`y`",
    ),
}


@pytest.mark.parametrize("what", BAD_JSON)
def test_a_body_that_is_no_proper_json_object(gateway: Running, upstream: FaultProvider, what: str) -> None:
    body, word = BAD_JSON[what]
    calls, rows = len(upstream.calls), len(gateway.receipts())
    reply = gateway.post(CHAT, body, KEY)
    row = gateway.receipts()[rows:]
    refused(gateway, reply, 400, word, param=word.strip("`") if "`" in word else None)
    assert [(r.tenant, r.status, r.stop_reason, r.calls) for r in row] == [("acme", 400, "error", 0)]
    assert row[0].request_id == reply.headers["x-request-id"]
    assert len(upstream.calls) == calls + 1, "only the question whether it is alive was passed on"


WRONG_FIELDS: dict[str, tuple[Any, int, str]] = {
    "model missing": ({"messages": USER}, 400, "model"),
    "model empty": ({"model": "", "messages": USER}, 400, "model"),
    "model a number": ({"model": 5, "messages": USER}, 400, "model"),
    "model null": ({"model": None, "messages": USER}, 400, "model"),
    "endpoint unknown": ({"model": "farthing/nope", "messages": USER}, 404, "model"),
    "messages missing": ({"model": "auto"}, 400, "messages"),
    "messages empty": (with_field(messages=[]), 400, "messages"),
    "messages a string": (with_field(messages="hi"), 400, "messages"),
    "message a string": (with_field(messages=["hi"]), 400, "messages[0]"),
    "role missing": (with_field(messages=[{"content": "x"}]), 400, "messages[0].role"),
    "role a number": (with_field(messages=[{"role": 1, "content": "x"}]), 400, "messages[0].role"),
    "content a number": (with_field(messages=[{"role": "user", "content": 5}]), 400, "messages[0].content"),
    "content an object": (with_field(messages=[{"role": "user", "content": {}}]), 400, "messages[0].content"),
    "tool_calls an object": (
        with_field(messages=[{"role": "user", "tool_calls": {}}]),
        400,
        "messages[0].tool_calls",
    ),
    "stream a string": (with_field(stream="yes"), 400, "stream"),
    "stream_options a list": (with_field(stream_options=[]), 400, "stream_options"),
    "include_usage a number": (
        with_field(stream_options={"include_usage": 1}),
        400,
        "stream_options.include_usage",
    ),
    "max_tokens a word": (with_field(max_tokens="many"), 400, "max_tokens"),
    "max_tokens true": (with_field(max_tokens=True), 400, "max_tokens"),
    "n a word": (with_field(n="two"), 400, "n"),
    "temperature a word": (with_field(temperature="hot"), 400, "temperature"),
    "tools an object": (with_field(tools={}), 400, "tools"),
    "tool a word": (with_field(tools=["x"]), 400, "tools[0]"),
}


@pytest.mark.parametrize("what", WRONG_FIELDS)
def test_a_field_of_the_wrong_kind_is_named(gateway: Running, upstream: FaultProvider, what: str) -> None:
    body, status, param = WRONG_FIELDS[what]
    rows = len(gateway.receipts())
    reply = gateway.post(CHAT, body, KEY)
    row = gateway.receipts()[rows:]
    word = "endpoint" if status == 404 else param.rpartition(".")[2].removesuffix("[0]")
    refused(gateway, reply, status, word, param=param)
    assert [(r.tenant, r.status) for r in row] == [("acme", status)]


OTHER_ROUTES: list[tuple[str, Any, int, str | None]] = [
    ("/v1/embeddings", {"model": "a/e"}, 400, "input"),
    ("/v1/embeddings", {"model": "", "input": "x"}, 400, "model"),
    ("/v1/embeddings", {"model": "a/e", "input": {"x": 1}}, 400, "input"),
    ("/llm-inference", {}, 400, "prompt"),
    ("/llm-inference", {"prompt": ""}, 400, "prompt"),
    ("/llm-inference", {"prompt": 5}, 400, "prompt"),
    ("/llm-inference", {"prompt": "x", "model_tier": "golden"}, 404, "model_tier"),
    ("/llm-inference", {"prompt": "x", "max_tokens": 0}, 400, "max_tokens"),
    ("/llm-inference", {"prompt": "x", "temperature": "hot"}, 400, "temperature"),
    ("/llm-inference", {"prompt": "x", "promt": "y"}, 400, "promt"),
    ("/v1/ask", {}, 400, "text"),
    ("/v1/ask", {"text": "x", "user_id": 3}, 400, "user_id"),
    ("/v1/ask", {"text": "x", "metadata": {"tenant": "other"}}, 403, "metadata.tenant"),
    ("/v1/ask", {"text": "x", "metadata": {"flags": ["sing"]}}, 400, "metadata.flags"),
    (
        "/v1/ask",
        {"text": "x", "metadata": {"flags": {"context_tokens": -1}}},
        400,
        "metadata.flags.context_tokens",
    ),
    ("/v1/ask", {"text": "x", "metadata": {"endpoint": "nope"}}, 404, "metadata.endpoint"),
    ("/v1/ask", {"text": "x", "metadata": {"session": "s" * 1_000_000}}, 400, "metadata.session"),
    ("/v1/ask", {"text": "x", "task_type": "t" * 1_000_000}, 400, "task_type"),
]


@pytest.mark.parametrize(("path", "body", "status", "param"), OTHER_ROUTES)
def test_the_other_routes_name_their_fields_too(
    gateway: Running, path: str, body: Any, status: int, param: str | None
) -> None:
    rows = len(gateway.receipts())
    reply = gateway.post(path, body, KEY)
    row = gateway.receipts()[rows:]
    refused(gateway, reply, status, param=param)
    assert [r.status for r in row] == [status]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer sk-wrong"},
        {"authorization": "Bearer "},
        {"authorization": "Basic c2stZ29vZDo="},
        {"authorization": "sk-good"},
        {"authorization": "Bearer " + "k" * 5_000},
        {"authorization": "Bearer sk-gööd"},
        {"x-api-key": "sk-wrong"},
        {"authorization": "Bearer sk-wrong", "x-api-key": "sk-wrong"},
    ],
)
def test_no_key_or_a_bad_one_is_a_401_that_leaves_no_row(gateway: Running, headers: dict[str, str]) -> None:
    rows = len(gateway.receipts())
    reply = gateway.chat(headers=headers)
    assert len(gateway.receipts()) == rows, "anyone can send these: they cost no disk"
    refused(gateway, reply, 401)
    assert "key" in reply.error["message"].lower()
    assert reply.headers["www-authenticate"] == "Bearer"
    assert reply.headers["x-should-retry"] == "false"
    assert "sk-" not in reply.body.decode()


def test_a_key_works_in_each_header_that_clients_use(gateway: Running) -> None:
    for headers in (
        KEY,
        {"x-api-key": "sk-good"},
        {"api-key": "sk-good"},
        {"authorization": "bearer  sk-good "},
        {"authorization": "Bearer sk-of-a-login", "x-api-key": "sk-good"},
    ):
        assert gateway.chat(headers=headers).status == 200, headers


def test_a_key_bound_to_an_endpoint_cannot_ask_another(gateway: Running) -> None:
    key = {"authorization": "Bearer sk-bound"}
    refused(gateway, gateway.chat(headers=key, model="farthing/other"), 403, "faq", param="model")
    reply = gateway.chat(headers=key)
    assert gateway.receipt_of(reply).endpoint == "faq"


def test_who_names_an_endpoint_wrongly_is_told_where(gateway: Running) -> None:
    key, header = {"authorization": "Bearer sk-bound"}, {"x-farthing-endpoint": "other"}
    refused(gateway, gateway.chat(headers=key | header), 403, "faq", param="x-farthing-endpoint")
    unknown = {"x-farthing-endpoint": "nope"}
    refused(gateway, gateway.chat(headers=KEY | unknown), 404, "nope", param="x-farthing-endpoint")
    asked = {"text": "x", "metadata": {"endpoint": "other"}}
    refused(gateway, gateway.post("/v1/ask", asked, key), 403, "faq", param="metadata.endpoint")


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        (CHAT, {"model": "auto", "messages": "hello"}, "`messages`: expected an array, got a string"),
        (
            CHAT,
            {"model": "auto", "messages": [{"role": 1}]},
            "`messages[0].role`: expected a string, got an integer",
        ),
        (
            CHAT,
            {"model": "auto", "messages": USER, "stream": 1},
            "`stream`: expected true or false or null, got",
        ),
        (CHAT, {"model": "auto", "messages": USER, "n": "2"}, "`n`: expected a number or null, got a string"),
        ("/llm-inference", {"prompt": ""}, "`prompt`: expected a string of length at least 1"),
        (
            "/llm-inference",
            {"prompt": "x", "max_tokens": 0},
            "`max_tokens`: expected an integer of at least 1",
        ),
        (
            "/v1/feedback",
            {"request_id": "req_1", "thumb": 1},
            "`thumb`: expected a string, got an integer; known: ",
        ),
        (
            "/v1/feedback",
            {"request_id": "req_1", "quality": 2},
            "`quality`: expected a number of at most 1; known: ",
        ),
    ],
)
def test_what_is_expected_is_told_in_the_words_of_json(
    gateway: Running, path: str, body: Any, said: str
) -> None:
    reply = gateway.post(path, body, KEY)
    assert reply.status == 400
    assert reply.error["message"].startswith(said)


def test_a_body_over_the_limit_is_refused_however_its_length_is_told(gateway: Running) -> None:
    big = b'{"model":"auto","messages":[{"role":"user","content":"' + b"x" * 4_000_000 + b'"}]}'
    refused(gateway, gateway.post(CHAT, big, KEY), 413, "2000000")
    with gateway.dial() as client:  # by its announcement alone
        client.sendall(b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: 999999999999\r\n\r\n" % CHAT.encode())
        assert answer(client).status == 413
    with gateway.dial() as client:  # without any
        client.sendall(raw(*GOOD_LINES, b"transfer-encoding: chunked", body=b""))
        piece = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
        try:
            for _ in range(64):
                client.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pytest.fail("the connection was cut before the refusal could be read")
        assert answer(client).status == 413
    assert gateway.chat(headers=KEY).status == 200


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_a_content_type_that_a_page_may_send_unasked_is_refused(gateway: Running, kind: str) -> None:
    reply = gateway.post(CHAT, with_field(), {**KEY, "content-type": kind})
    refused(gateway, reply, 415, kind.partition(";")[0], "application/json")


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "zstd", "gzip, identity", "x-odd"])
def test_a_compressed_body_is_refused_in_words(gateway: Running, coding: str) -> None:
    body = gzip.compress(json.dumps(with_field()).encode())
    reply = gateway.post(CHAT, body, {**KEY, "content-encoding": coding})
    refused(gateway, reply, 415, "compressed", coding)
    assert reply.headers["accept-encoding"] == "identity"
    assert gateway.receipt_of(reply).status == 415


@pytest.mark.parametrize("size", [10, 2_500_000])
def test_a_body_that_says_it_is_not_compressed_is_read(gateway: Running, size: int) -> None:
    if size < 2_000_000:
        assert gateway.post(CHAT, with_field(), {**KEY, "content-encoding": "identity"}).status == 200
    else:
        reply = gateway.post(CHAT, gzip.compress(b"x" * size), {**KEY, "content-encoding": "gzip"})
        refused(gateway, reply, 415, "gzip")


@pytest.mark.parametrize("kind", ["application/json", "application/vnd.api+json", "text/json", "*/*"])
def test_who_is_no_page_may_call_the_type_of_json_what_they_like(gateway: Running, kind: str) -> None:
    assert gateway.post(CHAT, with_field(), {**KEY, "content-type": kind}).status == 200


@pytest.mark.parametrize("kind", ["", "text/plain", "text/json", "*/*", "application/x-www-form-urlencoded"])
def test_what_comes_from_a_page_has_to_say_json(gateway: Running, kind: str) -> None:
    headers = {**KEY, "content-type": kind, "origin": "https://other.example"}
    refused(gateway, gateway.post(CHAT, with_field(), headers), 415, "application/json")
    assert gateway.post(CHAT, with_field(), {**headers, "content-type": "application/json"}).status == 200


def test_a_content_type_with_a_charset_is_fine(gateway: Running) -> None:
    headers = {**KEY, "content-type": "application/json; charset=utf-8"}
    assert gateway.post(CHAT, with_field(), headers).status == 200


# -- framing ----------------------------------------------------------------------------------------


def answer(client: socket.socket) -> Reply:
    """Read one answer with a length, no further."""
    file = client.makefile("rb")
    line = file.readline()
    assert line.startswith(b"HTTP/1.1 "), line
    headers: dict[str, str] = {}
    while (head := file.readline()) not in (b"\r\n", b""):
        name, _, value = head.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    if "content-length" in headers:
        body = file.read(int(headers["content-length"]))
    else:
        body = b""
        while (size := int(file.readline(), 16)) > 0:
            body += file.read(size)
            file.read(2)
        file.readline()
    return Reply(int(line.split()[1]), headers, body)


def closed(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


BODY = json.dumps(with_field()).encode()
GOOD_LINES = [b"host: x", b"authorization: Bearer sk-good", b"content-type: application/json"]


def raw(*lines: bytes, body: bytes = BODY, start: bytes = b"POST /v1/chat/completions HTTP/1.1") -> bytes:
    return b"\r\n".join([start, *lines, b"", body])


LENGTH = b"content-length: %d" % len(BODY)
H2C = [b"connection: Upgrade, HTTP2-Settings", b"upgrade: h2c", b"http2-settings: AAMAAABkAAQAAP__"]
BAD_FRAMING: dict[str, bytes] = {
    "two Host headers": raw(*GOOD_LINES, b"host: y", LENGTH),
    "no Host header": raw(*GOOD_LINES[1:], LENGTH),
    "an odd Host": raw(b"host: a?b", *GOOD_LINES[1:], LENGTH),
    "an empty Host": raw(b"host: ", *GOOD_LINES[1:], LENGTH),
    "length and chunks": raw(*GOOD_LINES, LENGTH, b"transfer-encoding: chunked"),
    "chunks and length": raw(*GOOD_LINES, b"transfer-encoding: chunked", LENGTH),
    "two lengths": raw(*GOOD_LINES, LENGTH, b"content-length: 3"),
    "a length with a sign": raw(*GOOD_LINES, b"content-length: +5"),
    "a negative length": raw(*GOOD_LINES, b"content-length: -5"),
    "a length that is a word": raw(*GOOD_LINES, b"content-length: many"),
    "a length of many digits": raw(*GOOD_LINES, b"content-length: " + b"9" * 30),
    "bare LF": raw(*GOOD_LINES, LENGTH).replace(b"\r\n", b"\n"),
    "a folded header": raw(*GOOD_LINES, b"x-a: b\r\n c", LENGTH),
    "a space before the colon": raw(*GOOD_LINES, b"x-a : b", LENGTH),
    "a NUL in a header": raw(*GOOD_LINES, b"x-a: b\x00c", LENGTH),
    "a chunk size that is a word": raw(
        *GOOD_LINES, b"transfer-encoding: chunked", body=b"zz\r\n{}\r\n0\r\n\r\n"
    ),
    "an unknown transfer coding": raw(
        *GOOD_LINES, b"transfer-encoding: chunked, odd", body=b"2\r\n{}\r\n0\r\n\r\n"
    ),
    "two transfer codings in two lines": raw(
        *GOOD_LINES,
        b"transfer-encoding: gzip",
        b"transfer-encoding: chunked",
        body=b"2\r\n{}\r\n0\r\n\r\n",
    ),
    "HTTP/3.0": raw(*GOOD_LINES, LENGTH, start=b"POST /v1/chat/completions HTTP/3.0"),
    "no version": raw(*GOOD_LINES, LENGTH, start=b"POST /v1/chat/completions"),
    "an upgrade with length and chunks": raw(*GOOD_LINES, LENGTH, b"transfer-encoding: chunked", *H2C),
    "an upgrade with chunks and length": raw(*GOOD_LINES, *H2C, b"transfer-encoding: chunked", LENGTH),
    "an upgrade with two lengths": raw(*GOOD_LINES, *H2C, LENGTH, b"content-length: 3"),
    "an upgrade with two keys": raw(*GOOD_LINES, *H2C, b"authorization: Bearer sk-bad", LENGTH),
    "an upgrade with two Host headers": raw(*GOOD_LINES, *H2C, b"host: y", LENGTH),
    "an upgrade with an unknown coding": raw(*GOOD_LINES, *H2C, b"transfer-encoding: chunked, odd"),
    "an upgrade with a chunk size that is a word": raw(
        *GOOD_LINES, *H2C, b"transfer-encoding: chunked", body=b"zz\r\n{}\r\n0\r\n\r\n"
    ),
    "an upgrade of HTTP/3.0": raw(*GOOD_LINES, *H2C, LENGTH, start=b"POST /v1/chat/completions HTTP/3.0"),
    "CONNECT with a body": raw(*GOOD_LINES, LENGTH, start=b"CONNECT x:443 HTTP/1.1"),
    "HTTP/2 that was agreed on elsewhere": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "not HTTP at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 64,
}


@pytest.mark.parametrize("what", BAD_FRAMING)
def test_bad_framing_is_a_400_and_ends_the_connection(
    gateway: Running, upstream: FaultProvider, what: str
) -> None:
    calls = len(upstream.calls)
    with gateway.dial() as client:
        client.sendall(BAD_FRAMING[what])
        reply = answer(client)
        assert reply.headers["connection"] == "close"
        assert closed(client)
    assert len(upstream.calls) == calls
    refused(gateway, reply, 400)


@pytest.mark.parametrize("coding", ["gzip, chunked", "identity, chunked", ", chunked", "deflate,chunked"])
@pytest.mark.parametrize("offer", [[], H2C])
def test_a_transfer_coding_but_chunked_is_a_501_and_ends_the_connection(
    gateway: Running, upstream: FaultProvider, coding: str, offer: list[bytes]
) -> None:
    calls = len(upstream.calls)
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    with gateway.dial() as client:
        client.sendall(
            raw(*GOOD_LINES, *offer, b"transfer-encoding: " + coding.encode(), body=chunks)
            + raw(*GOOD_LINES, LENGTH)
        )
        reply = answer(client)
        assert reply.headers["connection"] == "close"
        assert closed(client)
    assert len(upstream.calls) == calls
    refused(gateway, reply, 501, "transfer coding")


@pytest.mark.parametrize("coding", ["chunked", "Chunked", " chunked "])
def test_chunked_may_be_spelt_as_it_likes(gateway: Running, coding: str) -> None:
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    with gateway.dial() as client:
        client.sendall(raw(*GOOD_LINES, b"transfer-encoding: " + coding.encode(), body=chunks))
        assert answer(client).status == 200


@pytest.mark.parametrize("where", ["head", "head in pieces", "trailers"])
def test_more_headers_than_anyone_sends_are_a_431(gateway: Running, where: str) -> None:
    lines = [b"x-%d: y" % number for number in range(HEADERS_MAX + 2)]
    chunked = b"transfer-encoding: chunked"
    with gateway.dial() as client:
        if where == "head":
            client.sendall(raw(*GOOD_LINES, LENGTH, *lines))
        elif where == "head in pieces":  # which never ends
            client.sendall(raw(*GOOD_LINES, LENGTH, *lines, body=b"")[:-2])
        else:
            client.sendall(raw(*GOOD_LINES, chunked, body=b"0\r\n" + b"\r\n".join(lines) + b"\r\n"))
        reply = answer(client)
    refused(gateway, reply, 431, str(HEADERS_MAX))


def test_an_upgrade_is_not_granted_and_the_connection_goes_on(gateway: Running) -> None:
    h2c = b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n"
    with gateway.dial() as client:
        for _ in range(2):
            client.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n" + h2c + b"\r\n")
            assert answer_of(client).status == 200
        client.sendall(b"CONNECT x:443 HTTP/1.1\r\nhost: x\r\n\r\n")
        assert answer_of(client).status == 404


@pytest.mark.parametrize("how", ["at once", "in pieces", "one name many times", "in the path"])
def test_headers_over_the_limit_are_a_431(gateway: Running, how: str) -> None:
    lines = {
        "at once": b"x-long: " + b"v" * 40_000,
        "in pieces": b"x-long: " + b"v" * 40_000,
        "one name many times": b"\r\n".join(b"x-long: " + b"v" * 1_000 for _ in range(40)),
        "in the path": b"x: y",
    }[how]
    start = b"POST /v1/chat/completions?" + b"q" * (40_000 if how == "in the path" else 1) + b" HTTP/1.1"
    message = raw(*GOOD_LINES, lines, LENGTH, start=start)
    with gateway.dial() as client:
        if how == "in pieces":
            for begin in range(0, len(message), 2_000):
                try:
                    client.sendall(message[begin : begin + 2_000])
                except (BrokenPipeError, ConnectionResetError):
                    break
        else:
            client.sendall(message)
        reply = answer(client)
    refused(gateway, reply, 431, "32768")


@pytest.mark.parametrize(
    "part",
    [
        b"",
        b"PO",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-a",
        b"POST /healthz HTTP/1.1\r\nhost: x\r\n",
    ],
)
def test_a_head_that_never_ends_is_closed_at_the_limit(gateway: Running, part: bytes) -> None:
    with gateway.dial() as client:
        began_s = time.monotonic()
        if part:
            client.sendall(part)
            assert answer(client).status == 408
        assert closed(client)
        assert HEADER_S * 0.9 < time.monotonic() - began_s < HEADER_S + BUSY_S


def test_a_head_that_drips_is_closed_at_the_limit_all_the_same(gateway: Running) -> None:
    with gateway.dial() as client:
        began_s = time.monotonic()
        client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n")
        client.settimeout(0.05)
        while True:
            try:
                if client.recv(4_096):
                    break
            except TimeoutError:
                client.sendall(b"x-a: b\r\n")
            assert time.monotonic() - began_s < HEADER_S + BUSY_S


def test_a_body_that_drips_is_closed_at_the_limit(gateway: Running) -> None:
    with gateway.dial() as client:
        began_s = time.monotonic()
        client.sendall(raw(*GOOD_LINES, LENGTH, body=b"{"))
        client.settimeout(0.05)
        head = b""
        while not head:
            try:
                head = client.recv(4_096)
            except TimeoutError:
                client.sendall(b" ")
            assert time.monotonic() - began_s < 1.0 + BUSY_S
        assert head.startswith(b"HTTP/1.1 408 ")


def test_a_connection_that_asks_for_nothing_more_is_closed_when_idle(gateway: Running) -> None:
    with gateway.dial() as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert answer(client).status == 200
        assert closed(client), "without a word: nothing was asked"


def test_pipelined_requests_are_answered_in_order(gateway: Running) -> None:
    slow = json.dumps(
        with_field(model="a/fault:delay=0.2", messages=[{"role": "user", "content": "one"}])
    ).encode()
    quick = json.dumps(with_field(messages=[{"role": "user", "content": "two"}])).encode()
    length = b"content-length: %d"
    with gateway.dial() as client:
        client.sendall(
            raw(*GOOD_LINES, length % len(slow), body=slow)
            + raw(*GOOD_LINES, length % len(quick), body=quick)
        )
        file_replies = [answer_of(client) for _ in range(2)]
    assert [r.json["choices"][0]["message"]["content"] for r in file_replies] == ["echo: one", "echo: two"]


def answer_of(client: socket.socket) -> Reply:
    """As `answer`, but byte by byte, so that what follows stays in the socket."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = client.recv(1)
        assert byte, f"the connection ended after {head!r}"
        head += byte
    lines = head.decode("latin-1").split("\r\n")
    headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines[1:] if line)}
    body = b""
    while len(body) < int(headers.get("content-length", "0")):
        body += client.recv(int(headers["content-length"]) - len(body))
    return Reply(int(lines[0].split()[1]), headers, body)


def test_a_pipelined_request_whose_headers_come_in_two_pieces_keeps_them_all(gateway: Running) -> None:
    slow = json.dumps(with_field(model="a/fault:delay=0.3")).encode()
    second = raw(*GOOD_LINES, LENGTH)
    cut = second.index(b"authorization") + 20
    with gateway.dial() as client:
        client.sendall(raw(*GOOD_LINES, b"content-length: %d" % len(slow), body=slow) + second[:cut])
        assert answer_of(client).status == 200
        client.sendall(second[cut:])
        assert answer_of(client).status == 200


@pytest.mark.parametrize("count", [3, 20])
def test_many_pipelined_requests_are_answered_in_order(gateway: Running, count: int) -> None:
    slow = json.dumps(with_field(model="a/fault:delay=0.2")).encode()
    bodies = [slow]
    bodies += [
        json.dumps(with_field(messages=[{**USER[0], "content": str(n)}])).encode() for n in range(count)
    ]
    wire = b"".join(raw(*GOOD_LINES, b"content-length: %d" % len(body), body=body) for body in bodies)
    for cut in (len(wire), len(wire) // 2):
        with gateway.dial() as client:
            client.sendall(wire[:cut])
            client.sendall(wire[cut:])
            said = [answer_of(client).json["choices"][0]["message"]["content"] for _ in bodies]
            client.sendall(raw(*GOOD_LINES, LENGTH))
            assert answer_of(client).status == 200, "and the connection goes on"
        assert said == ["echo: hello", *(f"echo: {n}" for n in range(count))]


def test_more_waiting_requests_than_are_kept_end_the_connection(gateway: Running) -> None:
    slow = json.dumps(with_field(model="a/fault:delay=0.5")).encode()
    one = raw(*GOOD_LINES, b"content-length: %d" % len(slow), body=slow)
    with gateway.dial() as client:
        client.sendall(one * (PIPELINED_MAX + 2))
        assert closed(client)
    assert gateway.chat(headers=KEY).status == 200


def test_http_1_0_is_answered_and_closed(gateway: Running) -> None:
    for stream in (False, True):
        body = json.dumps(with_field(stream=stream)).encode()
        with gateway.dial() as client:
            start = b"POST /v1/chat/completions HTTP/1.0"
            client.sendall(raw(*GOOD_LINES, b"content-length: %d" % len(body), body=body, start=start))
            said = b"".join(iter(lambda: client.recv(65_536), b""))
        head, _, rest = said.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ") and b"transfer-encoding" not in head
        assert b"hello" in rest
        if stream:
            assert rest.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "GET"])
def test_a_method_that_a_path_lacks_is_a_405_with_allow(gateway: Running, method: str) -> None:
    with gateway.dial() as client:
        for _ in range(2):  # twice on one connection: nothing of the first answer is left in it
            client.sendall(f"{method} /v1/embeddings HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += client.recv(1)
            assert head.startswith(b"HTTP/1.1 405 "), head
            assert b"\r\nallow: POST\r\n" in head
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            body = b""
            while method != "HEAD" and len(body) < length:
                body += client.recv(length - len(body))
            assert method == "HEAD" or "POST" in json.loads(body)["error"]["message"]
    assert gateway.chat(headers=KEY).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/v1",
        "/v1/../metrics",
        "/%76ersion",
        "/a\xe9",
        "/metrics/",
        "//metrics",
        "//healthz",
        "/version/",
    ],
)
def test_an_unknown_path_is_a_404(gateway: Running, path: str) -> None:
    if path.isascii():
        refused(gateway, gateway.request("GET", path), 404, "nothing at")
    else:
        with gateway.dial() as client:
            client.sendall(b"GET " + path.encode("latin-1") + b" HTTP/1.1\r\nhost: x\r\n\r\n")
            assert answer(client).status in (400, 404)


def test_expect_continue_is_answered_before_the_body_is_sent(gateway: Running) -> None:
    with gateway.dial() as client:
        client.sendall(raw(*GOOD_LINES, LENGTH, b"expect: 100-continue", body=b""))
        assert client.recv(1_000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(BODY)
        assert answer(client).status == 200


def test_a_chunked_body_is_read(gateway: Running) -> None:
    pieces = [BODY[i : i + 7] for i in range(0, len(BODY), 7)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    with gateway.dial() as client:
        client.sendall(raw(*GOOD_LINES, b"transfer-encoding: chunked", body=chunks))
        assert answer(client).json["choices"][0]["message"]["content"] == "echo: hello"


def test_every_connection_of_these_tests_was_let_go(gateway: Running) -> None:
    until(lambda: gateway.metric("farthing_connections") <= 1.0, LIMIT_S)
    assert gateway.metric("farthing_requests_in_progress") == 0.0
