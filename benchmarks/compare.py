"""Farthing beside its peers, in one run of the side-by-side bench: CPU, latency, start, memory.

    python -m benchmarks.compare --bench ../shared/bench nginx farthing litellm --rounds 3

Runs the bench's own `bench.py`, which pins each gateway to one core and the load generator with its mock
provider to the other, round by round, and writes its rows with the medians to
`benchmarks/results/compare.json`. The peers must have been installed by the bench's `setup_peers.sh`.
Quote ratios to nginx; differences under 30 % are ties.
"""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.machine import machine

HERE = Path(__file__).parent
FIGURES = {
    "cpu_us_per_request": ("sat", "cpu_us"),
    "requests_per_s": ("sat", "rps"),
    "cpu_us_per_stream_burst": ("burst", "cpu_us"),
    "cpu_us_per_stream_paced": ("paced", "cpu_us"),
    "ttfc_p50_us": ("paced", "ttfc_p50_us"),
    "p50_us_at_100_rps": ("low", "p50_us"),
    "p99_us_at_100_rps": ("low", "p99_us"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", help="targets of the bench, `farthing` among them")
    parser.add_argument("--bench", type=Path, default=Path("../shared/bench"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--secs", type=float, default=3.0)
    parser.add_argument("--phases", default="sat,low,burst,paced")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "compare.json")
    asked = parser.parse_args()
    if not (asked.bench / "bench.py").is_file():
        sys.exit(f"{asked.bench}/bench.py is not there: give --bench")
    rows = run(asked)
    result = {"machine": machine(), "rounds": asked.rounds, "medians": medians(rows), "rows": rows}
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result["medians"]))


def run(asked: argparse.Namespace) -> list[dict[str, Any]]:
    """The bench's rows, one for each target and round."""
    serve = [
        sys.executable,
        "-m",
        "farthing",
        "serve",
        "--config",
        str(HERE / "gateway.toml"),
        "--port",
        "{port}",
    ]
    env = os.environ | {
        "FARTHING_CMD": os.environ.get("FARTHING_CMD") or shlex.join(serve),
        "FARTHING_HEADERS": "Authorization: Bearer sk-bench",
    }
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "rows.jsonl"
        words = [sys.executable, "bench.py", "run", *asked.names, "--rounds", str(asked.rounds)]
        words += ["--secs", str(asked.secs), "--phases", asked.phases, "--out", str(out)]
        subprocess.run(words, cwd=asked.bench, env=env, check=True, stdout=sys.stderr)
        return [json.loads(line) for line in out.read_text().splitlines()]


def medians(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for name in dict.fromkeys(row["name"] for row in rows):
        mine = [row for row in rows if row["name"] == name]
        figures = {
            figure: statistics.median(row[phase][key] for row in mine if row.get(phase))
            for figure, (phase, key) in FIGURES.items()
            if any(row.get(phase) for row in mine)
        }
        figures["rss_mib"] = statistics.median(row["rss_after"] for row in mine)
        figures["first_answer_s"] = statistics.median(row["cold_s"] for row in mine)
        figures["errors"] = sum(
            phase["err"] + phase["bad_status"]
            for row in mine
            for phase in row.values()
            if isinstance(phase, dict)
        )
        found[name] = figures
    return found


def table(found: dict[str, dict[str, float]]) -> str:
    """The medians as a Markdown table, with each CPU figure as a ratio to nginx where it ran."""
    base = found.get("nginx")
    lines = ["| | " + " | ".join(found) + " |", "|---|" + "---|" * len(found)]
    for figure in (*FIGURES, "rss_mib", "first_answer_s", "errors"):
        cells = []
        for figures in found.values():
            value = figures.get(figure)
            cell = "-" if value is None else f"{value:,.0f}" if value >= 10 else f"{value:.2f}"
            if value is not None and base and figure.startswith("cpu") and figures is not base:
                cell += f" ({value / base[figure]:.1f}x)"
            cells.append(cell)
        lines.append(f"| {figure} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
