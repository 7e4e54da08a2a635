"""Segments that were emptied, cut, or taken away: what is missing is told, exactly where later rows tell how
many there were, else as unknown; and what retention deleted, or an earlier version wrote, is no damage."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from tests.unit.ledger.test_damage import extents, receipt, rows_at

from farthing.cli.main import cli
from farthing.config import LedgerConfig
from farthing.ledger import files
from farthing.ledger.damage import Missing
from farthing.ledger.read import damaged, read_all
from farthing.ledger.rows import FIELDS, Head, decode_mark, encode_head, frame, frames
from farthing.ledger.segments import SegmentLedger

SMALL = LedgerConfig(segment_bytes=262_144)
ROWS = 4_000


def write(directory: Path, first: int, rows: int) -> None:
    book = SegmentLedger(directory, SMALL)
    for number in range(first, first + rows):
        book.record(receipt(number))
    book.close()


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Segments of two runs."""
    directory = tmp_path_factory.mktemp("whole")
    write(directory, 0, ROWS // 2)
    write(directory, ROWS // 2, ROWS // 2)
    return directory


@pytest.fixture
def ledger(real: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(real, tmp_path / "l"))


def sealed(directory: Path) -> list[Path]:
    found = sorted(directory.glob("*.seg"))
    assert len(found) >= 5
    return found


def rows_of(directory: Path) -> tuple[int, Missing]:
    missing = Missing()
    rows = sum(1 for _ in read_all(directory, missing=missing))
    walked = damaged([directory])
    assert (walked.rows, walked.at_least, walked.bytes) == (missing.rows, missing.at_least, missing.bytes)
    return rows, missing


def zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def gone(path: Path) -> None:
    path.unlink()


def cut_after_rows(path: Path) -> None:
    """Exactly where a frame ends."""
    data = path.read_bytes()
    path.write_bytes(data[: rows_at(data)[len(rows_at(data)) // 2][1]])


def cut_before_rows(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: rows_at(data)[0][0]])


def without_end(path: Path) -> None:
    """The mark alone is gone: no row is missing."""
    data = path.read_bytes()
    path.write_bytes(data[: rows_at(data)[-1][1]])


def spliced(path: Path) -> None:
    """Rows are gone from the middle, without a trace."""
    data = path.read_bytes()
    places = rows_at(data)
    path.write_bytes(data[: places[10][0]] + data[places[20][0] :])


HURTS = [zeros, emptied, gone, cut_after_rows, cut_before_rows, without_end, spliced]


def test_a_whole_ledger_of_two_runs_misses_nothing(ledger: Path) -> None:
    assert rows_of(ledger) == (ROWS, Missing())


@pytest.mark.parametrize("hurt", HURTS, ids=lambda one: one.__name__)
@pytest.mark.parametrize("at", [1, 2, -2])
def test_what_is_gone_from_the_middle_is_counted(ledger: Path, hurt: Callable[[Path], None], at: int) -> None:
    hurt(sealed(ledger)[at])
    rows, missing = rows_of(ledger)
    assert (missing.rows, missing.at_least) == (ROWS - rows, False)
    assert bool(missing.places) == (rows < ROWS)


@pytest.mark.parametrize("hurt", [zeros, emptied, cut_after_rows, cut_before_rows])
def test_several_in_a_row_are_counted_together(ledger: Path, hurt: Callable[[Path], None]) -> None:
    for path in sealed(ledger)[1:4]:
        hurt(path)
    gone(sealed(ledger)[2])
    rows, missing = rows_of(ledger)
    assert (missing.rows, missing.at_least) == (ROWS - rows, False) and rows < ROWS - 500


@pytest.mark.parametrize("hurt", [zeros, emptied, cut_after_rows, cut_before_rows, without_end])
def test_of_the_last_segment_it_is_unknown_how_many_and_said_so(
    ledger: Path, hurt: Callable[[Path], None]
) -> None:
    hurt(sealed(ledger)[-1])
    _, missing = rows_of(ledger)
    assert (missing.rows, missing.at_least) == (0, True)
    env = {"FARTHING__STATE_DIR": str(ledger / "none"), "COLUMNS": "200"}
    told = CliRunner().invoke(cli, ["report", "--since", "all", "--ledger", str(ledger)], env=env).output
    assert "it is unknown how many rows are missing" in " ".join(told.split())
    read = CliRunner().invoke(cli, ["report", "--since", "all", "--json", "--ledger", str(ledger)], env=env)
    found = json.loads(read.output[read.output.index('{"since') :])["missing"]
    assert (found["rows"], found["at_least"]) == (0, True)


def test_a_run_that_begins_behind_a_cut_segment_counts_anew_and_the_loss_stays_unknown(ledger: Path) -> None:
    cut_after_rows(sealed(ledger)[-1])
    kept, _ = rows_of(ledger)
    write(ledger, ROWS, 500)
    rows, missing = rows_of(ledger)
    assert rows == kept + 500 and (missing.rows, missing.at_least) == (0, True)
    write(ledger, ROWS + 500, 500)
    gone(sorted(ledger.glob("*.seg"))[-2])
    rows, missing = rows_of(ledger)
    assert rows == kept + 500 and (missing.rows, missing.at_least) == (0, True), "one count, then another"


def test_a_bit_and_a_cut_in_one_segment_are_counted_together(ledger: Path) -> None:
    path = sealed(ledger)[1]
    cut_after_rows(path)
    data = bytearray(path.read_bytes())
    data[rows_at(bytes(data))[5][0] + 30] ^= 8
    path.write_bytes(data)
    rows, missing = rows_of(ledger)
    assert (missing.rows, missing.at_least) == (ROWS - rows, False)
    assert len(missing.places) == 2 and missing.places[0].rows == 1


def test_what_retention_deletes_is_no_damage_and_leaves_no_hole(ledger: Path) -> None:
    """Whatever the clock did: here the newer ones look older."""
    found = sealed(ledger)
    for age, path in enumerate(found):
        os.utime(path, (2_000_000_000 - age, 2_000_000_000 - age))
    sizes = [path.stat().st_size for path in found]
    assert files.retain(ledger, sum(sizes[2:])) == 2
    rows, missing = rows_of(ledger)
    assert not missing.places and 0 < rows < ROWS and sorted(ledger.glob("*.seg")) == found[2:]


def test_what_is_left_out_by_time_is_not_missing(ledger: Path) -> None:
    found = sealed(ledger)
    gone(found[1])
    os.utime(found[0], (1.0, 1.0))
    os.utime(found[2], (1.0, 1.0))
    missing = Missing()
    assert list(read_all(ledger, 2.0, missing)) and not missing.places


def of_an_earlier_version(directory: Path) -> None:
    """Without marks, and a head that knows of none."""
    for path in directory.glob("*.seg"):
        (_, head), *rest = frames(path.read_bytes())
        before = msgspec.msgpack.decode(head, type=Head)
        before.fields = {kind: list(names) for kind, names in FIELDS.items() if kind != "mark"}
        payloads = [payload for _, payload in rest if decode_mark(payload) is None]
        path.write_bytes(b"".join(map(frame, [msgspec.msgpack.encode(before), *payloads])))


def test_what_an_earlier_version_wrote_is_read_without_a_word_and_goes_on(ledger: Path) -> None:
    of_an_earlier_version(ledger)
    assert rows_of(ledger) == (ROWS, Missing())
    write(ledger, ROWS, 100)
    assert rows_of(ledger) == (ROWS + 100, Missing())
    zeros(sealed(ledger)[1])
    _, missing = rows_of(ledger)
    assert (missing.rows, missing.at_least) == (0, True), "nothing tells how many there were"


def test_an_earlier_version_reads_what_this_one_writes(ledger: Path) -> None:
    """It knows only the kinds of rows that it had: others are no rows to it. A head is known by these."""
    head = msgspec.msgpack.decode(encode_head("w0", "r", 1.0), type=Head)
    assert head.version == 1 and {"intent", "receipt", "attempt", "usage"} <= head.fields.keys()
    for path in sealed(ledger):
        kinds = {msgspec.msgpack.decode(payload)[0] for _, payload in list(frames(path.read_bytes()))[1:]}
        assert kinds <= {1, 2, 3, 4, 5}


@pytest.mark.parametrize("killed_at", [1, 700, 1_500])
def test_rows_of_a_killed_process_are_counted_on(tmp_path: Path, killed_at: int) -> None:
    directory = tmp_path / "l"
    book = SegmentLedger(directory, SMALL)
    for number in range(killed_at):
        book.record(receipt(number))
    book._stop.set()  # its thread renames no file meanwhile
    book._wake.set()
    book._thread.join()
    left = {path.name: path.read_bytes() for path in files.segment_paths(directory)}
    book.close()
    for path in files.segment_paths(directory):
        path.unlink()
    for name, data in left.items():
        (directory / name).write_bytes(data)
    write(directory, killed_at, 300)
    assert rows_of(directory) == (killed_at + 300, Missing())


def test_rows_that_a_failing_disk_had_written_twice_are_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = SegmentLedger(tmp_path, SMALL)
    for number in range(100):
        book.record(receipt(number))
    sync = files.Segment.sync
    failed: list[Path] = []

    def fails(self: files.Segment, upto_bytes: int) -> None:
        if not failed:
            failed.append(self.path)
            raise OSError(errno.EIO, "the disk fails")
        sync(self, upto_bytes)

    monkeypatch.setattr(files.Segment, "sync", fails)
    for number in range(100, 200):
        book.record(receipt(number))
    book.close()
    assert failed
    assert rows_of(tmp_path) == (200, Missing())


def test_a_segment_that_is_full_to_the_last_byte_has_its_mark(tmp_path: Path) -> None:
    segment = files.Segment(tmp_path / "w0-00000001.open", 262_144, encode_head("w0", "run", 1.0))
    segment.begin(7, 99)
    row = msgspec.msgpack.encode((2, receipt(1)))
    rows = 0
    while segment.append(row):
        rows += 1
    segment.end()
    segment.end()
    segment.sync(segment.used_bytes)
    segment.seal()
    path = tmp_path / "w0-00000001.seg"
    mark = files.end_mark(path)
    assert mark is not None and (mark.rows, mark.count) == (7 + rows, 99)
    assert path.stat().st_size <= 262_144
    assert extents(path.read_bytes())[-1][1] == path.stat().st_size


@pytest.mark.parametrize("name", ["w0-00000001.old.seg", "w0-²³.seg", "w0-x.seg", "w0-.open"])
def test_a_copy_beside_the_segments_is_no_segment(tmp_path: Path, name: str) -> None:
    write(tmp_path, 0, 10)
    (tmp_path / name).write_bytes(b"of a person")
    write(tmp_path, 10, 10)
    assert files.retain(tmp_path, 0) > 0 and (tmp_path / name).exists()


@pytest.mark.parametrize("kept", [8, 16, 24])
def test_a_torn_mark_at_the_end_is_no_row(tmp_path: Path, kept: int) -> None:
    """As after a power loss, where it lay across two pages."""
    book = SegmentLedger(tmp_path / "l", SMALL)
    for number in range(10):
        book.record(receipt(number))
    segment = book._segment
    assert segment is not None
    segment.end()
    copy = Path(shutil.copytree(tmp_path / "l", tmp_path / "copy"))
    torn = bytearray((copy / segment.path.name).read_bytes())
    torn[segment.used_bytes - 32 + kept : segment.used_bytes] = bytes(32 - kept)
    (copy / segment.path.name).write_bytes(torn)
    SegmentLedger(copy, SMALL).close()
    rows, missing = rows_of(copy)
    assert (rows, missing.rows, missing.at_least) == (10, 0, False)
    book.close()
