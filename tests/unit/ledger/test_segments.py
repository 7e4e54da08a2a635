"""Rotation, retention, several writers, a full disk, a failing disk, old segments."""

import asyncio
import errno
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from farthing.config import LedgerConfig
from farthing.errors import ConfigError, Overloaded
from farthing.ledger import files, segments
from farthing.ledger.memory import MemoryLedger
from farthing.ledger.read import find, orphans, read, read_all, recent, unanswered
from farthing.ledger.rows import FIELDS, MAGIC, VERSION, Intent, encode, frame
from farthing.ledger.segments import SegmentLedger
from farthing.types import Attempt, PromptCacheUse, Receipt, Signal, Usage

SMALL = LedgerConfig(segment_bytes=262_144, sync_ms=10)
COUNTS = LedgerConfig(segment_bytes=262_144, sync_ms=10, on_full="count")


def receipt(number: int, *, calls: int = 1, at_unix_s: float | None = None) -> Receipt:
    return Receipt(
        request_id=f"r{number}",
        at_unix_s=float(number) if at_unix_s is None else at_unix_s,
        started_s=0.0,
        calls=calls,
    )


def ids(directory: Path) -> list[str]:
    return [row.request_id for row in read(directory)]


def eventually(true: Callable[[], bool], within_s: float = 60.0) -> None:
    until_s = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < until_s
        time.sleep(0.01)


def test_rows_go_on_over_many_segments_and_full_ones_are_cut_to_their_length(tmp_path: Path) -> None:
    book = SegmentLedger(tmp_path, SMALL)
    for number in range(5_000):
        book.intend(receipt(number), "a/b")
        book.record(receipt(number))
    book.close()
    assert [row.request_id for row in read(tmp_path) if isinstance(row, Receipt)] == [
        f"r{number}" for number in range(5_000)
    ]
    assert len(list(files.segment_paths(tmp_path))) >= 4
    assert all(path.suffix == files.SEALED for path in files.segment_paths(tmp_path))
    assert all(path.stat().st_size <= 262_144 for path in files.segment_paths(tmp_path))


def test_the_oldest_segments_go_when_there_are_too_many_bytes(tmp_path: Path) -> None:
    config = LedgerConfig(segment_bytes=262_144, sync_ms=10, bytes_max=600_000)
    book = SegmentLedger(tmp_path, config)
    for number in range(10_000):
        book.record(receipt(number))
    book.close()
    kept = ids(tmp_path)
    assert kept[-1] == "r9999"
    assert "r0" not in kept
    assert sum(path.stat().st_size for path in files.segment_paths(tmp_path)) <= 600_000


def test_a_second_process_gets_its_own_name_and_both_are_read(tmp_path: Path) -> None:
    first, second = SegmentLedger(tmp_path), SegmentLedger(tmp_path)
    for number in range(0, 100, 2):
        first.record(receipt(number))
        second.record(receipt(number + 1))
    assert ids(tmp_path) == [f"r{number}" for number in range(100)]
    assert {files.split_name(path)[0] for path in files.segment_paths(tmp_path)} == {"w0", "w1"}
    first.close()
    second.close()
    third = SegmentLedger(tmp_path)
    third.record(receipt(100))
    third.close()
    assert ids(tmp_path) == [f"r{number}" for number in range(101)]


@pytest.mark.slow
def test_reading_beside_a_writer_sees_only_whole_rows_in_order(tmp_path: Path) -> None:
    book = SegmentLedger(tmp_path, SMALL)
    stop = threading.Event()
    written = [0]

    def write() -> None:
        while not stop.is_set():
            book.record(receipt(written[0]))
            written[0] += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(10):
            before = written[0]
            got = ids(tmp_path)
            assert len(got) >= before
            assert got == [f"r{number}" for number in range(len(got))]
    finally:
        stop.set()
        writer.join()
        book.close()
    assert len(ids(tmp_path)) == written[0]


def test_only_rows_that_arrived_since_are_read(tmp_path: Path) -> None:
    book = SegmentLedger(tmp_path, SMALL)
    for number in range(3_000):
        book.record(receipt(number))
    book.close()
    assert [row.request_id for row in read(tmp_path, since_unix_s=2_990.0)] == [
        f"r{number}" for number in range(2_990, 3_000)
    ]
    assert list(read(tmp_path, since_unix_s=time.time() + 60)) == []


