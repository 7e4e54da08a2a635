"""Searching 10^3 to 10^6 vectors: `python -m benchmarks.vector_index [--size-max N] [--build-s-max S]`.

Prints JSON: for each size the CPU of a search (one thread, five neighbours), how often the nearest and the
five nearest are those of an exact comparison of the original float vectors, bytes an entry, and what building
took. Three kinds of questions: `near` (a stored vector, altered to a cosine of about .86: what a cache is
for), `apart` (another vector of the same clusters) and, in a table of its own, vectors of independent random
numbers, which is the worst case and like no text. Building stops at the first size that `--build-s-max` does
not reach.

`tiny` is the memory of many partitions with a few entries each.
"""

import argparse
import gc
import json
import statistics
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import machine
from farthing.stores.vector.codes import encode
from farthing.stores.vector.exact import ExactIndex
from farthing.stores.vector.partitions import PartitionedIndex
from farthing.stores.vector.usearch import EXPANSION_SEARCH, UsearchIndex

Rows = NDArray[np.float32]
DIMS = 384
CLUSTERS = 2_000
WITHIN = 12  # directions in which the members of a cluster differ
SIZES = (1_000, 2_000, 5_000, 10_000, 100_000, 300_000, 1_000_000)
EXACT_SIZES = (10, 100, 1_000, 2_000, 4_000)
QUESTIONS = 200
EXPANSIONS = (24, 32, 48, 64)


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


def nearest(rows: Rows, questions: Rows) -> tuple[NDArray[np.int64], float]:
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


def searched(search: Callable[[Any, int], Sequence[tuple[int, float]]], rows: Rows, asked: Rows) -> Any:
    truth, cosine = nearest(rows, asked)
    rounds = []
    for _ in range(5):
        began_s = time.thread_time()
        found = [search(question, 5) for question in asked]
        rounds.append((time.thread_time() - began_s) / len(asked) * 1e6)
    first = [int(bool(each) and each[0][0] == truth[i, 0]) for i, each in enumerate(found)]
    five = [len({key for key, _ in each} & set(truth[i].tolist())) / 5 for i, each in enumerate(found)]
    return {
        "cpu_us": round(statistics.median(rounds), 1),
        "recall_at_1": round(statistics.mean(first), 4),
        "recall_at_5": round(statistics.mean(five), 4),
        "cosine_of_nearest": round(cosine, 3),
    }


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def graph(
    rows: Rows, sizes: Sequence[int], build_s_max: float, expansions: Sequence[int], apart: Rows
) -> Any:
    """One graph grown from size to size."""
    index = UsearchIndex(DIMS)
    built, cpu_s, results = 0, 0.0, []
    gc.collect()
    added = 0
    for size in sizes:
        while built < size:
            end = min(built + 2_000, size)
            codes = np.stack([encode(row, DIMS) for row in rows[built:end]])
            was = resident_bytes()
            began_s = time.thread_time()
            index.put_all(range(built, end), codes)
            cpu_s += time.thread_time() - began_s
            added += resident_bytes() - was
            built = end
            if cpu_s > build_s_max:
                break
        if built < size:
            break
        stored = rows[:size]
        row: dict[str, Any] = {
            "size": size,
            "build_cpu_s": round(cpu_s, 1),
            "add_cpu_us": round(cpu_s / size * 1e6, 1),
            "resident_bytes_per_entry": round(added / size),
            "bytes_used_per_entry": round(index.bytes_used / size),
        }
        for name, asked in (("near", near(stored)), ("apart", apart)):
            row[name] = searched(index.search, stored, asked)
            row[name]["by_expansion"] = {}
            for expansion in expansions:
                index._index.expansion_search = expansion
                row[name]["by_expansion"][expansion] = searched(index.search, stored, asked)
            index._index.expansion_search = EXPANSION_SEARCH
        results.append(row)
    return {"sizes": results}


def growing(size_max: int) -> dict[int, float]:
    """Milliseconds of making room at each size where a graph does; the width of a vector plays no part."""
    index, rng = UsearchIndex(8), np.random.default_rng(0)
    built, taken_ms = 0, {}
    while built < size_max:
        room = int(index._index.capacity) - built
        end = min(built + 4_096, built + room if room > 0 else size_max)
        index.put_all(range(built, end), rng.integers(-127, 128, (end - built, 8), dtype=np.int8))
        built = end
        if index.grows_next:
            began_s = time.thread_time()
            index.grow()
            taken_ms[built] = round((time.thread_time() - began_s) * 1e3, 2)
    return taken_ms


def exact(rows: Rows) -> list[Any]:
    results = []
    for size in EXACT_SIZES:
        index = ExactIndex(DIMS)
        for key, row in enumerate(rows[:size]):
            index.add(key, row)
        found = searched(index.search, rows[:size], near(rows[:size]))
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
    parser.add_argument("--build-s-max", type=float, default=360.0)
    parser.add_argument("--only-growing", action="store_true", help="only how long making room takes")
    chosen = parser.parse_args()
    if chosen.only_growing:
        print(json.dumps({**machine(), "growing_ms": growing(chosen.size_max)}, indent=2))
        return
    clusters = Clusters()
    sizes = [size for size in SIZES if size <= chosen.size_max]
    small = clusters.draw(10_000, 5)
    result: dict[str, Any] = {**machine(), "dims": DIMS, "questions": QUESTIONS}
    result["tiny"] = [tiny(small, 20_000, 1), tiny(small, 4_000, 10), tiny(small, 100, 1_000)]
    result["exact"] = exact(small)
    rows = clusters.draw(sizes[-1], 1)
    result["graph"] = graph(rows, sizes, chosen.build_s_max, EXPANSIONS, clusters.draw(QUESTIONS, 2))
    del rows
    result["growing_ms"] = growing(chosen.size_max)
    random = unit(np.random.default_rng(0).standard_normal((10_000, DIMS), dtype=np.float32))
    others = unit(np.random.default_rng(1).standard_normal((QUESTIONS, DIMS), dtype=np.float32))
    result["graph_of_random_vectors"] = graph(random, (1_000, 10_000), 60.0, (), others)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
