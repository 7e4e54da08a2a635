"""Upstreams that never end, never say anything, or speak something else: a bound holds on each of them."""

import threading
import time

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import Running
from tests.faults.exact import DONE, HELLO, STOP, Exact, event, say
from tests.faults.provider import FaultProvider
from tests.pace import process_cpu_s, turn_s

CONFIG = """
[providers.a]
base_url = "{a}"
[providers.b]
base_url = "{b}"
[tiers.dripping]
targets = ["a/dripping", "b/good"]
[endpoints.soon]
tier = "dripping"
deadline_s = 4.0
on_limit = "refuse"
[cache]
exact = "off"
"""
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider, second: FaultProvider) -> Running:
    return start_gateway(CONFIG.format(a=upstream.base_url, b=second.base_url))


def piece(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def said(*events: object) -> bytes:
    return piece(b"".join(one if isinstance(one, bytes) else event(one) for one in events))


def test_signs_of_life_after_the_finish_do_not_keep_an_answer_open(
    gateway: Running, upstream: FaultProvider
) -> None:
    alive = [(0.5, said(b": still here\n\n"))] * 40
    upstream.exactly("alive", Exact(((0.0, HEAD), (0.0, said(*HELLO, STOP)), *alive), "hold"))
    began_s = time.monotonic()
    reply = gateway.chat(model="a/alive", stream=True)
    assert reply.said == "hello" and reply.events[-1] == "[DONE]"
    assert 4.0 < time.monotonic() - began_s < 18.0
    assert gateway.receipt_of(reply).stop_reason == "stop"


def test_an_answer_that_goes_on_after_a_finish_is_not_cut(gateway: Running, upstream: FaultProvider) -> None:
    more = [(1.5, said(one)) for one in say(" a", " b", " c", " d", " e")]
    upstream.exactly("more", Exact(((0.0, HEAD), (0.0, said(*HELLO, STOP)), *more, (0.0, said(DONE)))))
    assert gateway.chat(model="a/more", stream=True).said == "hello a b c d e"


@pytest.mark.parametrize("stream", [False, True])
def test_a_whole_answer_that_never_comes_is_left_in_time_for_the_next(
    gateway: Running, upstream: FaultProvider, stream: bool
) -> None:
    drops = [(0.5, piece(b" "))] * 30
    upstream.exactly("dripping", Exact(((0.0, HEAD), (0.0, piece(b'{"choices":')), *drops), "hold"))
    reply = gateway.chat("one two", model="farthing/soon", stream=stream)
    assert reply.status == 200, reply.body
    assert gateway.receipt_of(reply).target == "b/good"


def test_another_protocol_is_no_answer(gateway: Running, upstream: FaultProvider) -> None:
    head = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n"
    upstream.exactly("upgraded", Exact(((0.0, head),), "cut"))
    reply = gateway.chat(model="a/upgraded")
    assert reply.status == 502 and "another protocol" in reply.error["message"]


@pytest.mark.parametrize("begun", [b"", b"".join(map(event, HELLO))])
def test_a_flood_that_says_nothing_holds_up_nobody(
    gateway: Running, upstream: FaultProvider, begun: bytes
) -> None:
    flood = [(0.0, piece(b":\n\n" * 80_000))] * 30
    upstream.exactly("flood", Exact(((0.0, HEAD), (0.0, piece(begun or b": hi\n\n")), *flood), "hold"))
    asking = threading.Thread(target=gateway.chat, kwargs={"model": "a/flood", "stream": True})
    asking.start()
    pid, longest_s = gateway.process.pid, 0.0
    while asking.is_alive():
        began_s, had_s = time.monotonic(), process_cpu_s(pid)
        gateway.request("GET", "/livez")
        took_s = time.monotonic() - began_s
        if had_s is not None:
            took_s = min(took_s, (process_cpu_s(pid) or 0.0) - had_s)
        longest_s = max(longest_s, took_s)
    assert longest_s < 50_000_000 * turn_s(), "it was four seconds when one read followed another"