def test_an_absent_directory_has_no_rows(tmp_path: Path) -> None:
    assert list(read(tmp_path / "nothing")) == []
    assert orphans(tmp_path / "nothing") == []
    assert find(tmp_path / "nothing", "r1") is None
    assert recent(tmp_path / "nothing", 5) == []


def test_a_call_without_receipt_is_in_flight_while_its_process_lives_and_unknown_after(
    tmp_path: Path,
) -> None:
    book = SegmentLedger(tmp_path)
    book.intend(receipt(1), "a/b")
    book.intend(receipt(2), "a/b")
    book.record(receipt(2))
    assert orphans(tmp_path) == []
    assert [intent.request_id for intent in unanswered(read(tmp_path))] == ["r1"]
    book.close()
    (orphan,) = orphans(tmp_path)
    assert (orphan.request_id, orphan.target) == ("r1", "a/b")
    again = SegmentLedger(tmp_path)  # the same name lives again, in another run
    assert [intent.request_id for intent in orphans(tmp_path)] == ["r1"]
    again.close()


def test_find_and_recent_look_from_the_newest_segment_back(tmp_path: Path) -> None:
    book = SegmentLedger(tmp_path, SMALL)
    for number in range(4_000):
        book.intend(receipt(number), "a/b")
        book.record(receipt(number))
    book.intend(receipt(4_000), "a/b")
    found = find(tmp_path, "r17")
    assert isinstance(found, Receipt) and found.request_id == "r17"
    pending = find(tmp_path, "r4000")
    assert isinstance(pending, Intent) and pending.live
    assert find(tmp_path, "r99999") is None
    assert find(tmp_path, "") is None
    assert [row.request_id for row in recent(tmp_path, 3)] == ["r3997", "r3998", "r3999"]
    assert len(recent(tmp_path, 2_500)) == 2_500
    book.close()


def test_a_directory_that_cannot_be_used_is_a_fault_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"ledger\.path"):
        SegmentLedger(tmp_path / "file" / "ledger")


# -- a full disk ------------------------------------------------------------------------------------

FULL = """
import json, resource, sys, time
from pathlib import Path
from farthing.config import LedgerConfig
from farthing.errors import Overloaded
from farthing.ledger.segments import SegmentLedger
from farthing.types import Receipt

directory = Path(sys.argv[1])
book = SegmentLedger(directory, LedgerConfig(segment_bytes=262_144, sync_ms=10))
while book._next is None:
    time.sleep(0.01)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # the kernel refuses to allocate any segment
open_requests, number, code = [], 0, None
while code is None:
    one = Receipt(request_id=f"r{number}", at_unix_s=float(number), started_s=0.0, calls=1)
    number += 1
    try:
        book.intend(one, "a/b")
    except Overloaded as refused:
        code = refused.code
    else:
        open_requests.append(one)
        if len(open_requests) > 100:
            book.record(open_requests.pop(0))
for one in open_requests:
    book.record(one)
full = book.state()
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
until_s = time.monotonic() + 60
while not book.state().available and time.monotonic() < until_s:
    time.sleep(0.02)
last = Receipt(request_id="after", at_unix_s=float(number), started_s=0.0, calls=1)
book.intend(last, "a/b")
book.record(last)
state = book.state()
book.close()
print(json.dumps({
    "code": code, "taken": number - 1, "lost": state.lost, "full": full.available,
    "again": state.available, "failures": full.allocation_failures, "waiting": full.waiting,
}))
"""


