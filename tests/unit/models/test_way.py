"""What of a call's time was the network's, and what providers say of theirs."""

import socket

import pytest

from farthing.models.transport.dial import rtt_ms_of
from farthing.models.transport.passage import Passage
from farthing.models.way import Distances, note_head, note_told
from farthing.protocols.transport import Opened
from farthing.types import Attempt


def attempt(**fields: float) -> Attempt:
    return Attempt(target="a/x", tier="", started_ms=0.0, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("headers", "told_ms"),
    [
        ({b"openai-processing-ms": b"417"}, 417.0),
        ({b"OpenAI-Processing-MS": b" 417 "}, 417.0),
        ({b"x-envoy-upstream-service-time": b"88"}, 88.0),
        ({b"x-envoy-upstream-service-time": b"88", b"openai-processing-ms": b"80"}, 80.0),
        ({b"x-envoy-upstream-service-time": b"88", b"openai-processing-ms": b"soon"}, 88.0),
        ({b"x-amzn-bedrock-invocation-latency": b"1203"}, 1203.0),
        ({b"server-timing": b"gfet4t7; dur=1532"}, 1532.0),
        ({b"server-timing": b"cache;desc=hit, gfet4t7;dur=7.5"}, 7.5),
        ({b"server-timing": b"cfL4;desc=x"}, None),
        ({b"openai-processing-ms": b"-3"}, None),
        ({b"openai-processing-ms": b"9" * 40}, None),
        ({b"openai-processing-ms": b"999999999"}, None),
        ({b"openai-processing-ms": b""}, None),
        ({b"x-request-id": b"1"}, None),
        ({}, None),
    ],
)
def test_providers_say_it_in_headers_of_several_names(
    headers: dict[bytes, bytes], told_ms: float | None
) -> None:
    passage = Passage()
    assert passage.took(headers) == told_ms
    passage.down(headers, "r")
    assert passage.took(headers) == told_ms
    assert passage.took({}) is None


class Exchange:
    rtt_ms: float | None = 12.5
    opened: Opened | None = Opened(40.0, 25.0)


def test_the_rest_of_the_time_is_the_networks() -> None:
    one = attempt()
    note_head(one, Exchange(), 0.5, 417.0)  # type: ignore[arg-type]
    assert (one.provider_ms, one.network_ms) == (417.0, 83.0)
    assert (one.connect_ms, one.tls_ms, one.rtt_ms) == (40.0, 25.0, 12.5)


def test_what_cannot_be_is_unknown_and_rounding_is_not() -> None:
    one = attempt()
    note_told(one, 0.5, 5_000.0)
    assert (one.provider_ms, one.network_ms) == (None, None)
    note_told(one, 0.5, 501.0)
    assert (one.provider_ms, one.network_ms) == (501.0, 0.0)
    note_head(one, Exchange(), 0.5, None)  # type: ignore[arg-type]
    assert one.provider_ms == 501.0


def test_the_distance_is_that_of_open_connections_else_a_round_trip() -> None:
    near = Distances()
    assert near.network_s("a") is None
    near.note("a", attempt(rtt_ms=10.0))
    assert near.network_s("a") == 0.01
    near.note("a", attempt(rtt_ms=10.0, network_ms=60.0, connect_ms=40.0))
    assert near.network_s("a") == pytest.approx(0.02)
    for _ in range(200):
        near.note("a", attempt(network_ms=100.0))
    assert near.network_s("a") == pytest.approx(0.1, rel=0.01)


def test_the_system_tells_the_round_trip_of_a_connection() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as sock,
    ):
        rtt_ms = rtt_ms_of(sock)
        assert rtt_ms is None or 0.0 < rtt_ms < 1_000.0
    assert rtt_ms_of(sock) is None
