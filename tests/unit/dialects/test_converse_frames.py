"""AWS's event stream: the vectors of its SDK, any cut, any damage."""

import itertools
import struct
from binascii import crc32
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.faults import frames

from farthing.dialects.converse.streams.frames import HEADERS_BYTES_MAX, Frame, FrameSplitter

LIMIT = 65_536
EVENTS = [
    frames.event("messageStart", role="assistant"),
    frames.event("contentBlockDelta", contentBlockIndex=0, delta={"text": "{}} ¼"}),
    frames.exception("throttlingException", "slow down"),
    frames.message(b"", b"{}"),
    frames.event("messageStop", stopReason="end_turn"),
]
STREAM = b"".join(EVENTS)

# From the tests of AWS's SDK for Python (botocore, tests/unit/test_eventstream.py).
GOOD: dict[str, tuple[bytes, Frame]] = {
    "empty": (b"\x00\x00\x00\x10\x00\x00\x00\x00\x05\xc2H\xeb}\x98\xc8\xff", Frame("event", "", b"")),
    "a byte": (
        b"\x00\x00\x00\x17\x00\x00\x00\x07)\x86\x01X\x04byte\x02\xff\xc2\xf8i\xdc",
        Frame("event", "", b""),
    ),
    "a payload": (
        b"\x00\x00\x00\x1d\x00\x00\x00\x00\xfdR\x8cZ{'foo':'bar'}\xc3e96",
        Frame("event", "", b"{'foo':'bar'}"),
    ),
    "every kind of header": (
        b"\x00\x00\x00\x62\x00\x00\x00\x52\x03\xb5\xcb\x9c"
        b"\x010\x00\x011\x01\x012\x02\x02\x013\x03\x00\x03"
        b"\x014\x04\x00\x00\x00\x04\x015\x05\x00\x00\x00\x00\x00\x00\x00\x05"
        b"\x016\x06\x00\x05bytes\x017\x07\x00\x04utf8"
        b"\x018\x08\x00\x00\x00\x00\x00\x00\x00\x08\x019\x090123456789abcdef"
        b"\x63\x35\x36\x71",
        Frame("event", "", b""),
    ),
    "an error": (
        b"\x00\x00\x00\x52\x00\x00\x00\x42\xbf\x23\x63\x7e"
        b"\x0d:message-type\x07\x00\x05error\x0b:error-code\x07\x00\x04code"
        b"\x0e:error-message\x07\x00\x07message\x6b\x6c\xea\x3d",
        Frame("error", "code", b"", "message"),
    ),
}
BAD = {
    "another length of the headers": b"\x00\x00\x00=\xff\x00\x01\x02\x07\xfd\x83\x96\x0ccontent-type\x07\x00"
    b"\x10application/json{'foo':'bar'}\x8d\x9c\x08\xb1",
    "other headers": b"\x00\x00\x00=\x00\x00\x00 \x07\xfd\x83\x96\x0ccontent+type\x07\x00\x10"
    b"application/json{'foo':'bar'}\x8d\x9c\x08\xb1",
    "another length": b"\x01\x00\x00\x1d\x00\x00\x00\x00\xfdR\x8cZ{'foo':'bar'}\xc3e96",
    "another payload": b"\x00\x00\x00\x1d\x00\x00\x00\x00\xfdR\x8cZ{'foo':'bar'\x8d\xc3e96",
}


def read(*pieces: bytes, limit: int = LIMIT) -> tuple[list[Frame], str, bool]:
    splitter = FrameSplitter(limit)
    found = [frame for piece in pieces for frame in splitter.feed(piece)]
    return found, splitter.fault, splitter.is_within


@pytest.mark.parametrize("name", GOOD)
def test_the_messages_of_the_sdks_own_tests_are_read(name: str) -> None:
    data, frame = GOOD[name]
    assert read(data) == ([frame], "", False)


@pytest.mark.parametrize("name", BAD)
def test_the_damaged_messages_of_the_sdks_own_tests_are_not(name: str) -> None:
    found, fault, _ = read(BAD[name])
    assert not found and fault


def test_the_name_and_kind_of_a_message_stand_in_its_headers() -> None:
    found, fault, within = read(STREAM)
    assert [(one.kind, one.name) for one in found] == [
        ("event", "messageStart"),
        ("event", "contentBlockDelta"),
        ("exception", "throttlingException"),
        ("event", ""),
        ("event", "messageStop"),
    ]
    assert (fault, within) == ("", False)


def test_wherever_a_stream_is_cut_it_says_the_same() -> None:
    whole = read(STREAM)
    assert read(*(STREAM[at : at + 1] for at in range(len(STREAM)))) == whole
    for at in range(len(STREAM)):
        assert read(STREAM[:at], STREAM[at:]) == whole


def test_no_byte_can_be_another_without_being_found_out() -> None:
    for at in range(len(STREAM)):
        for bit in (1, 128):
            spoilt = STREAM[:at] + bytes([STREAM[at] ^ bit]) + STREAM[at + 1 :]
            found, fault, within = read(spoilt, limit=len(STREAM))
            whole = read(STREAM)[0]
            assert found == whole[: len(found)] and len(found) < len(EVENTS) and (fault or within)


def test_nothing_is_read_after_damage() -> None:
    spoilt = bytearray(STREAM)
    spoilt[len(EVENTS[0]) + 20] ^= 1
    splitter = FrameSplitter(LIMIT)
    assert len(splitter.feed(bytes(spoilt))) == 1 and splitter.fault
    assert splitter.feed(EVENTS[0]) == []


def test_a_message_that_is_too_long_is_refused_by_its_first_twelve_bytes() -> None:
    long = frames.framed("x", b" " * 2_000)
    assert read(long[:12], limit=1_000) == ([], "a message is longer than 1000 bytes", True)
    assert len(read(long, limit=len(long))[0]) == 1


def test_lengths_that_cannot_be_are_refused() -> None:
    for length, headers in ((0, 0), (15, 0), (16, 1), (2**31, 2**31), (200_000, HEADERS_BYTES_MAX + 1)):
        prelude = struct.pack(">II", length, headers)
        _, fault, _ = read(prelude + struct.pack(">I", crc32(prelude)), limit=2**32)
        assert fault, (length, headers)


@pytest.mark.parametrize(
    "headers",
    [b"\x05abc", b"\x01a", b"\x01a\x0a", b"\x01a\x07\x00", b"\x01a\x07\x00\x05ab", b"\x01\xff\x07\x00\x01a",
     b"\x01a\x04\x00", b"\x0d:message-type\x07\x00\x03odd"],
)  # fmt: skip
def test_headers_that_cannot_be_read_are_damage(headers: bytes) -> None:
    found, fault, _ = read(frames.message(headers, b"{}"))
    assert not found and fault


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=5))
def test_hostile_bytes_are_never_more_than_a_fault(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    found, fault, _ = read(*(data[begin:end] for begin, end in itertools.pairwise(edges)))
    assert found == read(data)[0] and fault == read(data)[1]


def test_a_thousand_spoilt_streams_are_read_to_where_they_are_good() -> None:
    random = Random(7)
    whole = read(STREAM)[0]
    for _ in range(1_000):
        spoilt = bytearray(STREAM)
        for _ in range(random.randint(1, 4)):
            spoilt[random.randrange(len(spoilt))] = random.randrange(256)
        found, _, _ = read(bytes(spoilt))
        assert found == whole[: len(found)]
