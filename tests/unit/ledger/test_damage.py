"""Flipped bits and lost pages: every other row is read, none is invented, what is missing is counted."""

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from farthing.cli.main import cli
from farthing.config import LedgerConfig
from farthing.ledger import files
from farthing.ledger.damage import Gap, Missing, Place, filled, pieces
from farthing.ledger.files import end_mark
from farthing.ledger.read import find, read_all
from farthing.ledger.rows import FRAME_BYTES, MARK_BYTES, decode_mark, frame, frames
from farthing.ledger.segments import SegmentLedger
from farthing.types import Attempt, Receipt, Signal, Usage

ROWS = 900
FLIPS = 200
SEED = 8


def receipt(number: int) -> Receipt:
    used = Usage(input_tokens=number, output_tokens=number % 97)
    return Receipt(
        request_id=f"req_{number:08x}",
        at_unix_s=1_750_000_000.0 + number,
        started_s=number / 7,
        model_asked="m" * (number % 211),  # rows of many lengths
        usage=used,
        attempts=[Attempt(target="a/b", tier="cheap", started_ms=0.5, usage=used)] * (number % 3),
        calls=number % 3,
        status=200,
    )


def written(directory: Path) -> None:
    book = SegmentLedger(directory, LedgerConfig(segment_bytes=1_048_576))
    for number in range(ROWS):
        one = receipt(number)
        if one.calls:
            book.intend(one, "a/b")
        book.record(one)
        if number % 5 == 0:
            book.signal(
                Signal(request_id=one.request_id, at_unix_s=one.at_unix_s, source="check", quality=0.5)
            )
    path = next(path for path in files.segment_paths(directory) if path.stem.endswith("-00000001"))
    data = path.read_bytes()  # as a killed process leaves it
    book.close()
    (directory / "w0-00000001.killed").write_bytes(data)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """One segment of a ledger that was used: sealed, and as it was while it was open."""
    directory = tmp_path_factory.mktemp("real")
    written(directory)
    return {
        files.SEALED: (directory / "w0-00000001.seg").read_bytes(),
        files.OPEN: (directory / "w0-00000001.killed").read_bytes(),
    }


def extents(data: bytes) -> list[tuple[int, int]]:
    """Where each frame begins and ends, the head first."""
    start, found = 0, []
    for end, _ in frames(data):
        found.append((start, end))
        start = end
    return found


def rows_at(data: bytes) -> list[tuple[int, int]]:
    """Where each row begins and ends: neither the head nor a mark is one."""
    start, found = 0, []
    for end, payload in frames(data):
        if start and decode_mark(payload) is None:
            found.append((start, end))
        start = end
    return found


def laid(directory: Path, suffix: str, data: bytes) -> Path:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    (directory / f"w0-00000001{suffix}").write_bytes(data)
    return directory


def rows_of(directory: Path) -> tuple[list[bytes], Missing]:
    missing = Missing()
    return [msgspec.msgpack.encode(row) for row in read_all(directory, missing=missing)], missing


def flipped(data: bytes, bits: list[int]) -> bytes:
    changed = bytearray(data)
    for bit in bits:
        changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def in_places(data: bytes) -> Iterator[int]:
    """Random bits of the rows; then some of every part of a frame and of the head, and of the last row."""
    chance = random.Random(SEED)
    frames_of = extents(data)
    end = frames_of[-1][1]
    for _ in range(FLIPS):
        yield chance.randrange(end * 8)
    for start, stop in (
        frames_of[0],
        frames_of[1],
        frames_of[2],
        frames_of[-2],
        chance.choice(frames_of),
        frames_of[-1],
    ):
        for byte in (*range(start, start + FRAME_BYTES), start + FRAME_BYTES, stop - 1):
            yield byte * 8 + chance.randrange(8)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [files.SEALED, files.OPEN])
