"""The pictures of the documentation, drawn from results that other commands printed. No figure stands here.

python -m benchmarks.pictures            docs/pictures/*.svg from benchmarks/results/{demo,compare}.json
python -m benchmarks.pictures --demo     the same, after `farthing demo` was run for a new demo.json
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable
from math import log10
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from benchmarks.machine import machine
from farthing.demo.upstream import TIERS

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PICTURES = HERE.parent / "docs" / "pictures"
NUSD_PER_USD = 1_000_000_000

WIDTH = 760
MARGIN = 24
INK, QUIET, PAPER, RULE = "#1f2430", "#5b6372", "#ffffff", "#d5d9e0"
PAID = "#b3541e"
PARTS = {"routing": "#2f6f9f", "exact cache": "#2e8b6f", "semantic cache": "#7a5ea8", "no model": "#8a8f3c"}
NAMES = {
    "nginx": "nginx, a bare proxy",
    "farthing": "Farthing",
    "tensorzero": "TensorZero",
    "portkey": "Portkey",
    "litellm": "LiteLLM",
}


def savings(demo: dict[str, Any]) -> dict[str, float]:
    """US dollars: what was paid, and what each part saved, the largest first."""
    told = demo["report"]["savings"]
    parts = told["parts"]
    similar = sum(cell["saved_nusd"] or 0 for cell in demo["report"]["semantic"])
    saved = {
        "routing": parts["routing_nusd"] + parts["jobs_nusd"],
        "exact cache": parts["cache_nusd"] - similar,
        "semantic cache": similar,
        "no model": parts["no_llm_nusd"],
    }
    ordered = sorted(saved.items(), key=lambda one: -one[1])
    return {name: nusd / NUSD_PER_USD for name, nusd in [("paid", told["cost_nusd"]), *ordered]}


def savings_picture(demo: dict[str, Any]) -> str:
    """One bar: what sending everything to the dear model would have cost, and where it went."""
    dollars = savings(demo)
    whole = sum(dollars.values())
    saved = demo["report"]["savings"]["saved_share"]
    prices = " and ".join(f"${tier.input_usd} in, ${tier.output_usd} out" for tier in TIERS.values())
    count = f"{demo['requests']:,}"
    about = f"{count} questions to a support desk; two simulated models ({prices} per million tokens)."
    drawn = [
        _text(
            MARGIN,
            40,
            f"${dollars['paid']:.2f} instead of ${whole:.2f}: {saved:.0%} saved",
            size=22,
            bold=True,
        ),
        _text(MARGIN, 64, about, fill=QUIET),
        _text(MARGIN, 82, "Shares are arithmetic over what happened; the dollars are no bill.", fill=QUIET),
    ]
    room = WIDTH - 2 * MARGIN
    x = float(MARGIN)
    for place, (name, usd) in enumerate(dollars.items()):
        width = room * usd / whole
        colour = PAID if name == "paid" else PARTS[name]
        drawn.append(
            f'<rect x="{x:.1f}" y="100" width="{max(width - 1, 1):.1f}" height="44" fill="{colour}"/>'
        )
        x += width
        column, row = MARGIN + (place % 3) * 240, 172 + (place // 3) * 24
        label = f"{'still paid' if name == 'paid' else name}: ${usd:.2f}, {usd / whole:.1%}"
        drawn.append(f'<rect x="{column}" y="{row - 11}" width="12" height="12" fill="{colour}"/>')
        drawn.append(_text(column + 20, row, label))
    return _svg(220, drawn, title=savings_words(demo))


def savings_words(demo: dict[str, Any]) -> str:
    """The savings picture for who does not see it."""
    dollars = savings(demo)
    paid, whole = dollars.pop("paid"), sum(dollars.values())
    parts = ", ".join(f"{name} ${usd:.2f}" for name, usd in dollars.items())
    cost = f"${paid:.2f} instead of ${paid + whole:.2f}"
    return f"{demo['requests']:,} requests to simulated models cost {cost}; saved by {parts}"


def overhead_picture(compare: dict[str, Any]) -> str:
    """CPU for each request, a bar for each gateway, on a logarithmic scale."""
    took = {name: row["cpu_us_per_request"] for name, row in compare["medians"].items() if name in NAMES}
    drawn = [
        _text(MARGIN, 40, "CPU time that each request costs in the gateway", size=22, bold=True),
        _text(MARGIN, 64, "Microseconds, medians of one run on one machine; logarithmic scale.", fill=QUIET),
    ]
    left, room = 180, WIDTH - 180 - 110
    most = log10(max(took.values()))
    for place, (name, us) in enumerate(sorted(took.items(), key=lambda one: one[1])):
        y = 88 + place * 32
        width = room * log10(us) / most
        colour = PAID if name == "farthing" else "#8793a3"
        drawn.append(_text(MARGIN, y + 15, NAMES[name], bold=name == "farthing"))
        drawn.append(f'<rect x="{left}" y="{y}" width="{width:.1f}" height="20" fill="{colour}"/>')
        drawn.append(_text(left + width + 8, y + 15, f"{us:,.0f}", bold=name == "farthing"))
    return _svg(88 + len(took) * 32 + 12, drawn, title=overhead_words(compare))


def overhead_words(compare: dict[str, Any]) -> str:
    """The overhead picture for who does not see it."""
    took = {name: row["cpu_us_per_request"] for name, row in compare["medians"].items() if name in NAMES}
    ordered = sorted(took.items(), key=lambda one: one[1])
    return "CPU microseconds per request: " + ", ".join(f"{NAMES[name]} {us:,.0f}" for name, us in ordered)


def _text(x: float, y: float, words: str, *, size: int = 14, bold: bool = False, fill: str = INK) -> str:
    weight = ' font-weight="600"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}"{weight}>{escape(words)}</text>'


def _svg(height: int, drawn: Iterable[str], *, title: str) -> str:
    rows = "\n".join(f"  {one}" for one in drawn)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img" font-family="system-ui, -apple-system, Segoe UI, sans-serif">\n'
        f"  <title>{escape(title)}</title>\n"
        f'  <rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8" fill="{PAPER}" '
        f'stroke="{RULE}"/>\n{rows}\n</svg>\n'
    )


def pictures(results: Path = RESULTS) -> dict[str, str]:
    """File names and what is in them."""
    demo = json.loads((results / "demo.json").read_text())
    compare = json.loads((results / "compare.json").read_text())
    return {"savings.svg": savings_picture(demo), "overhead.svg": overhead_picture(compare)}


def run_demo() -> dict[str, Any]:
    """What `farthing demo` comes to on this machine, and which one that is.

    Raises:
        RuntimeError: an answer was wrong, or the sums do not agree.
    """
    done = subprocess.run(
        [sys.executable, "-m", "farthing", "demo", "--json"], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"farthing demo left with status {done.returncode}")
    told = json.loads(done.stdout)
    return {"machine": machine(), **told}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--demo", action="store_true", help="run the demo anew first")
    if parser.parse_args().demo:
        (RESULTS / "demo.json").write_text(json.dumps(run_demo(), indent=1) + "\n")
    PICTURES.mkdir(exist_ok=True)
    for name, text in pictures().items():
        (PICTURES / name).write_text(text)
        print(PICTURES / name)


if __name__ == "__main__":
    main()