def test_a_full_disk_refuses_new_calls_takes_every_open_receipt_and_recovers_alone(tmp_path: Path) -> None:
    """The kernel's own refusal (EFBIG) in a process of its own, which must not die of it."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, timeout=60, check=True
    )
    told = json.loads(done.stdout)
    assert told["code"] == "ledger_unavailable"
    assert told["failures"] > 0 and told["full"] is False and told["again"] is True
    assert told["lost"] == 0 and told["waiting"] == 0
    receipts = {row.request_id for row in read(tmp_path) if isinstance(row, Receipt)}
    assert receipts == {f"r{number}" for number in range(told["taken"])} | {"after"}


def test_a_start_on_a_full_disk_refuses_calls_and_keeps_free_answers_until_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SegmentLedger(tmp_path, COUNTS).close()
    allocate = os.posix_fallocate

    def full(fd: int, offset: int, length: int) -> None:
        if os.fstat(fd).st_size < length:  # the lock was there before
            raise OSError(errno.ENOSPC, "No space left on device")
        allocate(fd, offset, length)

    with monkeypatch.context() as disk:
        disk.setattr(os, "posix_fallocate", full)
        book = SegmentLedger(tmp_path, COUNTS)
        with pytest.raises(Overloaded):
            book.intend(receipt(0), "a/b")
        book.record(receipt(1, calls=0))
        assert not book.state().available
        assert book.state().waiting == 1
        assert not list(files.segment_paths(tmp_path))
    eventually(lambda: book.state().available and book.state().waiting == 0)
    book.intend(receipt(2), "a/b")
    assert ids(tmp_path) == ["r1", "r2"]
    book.close()


def test_without_room_nothing_free_is_answered_unless_it_is_to_be_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    book = SegmentLedger(tmp_path, SMALL)
    eventually(lambda: book._next is not None)
    written, number = [], 0
    with monkeypatch.context() as disk:
        disk.setattr(os, "posix_fallocate", full)
        while True:
            try:
                book.admit()
            except Overloaded as refused:
                assert refused.code == "ledger_unavailable" and refused.retry_after_s >= 1
                break
            book.record(receipt(number, calls=0))
            written.append(f"r{number}")
            number += 1
        assert book.state().refused == 1 and not book.state().available
        while True:  # requests that were under way: their receipts fill the reserve, then they fail
            one = receipt(number, calls=0)
            one.status = 200
            try:
                book.record(one)
            except Overloaded:
                assert (one.status, one.error) == (503, "ledger_unavailable")
                break
            written.append(f"r{number}")
            number += 1
        refused_one = receipt(number + 1, calls=0)
        refused_one.status, refused_one.error = 400, "invalid_request_error"
        book.record(refused_one)  # no answer that could be taken back
        with pytest.raises(Overloaded):
            book.signal(said(7), acknowledged=True)
        book.signal(said(8))
        assert book.state().waiting == 2
        assert files.unwritten([tmp_path]).waiting == 2
    eventually(lambda: book.state().waiting == 0 and book.state().available)
    assert files.unwritten([tmp_path]) == files.Unwritten()
    book.admit()
    book.signal(said(9), acknowledged=True)
    book.close()
    assert ids(tmp_path) == [*written, f"r{number + 1}"]
    signals = [row.request_id for row in read_all(tmp_path) if isinstance(row, Signal)]
    assert signals == ["s8", "s9"]


def said(number: int) -> Signal:
    return Signal(request_id=f"s{number}", at_unix_s=0.0, source="feedback", quality=1.0)


def test_what_found_no_room_is_counted_over_memory_end_and_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(fd: int, offset: int, length: int) -> None:
        if length > files.LOCK_BYTES:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(segments, "WAITING_BYTES_MAX", 20_000)
    book = SegmentLedger(tmp_path, COUNTS)
    eventually(lambda: book._next is not None)
    began_unix_s = time.time()
    with monkeypatch.context() as disk:
        disk.setattr(os, "posix_fallocate", full)
        for number in range(5_000):
            book.admit()
            book.record(receipt(number, calls=0))
        state = book.state()
        assert state.lost > 0 and 0 < state.waiting * 60 < 20_000
        counted = files.unwritten([tmp_path])
        assert (counted.lost, counted.waiting) == (state.lost, state.waiting)
        book.close()
    on_disk = len(ids(tmp_path))
    counted = files.unwritten([tmp_path])
    assert on_disk + counted.lost == 5_000 and counted.waiting == 0
    assert counted.first_unix_s and counted.last_unix_s
    assert began_unix_s <= counted.first_unix_s <= counted.last_unix_s <= time.time()
    again = SegmentLedger(tmp_path, COUNTS)
    assert again.state().lost_before == counted.lost
    again.close()
    assert files.unwritten([tmp_path]) == counted
    errors = [one for one in caplog.records if one.levelname == "ERROR"]
    assert len(errors) < 8, "told now and then, not row by row"
    assert f"since the start {counted.lost} receipts" in caplog.text


def test_free_answers_leave_the_reserve_to_calls_that_were_paid_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    book = SegmentLedger(tmp_path, COUNTS)
    eventually(lambda: book._next is not None)
    paid = [receipt(number) for number in range(200)]
    for one in paid:
        book.intend(one, "a/b")
    with monkeypatch.context() as disk:
        disk.setattr(os, "posix_fallocate", full)
        for number in range(1_000, 5_000):
            book.record(receipt(number, calls=0))
        assert book.state().waiting > 0
        for one in paid:
            book.record(one)
        on_disk = {row.request_id for row in read(tmp_path) if isinstance(row, Receipt)}
        assert {one.request_id for one in paid} <= on_disk
    eventually(lambda: book.state().waiting == 0)
    book.close()
    receipts = [row.request_id for row in read(tmp_path) if isinstance(row, Receipt)]
    assert len(receipts) == len(set(receipts)) == 4_200


# -- a failing disk ---------------------------------------------------------------------------------


@pytest.mark.parametrize("strict", [False, True])
def test_after_a_failed_fsync_the_file_is_left_and_its_rows_are_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strict: bool
) -> None:
    book = SegmentLedger(tmp_path, LedgerConfig(segment_bytes=262_144, sync_ms=10, strict=strict))
    eventually(lambda: book._next is not None)
    real = os.fsync
    failed: list[int] = []
    seen_after: list[str] = []

    def fsync(fd: int) -> None:
        path = os.readlink(f"/proc/self/fd/{fd}")
        if path.endswith(".open") and not failed:
            failed.append(fd)
            raise OSError(errno.EIO, "Input/output error")
        if failed and os.path.basename(path).startswith("w0-00000001"):
            seen_after.append(path)
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    for number in range(20):
        book.record(receipt(number))
    eventually(lambda: book.state().sync_failures == 1)
    eventually(lambda: book.state().available and book.state().waiting == 0)
    book.intend(receipt(20), "a/b")
    book.record(receipt(20))
    book.close()
    assert not seen_after  # never synced again
    receipts = [row.request_id for row in read(tmp_path) if isinstance(row, Receipt)]
    assert sorted(receipts) == sorted(f"r{number}" for number in range(21))
    rewritten = next(path for path in files.segment_paths(tmp_path) if path.stem.endswith("2"))
    assert b"r0" in rewritten.read_bytes()


def test_strict_rows_are_on_the_disk_when_the_call_returns(tmp_path: Path) -> None:
    book = SegmentLedger(tmp_path, LedgerConfig(strict=True, sync_ms=60_000))
    for number in range(5):
        book.intend(receipt(number), "a/b")
        assert book._segment is not None
        assert book._segment.synced_bytes == book._segment.used_bytes
        book.record(receipt(number))
        assert book._segment.synced_bytes == book._segment.used_bytes
    book.close()


def test_strict_refuses_a_call_whose_intent_may_not_be_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = SegmentLedger(tmp_path, LedgerConfig(strict=True, sync_ms=60_000))

    def broken(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", broken)
        with pytest.raises(Overloaded):
            book.intend(receipt(1), "a/b")
    book.close()


# -- segments of other versions ---------------------------------------------------------------------


def write_segment(directory: Path, head: dict[str, object], *rows: object) -> None:
    payloads = [encode(head), *(encode(row) for row in rows)]
    directory.mkdir(exist_ok=True)
    (directory / "w0-00000001.seg").write_bytes(b"".join(map(frame, payloads)))


def head_of(fields: dict[str, list[str]], version: int = VERSION) -> dict[str, object]:
    return {
        "magic": MAGIC,
        "version": version,
        "writer": "w0",
        "run": "0",
        "created_unix_s": 0.0,
        "fields": fields,
    }


def test_an_older_segment_with_fewer_fields_is_read_with_defaults(tmp_path: Path) -> None:
    fields = {
        **{kind: list(names) for kind, names in FIELDS.items()},
        "receipt": ["request_id", "at_unix_s", "started_s"],
        "usage": ["input_tokens"],
    }
    write_segment(tmp_path, head_of(fields), [2, ["old", 1.0, 0.0]])
    assert list(read(tmp_path)) == [Receipt(request_id="old", at_unix_s=1.0, started_s=0.0)]


def test_a_segment_from_before_the_classes_of_tokens_is_read_as_it_was(tmp_path: Path) -> None:
    fields = {
        **{kind: list(names) for kind, names in FIELDS.items()},
        "attempt": list(FIELDS["attempt"][:9]),
        "usage": ["input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "estimated"],
    }
    usage = [10, 5, 4, 0, False]
    attempt = ["a/b", "cheap", 1.0, 2.0, 3.0, 200, None, usage, 700]
    one = receipt(1)
    values = [getattr(one, name) for name in FIELDS["receipt"]]
    values[FIELDS["receipt"].index("usage")] = usage
    values[FIELDS["receipt"].index("attempts")] = [attempt]
    write_segment(tmp_path, head_of(fields), [2, values])
    (found,) = read(tmp_path)
    assert isinstance(found, Receipt)
    assert found.usage == Usage(input_tokens=10, output_tokens=5, cached_tokens=4)
    assert found.attempts == [
        Attempt(
            target="a/b", tier="cheap", started_ms=1.0, ttft_ms=2.0, total_ms=3.0, status=200,
            usage=found.usage, cost_nusd=700,
        )
    ]  # fmt: skip


def test_what_prompt_caches_did_is_read_back_and_unknown_of_a_segment_from_before_it(tmp_path: Path) -> None:
    use = PromptCacheUse(
        result="changed", missed_tokens=9, missed_nusd=-3, saved_nusd=None, segment="message 3", byte=1_024
    )
    fields = {kind: list(names) for kind, names in FIELDS.items() if kind != "prompt_cache"}
    at = FIELDS["attempt"].index("prompt_cache")
    old = {**fields, "attempt": list(FIELDS["attempt"][:at])}
    attempt = Attempt(target="a/b", tier="t", started_ms=1.0, prompt_cache=use)
    one = receipt(1)
    values = [getattr(one, name) for name in FIELDS["receipt"]]
    for head, told in (
        ({**fields, "prompt_cache": list(FIELDS["prompt_cache"])}, list(msgspec.structs.astuple(attempt))),
        (
            {**fields, "prompt_cache": ["gone", "result"]},
            [
                *msgspec.structs.astuple(attempt)[:at],
                ["x", "idle"],
                *msgspec.structs.astuple(attempt)[at + 1 :],
            ],
        ),
        (old, list(msgspec.structs.astuple(attempt))[:at]),
    ):
        folder = tmp_path / str(len(told)) / str(len(head))
        folder.mkdir(parents=True, exist_ok=True)
        for file in folder.iterdir():
            file.unlink()
        values[FIELDS["receipt"].index("attempts")] = [told]
        write_segment(folder, head_of(head), [2, values])
        (found,) = read(folder)
        assert isinstance(found, Receipt)
        expected = use if head.get("prompt_cache") == list(FIELDS["prompt_cache"]) else None
        if head.get("prompt_cache") == ["gone", "result"]:
            expected = PromptCacheUse(result="idle")
        assert found.attempts[0].prompt_cache == expected


def test_a_newer_segment_with_more_fields_is_read_without_them(tmp_path: Path) -> None:
    fields = {kind: [*names, "invented_later"] for kind, names in FIELDS.items()}
    usage = [*msgspec.structs.astuple(Usage(input_tokens=3)), "new"]
    attempt = [*msgspec.structs.astuple(Attempt(target="a/b", tier="t", started_ms=1.0)), "new"]
    one = receipt(1)
    values = [getattr(one, name) for name in FIELDS["receipt"]]
    values[FIELDS["receipt"].index("usage")] = usage
    values[FIELDS["receipt"].index("attempts")] = [attempt]
    write_segment(
        tmp_path, head_of(fields), [1, ["r1", "a/b", 1, 1.0, "new"]], [2, [*values, "new"]], [9, []]
    )
    one.usage = Usage(input_tokens=3)
    one.attempts = [Attempt(target="a/b", tier="t", started_ms=1.0)]
    assert list(read(tmp_path)) == [Intent(request_id="r1", target="a/b", attempt=1, at_unix_s=1.0), one]


def test_a_segment_with_other_fields_in_another_order_is_read_by_their_names(tmp_path: Path) -> None:
    fields = {
        "intent": ["at_unix_s", "gone", "target", "attempt", "request_id"],
        "receipt": ["status", "gone", "usage", "request_id", "attempts", "at_unix_s", "started_s"],
        "attempt": ["usage", "gone", "tier", "target", "started_ms"],
        "usage": ["gone", "output_tokens"],
    }
    attempt = [["x", 4], "x", "cheap", "a/b", 2.5]
    write_segment(
        tmp_path,
        head_of(fields),
        [1, [7.0, "x", "a/b", 2, "r1"]],
        [2, [200, "x", ["x", 9], "r1", [attempt], 7.0, 0.0]],
    )
    intent, got = read(tmp_path)
    assert intent == Intent(request_id="r1", target="a/b", attempt=2, at_unix_s=7.0)
    assert got == Receipt(
        request_id="r1",
        at_unix_s=7.0,
        started_s=0.0,
        status=200,
        usage=Usage(output_tokens=9),
        attempts=[
            Attempt(target="a/b", tier="cheap", started_ms=2.5, usage=Usage(output_tokens=4)),
        ],
    )


def test_a_segment_from_before_signals_is_read_beside_one_with_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = {kind: list(names) for kind, names in FIELDS.items() if kind != "signal"}
    values = [getattr(receipt(1), name) for name in FIELDS["receipt"]]
    said = [3, ["r1", 1.0, "feedback", 1.0]]  # of which its head says nothing
    write_segment(tmp_path, head_of(before), said, [1, ["r1", "a/b", 1, 1.0]], [2, values])
    assert [type(row) for row in read_all(tmp_path)] == [Intent, Receipt]
    assert caplog.text.count("cannot be read") == 1
    book = SegmentLedger(tmp_path, LedgerConfig())
    book.signal(Signal(request_id="r1", at_unix_s=2.0, source="feedback", quality=1.0))
    book.close()
    assert [type(row) for row in read_all(tmp_path)] == [Intent, Receipt, Signal]
    assert [type(row) for row in read(tmp_path)] == [Intent, Receipt]
    assert find(tmp_path, "r1") == receipt(1)


def test_a_signal_of_a_question_asked_again_is_read_by_the_name_it_had(tmp_path: Path) -> None:
    names = {kind: list(names) for kind, names in FIELDS.items()}
    values = {"request_id": "r1", "at_unix_s": 1.0, "source": "retry", "quality": 0.25}
    names["signal"] = list(values)
    write_segment(tmp_path, head_of(names), [3, list(values.values())])
    assert list(read_all(tmp_path)) == [Signal(request_id="r1", at_unix_s=1.0, source="reask", quality=0.25)]


def test_a_head_without_the_fields_of_a_receipt_is_no_head(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_segment(tmp_path, head_of({"intent": ["request_id"]}), [1, ["r1"]])
    assert list(read_all(tmp_path)) == []
    assert "left out" in caplog.text


def test_a_segment_of_a_later_format_is_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_segment(tmp_path, head_of({}, version=VERSION + 1), [2, ["r1"]])
    assert list(read(tmp_path)) == []
    assert "cannot" not in caplog.text and "left out" in caplog.text


def test_a_row_that_is_not_what_its_head_says_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fields = {kind: list(names) for kind, names in FIELDS.items()}
    write_segment(tmp_path, head_of(fields), [2, [1, 2, 3]], [1, ["r1"]], 5, [1, ["r2", "a/b", 1, 2.0]])
    assert ids(tmp_path) == ["r2"]
    assert caplog.text.count("cannot be read") == 1
    assert "3 rows are missing" in caplog.text


# -- in memory --------------------------------------------------------------------------------------


def test_the_memory_ledger_keeps_the_newest_rows() -> None:
    book = MemoryLedger(rows_max=3)
    for number in range(5):
        book.record(receipt(number))
    assert [row.request_id for row in book.rows()] == ["r2", "r3", "r4"]
    asyncio.run(book.aclose())
    book.record(receipt(5))
    assert book.lost == 1