def test_a_flipped_bit_costs_the_row_it_is_in_and_is_told(
    real: dict[str, bytes], suffix: str, tmp_path: Path
) -> None:
    data = real[suffix]
    whole, nothing = rows_of(laid(tmp_path / "l", suffix, data))
    places, frames_of = rows_at(data), extents(data)
    assert len(whole) == len(places) > ROWS and not nothing.places
    for bit in in_places(data):
        start, end = next(place for place in frames_of if bit // 8 < place[1])
        hit = places.index((start, end)) if (start, end) in places else -1
        got, missing = rows_of(laid(tmp_path / "l", suffix, flipped(data, [bit])))
        without = whole[:hit] + whole[hit + 1 :] if hit >= 0 else whole
        assert got in (without, whole), f"bit {bit}"  # whole: it was in the padding behind the row
        assert (missing.rows, missing.at_least) == (len(whole) - len(got), False), f"bit {bit}"
        where = [
            Place(
                segment=f"w0-00000001{suffix}",
                at_byte=start,
                bytes=end - start,
                rows=int(hit >= 0),
                at_least=False,
            )
        ]
        assert missing.places == where or (got == whole and not missing.places), f"bit {bit}"


@pytest.mark.parametrize("suffix", [files.SEALED, files.OPEN])
def test_two_hundred_flips_at_once_cost_no_other_row(
    real: dict[str, bytes], suffix: str, tmp_path: Path
) -> None:
    data = real[suffix]
    whole, _ = rows_of(laid(tmp_path / "l", suffix, data))
    at = rows_at(data)
    places = extents(data)
    chance = random.Random(SEED)
    bits = [chance.randrange(places[-1][1] * 8) for _ in range(FLIPS)]
    if suffix == files.SEALED:  # all but the mark at the end may be hit
        bits = [bit for bit in bits if bit // 8 < places[-1][0]]
    at = rows_at(data)
    hit = {n for n, (start, end) in enumerate(at) if any(start <= bit // 8 < end for bit in bits)}
    got, missing = rows_of(laid(tmp_path / "l", suffix, flipped(data, bits)))
    untouched = [row for number, row in enumerate(whole) if number not in hit]
    expected = set(untouched)
    assert [row for row in got if row in expected] == untouched
    assert set(got) <= set(whole)
    lost = len(whole) - len(got)
    assert missing.rows == lost or (missing.at_least and 0 < missing.rows < lost)
    assert suffix == files.OPEN or missing.rows == lost, "the mark at the end tells how many there were"


@pytest.mark.parametrize("suffix", [files.SEALED, files.OPEN])
def test_a_lost_page_costs_the_rows_in_it_and_is_told(
    real: dict[str, bytes], suffix: str, tmp_path: Path
) -> None:
    data = real[suffix]
    whole, _ = rows_of(laid(tmp_path / "l", suffix, data))
    at = rows_at(data)
    places = extents(data)
    end = places[-1][1]
    chance = random.Random(SEED)
    for content in (bytes(4096), b"\xff" * 4096, chance.randbytes(4096)):
        for start in (0, 4096, 4096 * (end // 8192), (end - 1) // 4096 * 4096):
            stop = min(start + 4096, end)
            hurt = data[:start] + content[: stop - start] + data[stop:]
            got, missing = rows_of(laid(tmp_path / "l", suffix, hurt))
            kept = [
                row for row, (first, last) in zip(whole, at, strict=True) if last <= start or first >= stop
            ]
            expected = set(kept)
            assert [row for row in got if row in expected] == kept, (start, content[:1])
            assert set(got) <= set(whole)
            lost = len(whole) - len(got)
            if suffix == files.OPEN and stop == end and not any(content):
                continue  # nothing tells it from a row that was not begun
            assert missing.rows == lost or (missing.at_least and missing.rows < lost), (start, content[:1])
            assert missing.bytes > 0


def test_what_looks_like_a_row_inside_a_damaged_one_is_not_taken_for_one(tmp_path: Path) -> None:
    forged = frame(msgspec.msgpack.encode((2, receipt(66))))
    book = SegmentLedger(tmp_path / "l", LedgerConfig(segment_bytes=1_048_576))
    for shift in range(8):  # at every distance from a multiple of eight
        one = receipt(shift)
        one.error_message = "x" * shift + forged.decode("latin-1")
        book.record(one)
        book.record(receipt(100 + shift))
    book.close()
    path = next(iter(files.segment_paths(tmp_path / "l")))
    # Text is UTF-8 in a row, so bytes above 127 come out otherwise: put the very bytes there.
    parts = [payload for _, payload in frames(path.read_bytes()) if decode_mark(payload) is None]
    raw = [
        payload.replace(b"\xda" + len(text).to_bytes(2, "big") + text, _same_length(text, shift, forged))
        for shift, payload, text in (
            (number // 2, payload, ("x" * (number // 2) + forged.decode("latin-1")).encode())
            for number, payload in enumerate(parts[1:])
        )
    ]
    assert sum(forged in payload for payload in raw) == 8
    data = b"".join(map(frame, [parts[0], *raw]))
    whole = extents(data)
    at = [number for number, payload in enumerate(raw) if forged in payload]
    for number in at:
        start, _ = whole[number + 1]
        for byte in (start, start + 2, start + 4, start + FRAME_BYTES + 3):
            hurt = flipped(data, [byte * 8 + 1])
            got = [piece for _, piece in pieces(hurt) if not isinstance(piece, Gap)]
            assert got == [parts[0], *raw[:number], *raw[number + 1 :]]


def _same_length(text: bytes, shift: int, forged: bytes) -> bytes:
    inside = (b"x" * shift + forged).ljust(len(text), b"x")
    return b"\xda" + len(text).to_bytes(2, "big") + inside


def test_a_dead_writers_damaged_segment_is_sealed_whole_and_the_damage_copied_aside(
    real: dict[str, bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = real[files.OPEN]
    places = rows_at(data)
    middle, last = places[len(places) // 2], places[-1]
    hurt = flipped(data, [(middle[0] + 20) * 8, (last[0] + 20) * 8])
    directory = laid(tmp_path / "l", files.OPEN, hurt)
    before, missing = rows_of(directory)
    assert (missing.rows, missing.at_least) == (2, False)
    book = SegmentLedger(directory)
    book.close()
    sealed = (directory / "w0-00000001.seg").read_bytes()
    assert sealed[: last[1]] == hurt[: last[1]]  # nothing but zeros was cut
    mark = end_mark(directory / "w0-00000001.seg")
    assert mark is not None and mark.rows == len(places) and len(sealed) == last[1] + MARK_BYTES
    for start, end in (middle, last):
        assert (directory / f"w0-00000001.at-{start}.damaged").read_bytes() == hurt[start:end]
    after, still = rows_of(directory)
    assert after == before
    assert (still.rows, still.at_least) == (2, False)
    assert "damaged at 2 places" in caplog.text
    assert "2 rows are missing" in caplog.text and ": w0-00000001.seg at byte" in caplog.text


def test_a_row_that_a_killed_process_had_begun_is_cut_off_and_kept_aside(
    real: dict[str, bytes], tmp_path: Path
) -> None:
    data = real[files.OPEN]
    end = extents(data)[-1][1]
    torn = data[: end + 8] + b"payload without a length" + data[end + 32 :]
    directory = laid(tmp_path / "l", files.OPEN, torn)
    whole, missing = rows_of(directory)
    assert not missing.places
    SegmentLedger(directory).close()
    assert (directory / "w0-00000001.seg").stat().st_size == end + MARK_BYTES
    assert b"payload without" in (directory / f"w0-00000001.at-{end}.damaged").read_bytes()
    assert rows_of(directory)[0] == whole


def test_damage_that_finds_no_room_aside_is_not_cut(
    real: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "ASIDE_BYTES_MAX", 4)
    data = real[files.OPEN]
    end = extents(data)[-1][1]
    directory = laid(tmp_path / "l", files.OPEN, data[: end + 8] + b"torn" + data[end + 12 :])
    SegmentLedger(directory).close()
    kept = (directory / "w0-00000001.seg").read_bytes()[end:-MARK_BYTES]
    assert kept.rstrip(b"\0") == bytes(8) + b"torn"
    assert not list(directory.glob("*.damaged"))


def test_an_older_request_is_found_behind_the_damage(real: dict[str, bytes], tmp_path: Path) -> None:
    data = real[files.SEALED]
    directory = laid(tmp_path / "l", files.SEALED, b"\xff" * 64 + data[64:])  # the head is gone
    found = find(directory, receipt(700).request_id)
    assert isinstance(found, Receipt) and found == receipt(700)


@pytest.mark.parametrize("length", [0, 1, 65_535, 65_536, 65_537, 200_000])
@pytest.mark.parametrize("zeros", [0, 1, 65_535, 65_536, 200_000])
def test_where_the_zeros_begin(length: int, zeros: int) -> None:
    data = b"x" * length + bytes(zeros)
    assert filled(data, 0) == length
    assert filled(data, len(data)) == len(data)
    assert filled(data, length // 2) == length


def test_report_and_explain_say_what_is_missing_and_where(real: dict[str, bytes], tmp_path: Path) -> None:
    data = real[files.SEALED]
    places = extents(data)
    rows = [msgspec.msgpack.decode(payload) for _, payload in frames(data)][1:]
    at = max(
        number for number, row in enumerate(rows) if row[0] == 2 and row[1][0] == receipt(400).request_id
    )
    start, end = places[at + 1]
    directory = laid(tmp_path / "l", files.SEALED, flipped(data, [(start + 30) * 8]))
    env = {"FARTHING__STATE_DIR": str(tmp_path / "state"), "COLUMNS": "200"}
    said = f"1 row is missing, {end - start:,} bytes damaged: w0-00000001.seg at byte {start:,}"

    def ran(*words: str) -> str:
        done = CliRunner().invoke(cli, [*words, "--ledger", str(directory)], env=env)
        return " ".join(f"{done.output} {done.exception or ''}".split())

    assert f"damaged ledger: {said}" in ran("report", "--since", "all")
    place = {
        "segment": "w0-00000001.seg",
        "at_byte": start,
        "bytes": end - start,
        "rows": 1,
        "at_least": False,
    }
    missing = {"rows": 1, "at_least": False, "bytes": end - start, "places": [place], "places_more": 0}
    told = ran("report", "--since", "all", "--json")
    assert json.loads(told[told.index('{"since') :])["missing"] == missing
    assert said in ran("explain", receipt(399).request_id)
    told = ran("explain", receipt(400).request_id, "--json")  # its intent is still there
    found = json.loads(told[told.index('{"outcome') :])
    assert (found["outcome"], found["missing"]) == ("unknown", missing)
    assert f"the receipt is lost. {said}" in ran("explain", receipt(400).request_id)
    assert f"it may be in the damaged part: {said}" in ran("explain", "req_ffffffff")


def test_damage_under_a_living_writer_costs_one_row_and_what_is_written_meanwhile_is_read(
    tmp_path: Path,
) -> None:
    book = SegmentLedger(tmp_path, LedgerConfig(segment_bytes=1_048_576))
    for number in range(50):
        book.record(receipt(number))
    (path,) = (one for one in files.segment_paths(tmp_path) if one.stem.endswith("-00000001"))
    start, _ = rows_at(path.read_bytes())[20]
    with path.open("r+b") as file:
        file.seek(start + 20)
        (byte,) = file.read(1)
        file.seek(start + 20)
        file.write(bytes([byte ^ 4]))
    missing = Missing()
    rows = read_all(tmp_path, missing=missing)
    got = [next(rows).request_id for _ in range(5)]
    for number in range(50, 60):
        book.record(receipt(number))
    got += [row.request_id for row in rows]
    book.close()
    assert got[:49] == [receipt(number).request_id for number in range(50) if number != 20]
    assert (missing.rows, missing.at_least, len(missing.places)) == (1, False, 1)
    assert len(rows_of(tmp_path)[0]) == 59
