"""What the ledger costs a request: CPU of `intend`, `record` and `observe`, and of reading back.

    python benchmarks/ledger.py [--rows 20000] [--rounds 5]

Prints one JSON object. `cpu_us` is time of the calling thread alone, the best of the rounds; the fsync
thread's share is in `process_cpu_us`. Rows are paced in bursts that the fsync thread can follow, as
requests are. Meant for an idle machine; never a gate on absolute time.
"""

import argparse
import json
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from farthing.config import LedgerConfig
from farthing.insight.report.report import build
from farthing.ledger.memory import MemoryLedger
from farthing.ledger.metrics import Metrics
from farthing.ledger.read import read
from farthing.ledger.rows import encode_intent, encode_receipt
from farthing.ledger.segments import SegmentLedger
from farthing.types import Attempt, Receipt, Usage

BURST = 2_000  # rows, then a pause; 2,000 rows of 400 bytes leave the next segment time to be allocated
PAUSE_S = 0.06


def receipt(number: int) -> Receipt:
    """One call of a small model: every field that a plain request fills."""
    used = Usage(input_tokens=812, output_tokens=143, cached_tokens=512)
    attempt = Attempt(
        target="openai/gpt-5-mini",
        tier="cheap",
        started_ms=0.11,
        ttft_ms=212.4,
        total_ms=801.2,
        status=200,
        usage=used,
        cost_nusd=361_000,
    )
    return Receipt(
        request_id=f"req_{number:026d}",
        at_unix_s=1_760_000_000.0 + number / 1_000,
        started_s=number / 1_000,
        tenant="acme",
        user="5f1e0c9d2b7a4e11",
        endpoint="support-faq",
        model_asked="auto",
        task_type="qa",
        complexity=0.31,
        risk="low",
        domain="billing",
        language="en",
        tier="cheap",
        target="openai/gpt-5-mini",
        cache="miss",
        route_reason="rule short: input_tokens < 128 and not retrieval",
        usage=used,
        attempts=[attempt],
        calls=1,
        cost_nusd=361_000,
        baseline_nusd=3_130_000,
        baseline_target="anthropic/claude-sonnet-5",
        ttft_ms=212.9,
        total_ms=801.9,
        model_ms=801.2,
        overhead_ms=0.7,
        stage_ms={"guard": 0.004, "classify": 0.021, "cache": 0.009, "route": 0.012},
        stop_reason="stop",
        status=200,
        policy="8d3f2a",
        price_version="2025-10-01",
    )


def measure(call: Callable[[Receipt], object], rows: list[Receipt], rounds: int) -> dict[str, float]:
    """Microseconds of each call: the best round."""
    own_us, process_us, worst_us = [], [], 0.0
    for _ in range(rounds):
        own_s = process_s = 0.0
        for start in range(0, len(rows), BURST):
            burst = rows[start : start + BURST]
            own_from, process_from = time.thread_time(), time.process_time()
            for row in burst:
                call(row)
            own_s += time.thread_time() - own_from
            time.sleep(PAUSE_S)
            process_s += time.process_time() - process_from
        own_us.append(own_s / len(rows) * 1e6)
        process_us.append(process_s / len(rows) * 1e6)
    for row in rows[:BURST]:
        called_s = time.perf_counter()
        call(row)
        worst_us = max(worst_us, (time.perf_counter() - called_s) * 1e6)
    return {
        "cpu_us": round(min(own_us), 3),
        "process_cpu_us": round(min(process_us), 3),
        "longest_us": round(worst_us, 1),
    }


def reading(directory: Path, requests: list[Receipt]) -> dict[str, float]:
    """What a row costs to read, and to read and sum; each request has an intent and a receipt."""
    ledger = SegmentLedger(directory)
    for one in requests:
        ledger.intend(one, one.target)
        ledger.record(one)
    ledger.close()
    from_s = time.process_time()
    rows = sum(1 for _ in read(directory))
    read_s = time.process_time() - from_s
    from_s = time.process_time()
    build(read(directory), since=None, until=2e9)
    report_s = time.process_time() - from_s
    return {
        "rows": rows,
        "read_us_per_row": round(read_s / rows * 1e6, 3),
        "report_us_per_row": round(report_s / rows * 1e6, 3),
    }


def commit() -> str:
    """The commit measured, with `+` where the tree differs from it; empty outside a repository."""
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--abbrev=12"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    )
    return told.stdout.strip()


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--rows", type=int, default=20_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--directory", type=Path, help="where to write; a temporary one by default")
    chosen = options.parse_args()
    rows = [receipt(number) for number in range(chosen.rows)]
    with tempfile.TemporaryDirectory(dir=chosen.directory) as name:
        plain, strict, memory, metrics = (
            SegmentLedger(Path(name) / "plain"),
            SegmentLedger(Path(name) / "strict", LedgerConfig(strict=True)),
            MemoryLedger(),
            Metrics(),
        )
        time.sleep(0.2)
        results = {
            "intend": measure(lambda row: plain.intend(row, "openai/gpt-5-mini"), rows, chosen.rounds),
            "record": measure(plain.record, rows, chosen.rounds),
            "record strict": measure(strict.record, rows[:500], 1),
            "record in memory": measure(memory.record, rows, chosen.rounds),
            "observe": measure(metrics.observe, rows, chosen.rounds),
        }
        plain.close()
        strict.close()
        print(
            json.dumps(
                {
                    "benchmark": "ledger",
                    "commit": commit(),
                    "machine": {
                        "processor": processor(),
                        "cores": os.cpu_count(),
                        "system": platform.platform(),
                        "python": platform.python_version(),
                    },
                    "rows": chosen.rows,
                    "receipt_bytes": len(encode_receipt(rows[0])),
                    "intent_bytes": len(encode_intent(rows[0], "openai/gpt-5-mini")),
                    "results": results,
                    "reading": reading(Path(name) / "reading", rows),
                },
                indent=2,
            )
        )


if __name__ == "__main__":
    main()
