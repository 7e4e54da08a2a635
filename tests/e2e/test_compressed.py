"""Replies that come compressed although `identity` was asked for."""

import gzip
import json
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.e2e.gateway import running
from tests.e2e.test_upstream_headers import EVENTS, WHOLE, config
from tests.faults.canned import Asked, Canned, http
from tests.faults.exact import HELLO, ROLE, Exact, event
from tests.faults.provider import FaultProvider

Pack = Callable[[bytes], bytes]


def bare(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def in_members(data: bytes) -> bytes:
    half = len(data) // 2
    return gzip.compress(data[:half]) + gzip.compress(data[half:])


OFF = '[cache]\nexact = "off"\n'
PACKED: list[tuple[str, str, Pack]] = [
    ("content-encoding", "gzip", gzip.compress),
    ("Content-Encoding", "GZIP", gzip.compress),
    ("CONTENT-ENCODING", "x-gzip", gzip.compress),
    ("content-encoding", "deflate", zlib.compress),
    ("content-encoding", "deflate", bare),
    ("content-encoding", "gzip", in_members),
    ("content-encoding", "identity", bytes),
]


def index_of(asked: Asked) -> int:
    return int(json.loads(asked.body)["messages"][0]["content"])


def test_whole_answers_streams_and_errors_are_unpacked(tmp_path: Path) -> None:
    def reply(asked: Asked) -> bytes:
        assert asked.headers["accept-encoding"] == "identity"
        name, encoding, pack = PACKED[index_of(asked)]
        said = f"{name}: {encoding}"
        if b'"bad"' in asked.body:
            return http(400, pack(b'{"error": {"message": "the field bad is bad", "type": "t"}}'), said)
        if b'"stream"' in asked.body:
            return http(200, pack(EVENTS), said, kind="text/event-stream")
        return http(200, pack(WHOLE), said)

    with Canned(reply) as server, running(config(server) + OFF, tmp_path) as gateway:
        for index, (_, encoding, _) in enumerate(PACKED):
            whole = gateway.chat(f"{index}", model="a/m")
            assert whole.body == WHOLE and "content-encoding" not in whole.headers, encoding
            assert gateway.receipt_of(whole).usage is not None
            assert gateway.chat(f"{index}", model="a/m", stream=True).said == "hello", encoding
            refused = gateway.chat(f"{index}", model="a/m", bad=1)
            assert "the field bad is bad" in refused.error["message"], encoding


def test_a_stream_is_unpacked_as_it_comes_whatever_the_pieces(tmp_path: Path) -> None:
    packer = zlib.compressobj(wbits=31)
    events = [
        f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'content': c}}]})}\n\n" for c in "abcdé"
    ]
    pieces = [packer.compress(event.encode()) + packer.flush(zlib.Z_SYNC_FLUSH) for event in events]
    pieces.append(packer.compress(EVENTS) + packer.flush())
    data = b"".join(pieces)
    chunked = b"".join(b"1\r\n%b\r\n" % data[i : i + 1] for i in range(len(data))) + b"0\r\n\r\n"
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\n"

    def reply(asked: Asked) -> bytes:
        return head + b"transfer-encoding: chunked\r\n\r\n" + chunked

    with Canned(reply) as server, running(config(server), tmp_path) as gateway:
        assert gateway.chat("q", model="a/m", stream=True).said == "abcdéhello"
        assert gateway.chat("q2", model="a/m", stream=True).said == "abcdéhello"
        assert server.connections == 1, "the connection lives on"


def one_by_one(events: bytes) -> list[bytes]:
    return [event + b"\n\n" for event in events.split(b"\n\n") if event]


def test_a_reply_in_many_parts_that_come_at_once_is_unpacked(tmp_path: Path) -> None:
    words = [f"w{i} " for i in range(100)]
    events = [
        b"data: %b\n\n" % json.dumps({"choices": [{"index": 0, "delta": {"content": word}}]}).encode()
        for word in words
    ]
    packed = b"".join(map(gzip.compress, [*events, *one_by_one(EVENTS)]))

    def reply(asked: Asked) -> bytes:
        return http(200, packed, "content-encoding: gzip", kind="text/event-stream")

    with Canned(reply) as server, running(config(server), tmp_path) as gateway:
        assert gateway.chat("q", model="a/m", stream=True).said == "".join(words) + "hello"


