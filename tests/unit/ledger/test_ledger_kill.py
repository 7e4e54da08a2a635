"""A killed process loses no acknowledged row; a torn tail hides nothing before it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from farthing.config import LedgerConfig
from farthing.ledger import files
from farthing.ledger.read import orphans, read
from farthing.ledger.rows import Intent, frame_head, frames
from farthing.ledger.segments import SegmentLedger
from farthing.types import Receipt

KILLS = 20

WRITER = """
import itertools, os, sys
from pathlib import Path
from farthing.config import LedgerConfig
from farthing.ledger.segments import SegmentLedger
from farthing.types import Receipt

book = SegmentLedger(Path(sys.argv[1]), LedgerConfig(segment_bytes=262_144, sync_ms=10))
for number in itertools.count():
    one = Receipt(request_id=f"{sys.argv[2]}-{number}", at_unix_s=float(number), started_s=0.0, calls=1)
    book.intend(one, "a/b")
    os.write(1, f"i {one.request_id}\\n".encode())
    if number % 7:
        book.record(one)
        os.write(1, f"r {one.request_id}\\n".encode())
"""


def receipt(number: int) -> Receipt:
    return Receipt(request_id=f"r{number}", at_unix_s=float(number), started_s=0.0)


def killed_writer(directory: Path, name: str, after_bytes: int) -> set[str]:
    """Run a writer, kill it once it acknowledged so much, and return what it acknowledged."""
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(directory), name], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    said = b""
    while len(said) < after_bytes:
        said += os.read(writer.stdout.fileno(), 65_536)
    writer.send_signal(signal.SIGKILL)
    said += writer.stdout.read()
    writer.stdout.close()
    assert writer.wait() == -signal.SIGKILL
    return set(said.decode().splitlines()[: said.count(b"\n")])


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_no_acknowledged_row_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    acknowledged: set[str] = set()
    for kill in range(KILLS):
        acknowledged |= killed_writer(tmp_path, f"k{kill}", after_bytes=1 + kill * 3_001)
    read_back = {f"{'i' if isinstance(row, Intent) else 'r'} {row.request_id}": row for row in read(tmp_path)}
    assert len(acknowledged) > KILLS
    assert acknowledged - set(read_back) == set()
    without_receipt = {line[2:] for line in read_back if line[0] == "i"} - {
        line[2:] for line in read_back if line[0] == "r"
    }
    assert {intent.request_id for intent in orphans(tmp_path)} == without_receipt
    assert without_receipt


def test_what_a_killed_process_left_open_is_sealed_by_the_next_and_stays_readable(tmp_path: Path) -> None:
    acknowledged = killed_writer(tmp_path, "k", after_bytes=60_000)  # several segments
    assert any(path.suffix == files.OPEN for path in files.segment_paths(tmp_path))
    book = SegmentLedger(tmp_path)
    try:
        for path in files.segment_paths(tmp_path):
            if path.suffix == files.OPEN:
                # the new run's: a head and a first mark, or not yet that where its thread makes the next one
                assert len(list(frames(path.read_bytes()))) <= 2
        rows = {f"{'i' if isinstance(row, Intent) else 'r'} {row.request_id}" for row in read(tmp_path)}
        assert acknowledged <= rows
        assert not any(intent.live for intent in orphans(tmp_path))
        sealed = [path for path in files.segment_paths(tmp_path) if path.suffix == files.SEALED]
        for path in sealed:
            data = path.read_bytes()
            assert max(end for end, _ in frames(data)) == len(data)
    finally:
        book.close()


def test_a_torn_last_row_is_left_out_and_everything_before_it_is_read(tmp_path: Path) -> None:
    book = SegmentLedger(tmp_path)
    for number in range(10):
        book.record(receipt(number))
    (path,) = [one for one in files.segment_paths(tmp_path) if one.name == "w0-00000001.open"]
    data = bytearray(path.read_bytes())
    book.close()
    end = max(end for end, _ in frames(data))
    for torn in (b"\xff" * 40, frame_head.pack(5_000_000, 1), frame_head.pack(20, 1) + b"x" * 20, b"\x01"):
        for old in tmp_path.iterdir():
            old.unlink()
        data[end : end + 64] = torn.ljust(64, b"\0")
        path.write_bytes(data)
        assert [row.request_id for row in read(tmp_path)] == [f"r{number}" for number in range(10)]
        again = SegmentLedger(tmp_path)  # recovers, cuts the torn part off
        again.record(receipt(10))
        again.close()
        assert [row.request_id for row in read(tmp_path)] == [f"r{number}" for number in range(11)]


def test_a_damaged_row_in_a_sealed_segment_costs_only_itself(tmp_path: Path) -> None:
    book = SegmentLedger(tmp_path)
    for number in range(10):
        book.record(receipt(number))
    book.close()
    (path,) = files.segment_paths(tmp_path)
    data = bytearray(path.read_bytes())
    ends = [end for end, _ in frames(data)]
    data[ends[5] + 12] ^= 0xFF  # inside the payload of r4
    path.write_bytes(data)
    assert [row.request_id for row in read(tmp_path)] == [f"r{n}" for n in range(10) if n != 4]


def test_rows_are_brought_to_the_disk_without_being_asked(tmp_path: Path) -> None:
    book = SegmentLedger(tmp_path, LedgerConfig(sync_ms=100))
    for number in range(5):
        book.record(receipt(number))
        segment = book._segment  # what has reached the disk shows nowhere else
        assert segment is not None
        until_s = time.monotonic() + 30.0  # 0.1 is promised; the rest is for a busy machine
        while segment.synced_bytes < segment.used_bytes:
            assert time.monotonic() < until_s
            time.sleep(0.005)
    book.close()
