"""Searching 10^3 to 10^6 vectors: `python -m benchmarks.vector_index [--size-max N]`.

Prints JSON: for each size the CPU of a search (one thread, five neighbours; the median of rounds over other
questions each), how often the nearest and the five nearest are those of an exact comparison of the original
float vectors, bytes an entry, what building took, and the longest step of it, which is what holds the event
loop. Three kinds of questions: `near` (a stored vector, altered to a cosine of about .86: what a cache is
for), `apart` (another vector of the same clusters) and, in a table of its own, vectors of independent random
numbers, which is the worst case and like no text. `by_scan` has other numbers of vectors looked at.

`tiny` is the memory of many partitions with a few entries each, `file` what saving and reading the index
costs and how long the loop was held meanwhile, `start` a start of the semantic cache without and with that
file.
"""

import argparse
import asyncio
import gc
import json
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import machine
from farthing.brain.cache.semantic.store.entries_file import EntryStore
from farthing.brain.cache.semantic.store.index_file import EntryIndex
from farthing.brain.cache.semantic.store.tables import INSERT
from farthing.brain.cache.semantic.store.vector_codec import narrowed
from farthing.stores.vector.lists import SCAN_ROWS, ListedIndex
from farthing.stores.vector.partitions import PartitionedIndex

Rows = NDArray[np.float32]
Truth = tuple[NDArray[np.int64], float]
DIMS = 384
CLUSTERS = 2_000
WITHIN = 12  # directions in which the members of a cluster differ
SIZES = (1_000, 2_000, 5_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
EXACT_SIZES = (10, 100)
QUESTIONS = 400
ROUNDS = 5
SCANS = (4_096, 6_144)
START_ROWS = 100_000
TICK_S = 0.0005


def unit(rows: Rows) -> Rows:
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


class Clusters:
    """Vectors like those of short texts: many subjects, and within each a few ways to differ."""

    def __init__(self) -> None:
        rng = np.random.default_rng(7)
        self._centres = unit(rng.standard_normal((CLUSTERS, DIMS), dtype=np.float32))
        ways = rng.standard_normal((CLUSTERS, WITHIN, DIMS), dtype=np.float32)
        self._ways = ways * np.float32(0.25 / DIMS**0.5)

    def draw(self, count: int, seed: int) -> Rows:
        rng = np.random.default_rng(seed)
        members = np.sort(rng.integers(0, CLUSTERS, count))
        rows = rng.standard_normal((count, DIMS), dtype=np.float32)
        rows *= np.float32(0.01)
        ends = np.searchsorted(members, np.arange(CLUSTERS + 1))
        for cluster in range(CLUSTERS):
            start, end = ends[cluster], ends[cluster + 1]
            amounts = rng.standard_normal((end - start, WITHIN), dtype=np.float32)
            rows[start:end] += self._centres[cluster] + amounts @ self._ways[cluster]
        return unit(rows[rng.permutation(count)])


def near(rows: Rows, seed: int = 3) -> Rows:
    rng = np.random.default_rng(seed)
    chosen = rows[rng.integers(0, len(rows), QUESTIONS)]
    return unit(chosen + rng.standard_normal(chosen.shape, dtype=np.float32) * np.float32(0.03))


def nearest(rows: Rows, questions: Rows) -> Truth:
    """The five nearest rows of each question, and the mean cosine of the first."""
    places = np.zeros((len(questions), 0), np.int64)
    cosines = np.zeros((len(questions), 0), np.float32)
    for start in range(0, len(rows), 50_000):
        part = questions @ rows[start : start + 50_000].T
        best = np.argsort(-part, axis=1)[:, :5]
        places = np.hstack([places, best + start])
        cosines = np.hstack([cosines, np.take_along_axis(part, best, axis=1)])
    order = np.argsort(-cosines, axis=1)[:, :5]
    return np.take_along_axis(places, order, axis=1), float(
        np.take_along_axis(cosines, order, 1)[:, 0].mean()
    )


def searched(search: Callable[[Any, int], Sequence[tuple[int, float]]], asked: Rows, right: Truth) -> Any:
    truth, cosine = right
    rounds = []
    for _ in range(ROUNDS):
        began_s = time.thread_time()
        found = [search(question, 5) for question in asked]
        rounds.append((time.thread_time() - began_s) / len(asked) * 1e6)
    first = [int(bool(each) and each[0][0] == truth[i, 0]) for i, each in enumerate(found)]
    five = [len({key for key, _ in each} & set(truth[i].tolist())) / 5 for i, each in enumerate(found)]
    return {
        "cpu_us": round(statistics.median(rounds), 1),
        "cpu_us_least": round(min(rounds), 1),
        "recall_at_1": round(statistics.mean(first), 4),
        "recall_at_5": round(statistics.mean(five), 4),
        "cosine_of_nearest": round(cosine, 3),
    }


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


class Steps:
    """CPU of single steps on the loop, in milliseconds: the longest, and how many took over 1 and 2."""

    def __init__(self) -> None:
        self.longest_ms = 0.0
        self.over_1_ms = self.over_2_ms = 0
        self.cpu_s = 0.0

    def add(self, cpu_s: float) -> None:
        self.cpu_s += cpu_s
        self.longest_ms = max(self.longest_ms, cpu_s * 1e3)
        self.over_1_ms += cpu_s > 1e-3
        self.over_2_ms += cpu_s > 2e-3

    def told(self) -> dict[str, object]:
        return {
            "longest_ms": round(self.longest_ms, 2),
            "over_1_ms": self.over_1_ms,
            "over_2_ms": self.over_2_ms,
        }


def lists(
    rows: Rows, sizes: Sequence[int], scans: Sequence[int], apart: Rows
) -> tuple[Any, PartitionedIndex]:
    """One partition grown from size to size, a vector at a time."""
    whole = PartitionedIndex(DIMS, name="benchmark")
    built, added, cpu_s, results = 0, 0, 0.0, []
    gc.collect()
    for size in sizes:
        steps = Steps()
        was = resident_bytes()
        while built < size:
            began_s = time.thread_time()
            whole.add(b"p", built, rows[built])
            steps.add(time.thread_time() - began_s)
            built += 1
        added += resident_bytes() - was
        cpu_s += steps.cpu_s
        index, stored = whole._partitions.get(b"p"), rows[:size]
        assert index is not None
        row: dict[str, Any] = {
            "size": size,
            "lists": len(index.lists()),
            "build_cpu_s": round(cpu_s, 2),
            "add_cpu_us": round(cpu_s / size * 1e6, 1),
            "steps_of_adding": steps.told(),
            "resident_bytes_per_entry": round(added / size),
            "bytes_used_per_entry": round(whole.bytes_used / size),
        }
        for name, asked in (("near", near(stored)), ("apart", apart)):
            right = nearest(stored, asked)
            row[name] = searched(index.search, asked, right)
            row[name]["by_scan"] = {}
            for scan in scans:
                index._scan = scan
                row[name]["by_scan"][scan] = searched(index.search, asked, right)
            index._scan = SCAN_ROWS
        results.append(row)
    return {"sizes": results}, whole


def removing(index: PartitionedIndex, count: int) -> dict[str, object]:
    """Every so manieth of all that is there, so many in all."""
    steps, size = Steps(), len(index)
    for key in range(0, size, max(1, size // count)):
        began_s = time.thread_time()
        index.remove(b"p", key)
        steps.add(time.thread_time() - began_s)
    return steps.told()


async def lag(work: Callable[[], Any]) -> tuple[Any, dict[str, object]]:
    """What `work` gives, what it took, and how late a timer of 0.5 ms was meanwhile: by the clock,
    where whatever else the machine does is in it, and the most that the loop computed between two timers."""
    late_ms: list[float] = []
    computed_ms: list[float] = []

    async def tick() -> None:
        while True:
            last_s, last_cpu_s = time.perf_counter(), time.thread_time()
            await asyncio.sleep(TICK_S)
            late_ms.append((time.perf_counter() - last_s - TICK_S) * 1e3)
            computed_ms.append((time.thread_time() - last_cpu_s) * 1e3)

    ticking = asyncio.create_task(tick())
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    done = await work()
    took = {
        "s": round(time.perf_counter() - began_s, 2),
        "cpu_s": round(time.process_time() - began_cpu_s, 2),
    }
    ticking.cancel()
    late_ms.sort()
    loop = {
        "late_ms_longest": round(late_ms[-1], 2),
        "late_ms_p99": round(late_ms[len(late_ms) * 99 // 100], 2),
        "computed_ms_longest": round(max(computed_ms), 2),
        "timers": len(late_ms),
    }
    return done, {**took, **loop}


async def file(index: PartitionedIndex) -> dict[str, object]:
    """All of it saved and read; `cpu_s` has the turns of the loop, which never waits here."""
    size = len(index)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index"
        _, saving = await lag(lambda: index.save(path, stamp="s"))
        other = PartitionedIndex(DIMS, name="benchmark")
        live = np.arange(size, dtype=np.int64)
        missing, reading = await lag(lambda: other.restore(path, stamp="s", live=live))
        assert not len(missing) and len(other) == size
        return {"size": size, "file_bytes": path.stat().st_size, "saving": saving, "reading": reading}


async def start(rows: Rows) -> dict[str, object]:
    """Filling the index of the semantic cache from its file of entries, of 1 KB and more each."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "semantic.db"
        entry_store = EntryStore(path, entries_max=10**7, bytes_max=10**11)
        texts = ["endpoint", "tenant", "en", "target", "policy", "benchmark", "", "[]", "[]"]
        later_s = time.time() + 1e6
        values = [
            (
                b"p" * 32,
                f"{n}",
                f"{n}",
                narrowed(row),
                b"a" * 900,
                *texts,
                1,
                2_000,
                0.0,
                later_s,
                "",
                "",
                1.0,
            )
            for n, row in enumerate(rows)
        ]

        def fill(db: Any) -> None:
            with db:
                db.executemany(INSERT, values)

        await entry_store.run(fill)
        result: dict[str, object] = {"entries": len(rows)}
        for name in ("from_rows", "from_file"):
            index = PartitionedIndex(DIMS, name="benchmark")
            kept = EntryIndex(entry_store, index, "benchmark")
            count, result[name] = await lag(kept.load)
            assert count == len(rows)
            await kept.save()
        await entry_store.aclose()
        return result


def exact(rows: Rows) -> list[Any]:
    results = []
    for size in EXACT_SIZES:
        index = ListedIndex(DIMS)
        for key, row in enumerate(rows[:size]):
            index.add(key, row)
        asked = near(rows[:size])
        found = searched(index.search, asked, nearest(rows[:size], asked))
        results.append({"size": size, "bytes_per_entry": round(index.bytes_used / size), **found})
    return results


def tiny(rows: Rows, partitions: int, each: int) -> dict[str, object]:
    tracemalloc.start()
    index = PartitionedIndex(DIMS, name="benchmark")
    for number in range(partitions):
        for key in range(each):
            index.add(number.to_bytes(32, "little"), key, rows[(number + key) % len(rows)])
    entries = partitions * each
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    began_s = time.thread_time()
    for number in range(2_000):
        index.search(number.to_bytes(32, "little"), rows[number], 5)
    return {
        "partitions": partitions,
        "entries_each": each,
        "allocated_bytes_per_entry": round(taken / entries),
        "bytes_used_per_entry": round(index.bytes_used / entries),
        "search_cpu_us": round((time.thread_time() - began_s) / 2_000 * 1e6, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size-max", type=int, default=100_000)
    chosen = parser.parse_args()
    clusters = Clusters()
    sizes = [size for size in SIZES if size <= chosen.size_max]
    small = clusters.draw(10_000, 5)
    gc.collect()
    gc.freeze()  # as the gateway does
    result: dict[str, Any] = {**machine(), "dims": DIMS, "questions": QUESTIONS}
    result["tiny"] = [tiny(small, 20_000, 1), tiny(small, 4_000, 10), tiny(small, 100, 1_000)]
    result["small"] = exact(small)
    rows = clusters.draw(sizes[-1], 1)
    result["lists"], index = lists(rows, sizes, SCANS, clusters.draw(QUESTIONS, 2))
    result["file"] = asyncio.run(file(index))
    result["steps_of_removing"] = removing(index, 20_000)
    del index
    result["start"] = asyncio.run(start(rows[:START_ROWS]))
    del rows
    random = unit(np.random.default_rng(0).standard_normal((10_000, DIMS), dtype=np.float32))
    others = unit(np.random.default_rng(1).standard_normal((QUESTIONS, DIMS), dtype=np.float32))
    result["lists_of_random_vectors"], _ = lists(random, (1_000, 10_000), (), others)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
