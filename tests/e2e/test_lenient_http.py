"""A reply that is not quite HTTP is read where other clients read it, and its connection is not used again
where its end is in doubt."""

import json
from collections.abc import Iterator

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import Running
from tests.faults.canned import Asked, Canned
from tests.faults.exact import DONE, ENDING, HELLO, encoded, event, whole_of

GOOD = encoded(whole_of())
STREAM = b"".join(one if isinstance(one, bytes) else event(one) for one in (*HELLO, *ENDING))
OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
LENGTH = b"content-length: %d\r\n"


def chunks(body: bytes, padding: bytes = b"") -> bytes:
    half = len(body) // 2
    parts = [b"%x%b\r\n%b\r\n" % (len(part), padding, part) for part in (body[:half], body[half:])]
    return b"".join([*parts, b"0\r\n\r\n"])


def replies(body: bytes) -> dict[str, bytes]:
    length = LENGTH % len(body)
    chunked = b"transfer-encoding: chunked\r\n"
    return {
        "plain": OK + length + b"\r\n" + body,
        "a-length-before-chunks": OK + length + chunked + b"\r\n" + chunks(body),
        "a-length-after-chunks": OK + chunked + LENGTH % 5 + b"\r\n" + chunks(body),
        "spaces-after-sizes": OK + chunked + b"\r\n" + chunks(body, b"   "),
        "lines-that-end-in-lf": (OK + length + b"\r\n").replace(b"\r\n", b"\n") + body,
        "encoded-as-utf-8": OK + b"content-encoding: UTF-8\r\n" + length + b"\r\n" + body,
        "encoded-as-none": OK + b"content-encoding: none\r\n" + length + b"\r\n" + body,
        "encoded-as-aws-chunked": OK
        + b"content-encoding: aws-chunked, identity\r\n"
        + length
        + b"\r\n"
        + body,
    }


WHOLE, STREAMED = replies(GOOD), replies(STREAM)


@pytest.fixture(scope="module")
def odd() -> Iterator[Canned]:
    def reply(asked: Asked) -> bytes:
        body = json.loads(asked.body)
        return (STREAMED if body.get("stream") else WHOLE)[body["model"]]

    with Canned(reply) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, odd: Canned) -> Running:
    return start_gateway(f"""
[providers.odd]
base_url = "{odd.base_url}"
[tiers.cheap]
targets = ["odd/plain"]
[cache]
exact = "off"
""")


@pytest.mark.parametrize("name", WHOLE)
def test_the_answer_arrives(gateway: Running, odd: Canned, name: str) -> None:
    before = odd.connections
    for _ in range(3):
        reply = gateway.chat(model=f"odd/{name}")
        assert reply.status == 200, reply.body
        assert reply.json["choices"][0]["message"]["content"] == "hello"
        streamed = gateway.chat(model=f"odd/{name}", stream=True)
        assert streamed.said == "hello"
        assert streamed.body.endswith(DONE)
    used = odd.connections - before
    assert used >= 5 if name.startswith("a-length") else used <= 2


TRAILERS = (
    b"x-farthing-cost-usd: 9\r\nx-farthing-model: evil\r\nx-request-id: evil\r\nretry-after: 99\r\n"
    b"content-encoding: gzip\r\nx-ratelimit-remaining-requests: 0\r\nset-cookie: evil=1\r\n"
)


@pytest.mark.parametrize("stream", [False, True])
def test_fields_after_a_chunked_reply_are_no_headers_of_it_nor_of_the_next(
    start_gateway: StartGateway, stream: bool
) -> None:
    body = STREAM if stream else GOOD
    chunked = OK + b"transfer-encoding: chunked\r\ntrailer: x-farthing-cost-usd\r\n\r\n" + chunks(body)
    after = chunked[:-2] + TRAILERS + b"\r\n"
    plain = OK + LENGTH % len(body) + b"\r\n" + body
    turns = iter([after, plain, after, plain])
    with Canned(lambda asked: next(turns)) as server:
        gateway = start_gateway(f"""
[providers.odd]
base_url = "{server.base_url}"
[tiers.cheap]
targets = ["odd/plain"]
[cache]
exact = "off"
""")
        for _ in range(4):
            reply = gateway.chat(model="odd/plain", stream=stream)
            assert reply.status == 200, reply.body
            assert (reply.said if stream else reply.json["choices"][0]["message"]["content"]) == "hello"
            assert b"evil" not in reply.body
            assert "evil" not in str(reply.headers) and "retry-after" not in reply.headers
            assert reply.headers.get("x-ratelimit-remaining-requests") is None
            assert reply.headers.get("x-farthing-cost-usd") != "9"
        assert server.connections == 1, "the next one is read from the same connection"