def test_damage_that_comes_with_the_end_of_a_reply_is_told(upstream: FaultProvider, tmp_path: Path) -> None:
    """Both in one read: nothing would ever come after them."""
    packer = zlib.compressobj(wbits=31)
    begun = packer.compress(b"".join(event(one) for one in HELLO)) + packer.flush(zlib.Z_SYNC_FLUSH)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\n"
    pieces = (
        (0.0, head + b"transfer-encoding: chunked\r\n\r\n"),
        (0.2, b"%x\r\n%b\r\n" % (len(begun), begun)),
        (0.2, b"a\r\n" + b"\xff" * 10 + b"\r\n0\r\n\r\n"),
    )
    upstream.exactly("damaged", Exact(pieces))
    with running(f'[providers.a]\nbase_url = "{upstream.base_url}"\n', tmp_path) as gateway:
        reply = gateway.chat("q", model="a/damaged", stream=True, timeout_s=5.0)
        assert b"hel" in reply.body and b"damaged" in reply.body
        assert gateway.receipt_of(reply).error == "stream_broken"


def test_others_go_on_while_a_stream_is_unpacked(upstream: FaultProvider, tmp_path: Path) -> None:
    role = event(ROLE)
    packed = gzip.compress(role * (30_000_000 // len(role)))
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\n"
    pieces = ((0.0, b"%bcontent-length: %d\r\n\r\n" % (head, len(packed))), (0.1, packed))
    upstream.exactly("large", Exact(pieces))
    with running(f'[providers.a]\nbase_url = "{upstream.base_url}"\n', tmp_path) as gateway:
        asking = threading.Thread(
            target=gateway.chat, args=("q",), kwargs={"model": "a/large", "stream": True}
        )
        asking.start()
        beside = 0
        while asking.is_alive():
            gateway.request("GET", "/livez")
            beside += 1
        assert beside > 20, "each waits for a slice at most"


DAMAGED = [
    ("gzip", gzip.compress(WHOLE)[:-20], ""),
    ("gzip", b"\x1f\x8b\x08" + b"garbage" * 9, "damaged"),
    ("gzip", WHOLE, "damaged"),
    ("br", b"\x1b\x10\x00\xf8", "compressed (br)"),
    ("zstd", b"\x28\xb5\x2f\xfd\x00", "compressed (zstd)"),
    ("gzip, br", b"x", "compressed (gzip, br)"),
]


@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_be_unpacked_is_named(tmp_path: Path, stream: bool) -> None:
    kind = "text/event-stream" if stream else "application/json"

    def reply(asked: Asked) -> bytes:
        encoding, body, _ = DAMAGED[index_of(asked)]
        return http(200, body, f"content-encoding: {encoding}", kind=kind)

    with Canned(reply) as server:
        text = "".join(f'[providers.p{i}]\nbase_url = "{server.base_url}"\n' for i in range(len(DAMAGED)))
        with running(text + OFF, tmp_path) as gateway:
            for index, (_, _, words) in enumerate(DAMAGED):
                said = gateway.chat(f"{index}", model=f"p{index}/m", stream=stream)
                assert said.status == 502 and words in said.error["message"], said.body


@pytest.mark.parametrize("stream", [False, True])
def test_a_bomb_is_cut_at_the_cap(upstream: FaultProvider, tmp_path: Path, stream: bool) -> None:
    text = f'[providers.a]\nbase_url = "{upstream.base_url}"\nanswer_bytes_max = 4000000\n'
    with running(text, tmp_path) as gateway:
        gateway.chat("warm", model="a/good")
        before = gateway.memory_bytes()
        reply = gateway.chat("boom", model="a/fault:gzip=100000000", stream=stream)
        if stream:  # what follows its end is not looked at
            assert reply.events[-1] == "[DONE]"
        else:
            assert reply.status == 502 and "larger than" in reply.error["message"], reply.body
        assert gateway.memory_bytes() - before < 32_000_000
        assert gateway.chat("fine", model="a/fault:gzip=1000000").status == 200
