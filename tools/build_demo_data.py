"""Make the data of `farthing demo` from its two public sources.

    python tools/build_demo_data.py BANKING77_TRAIN.csv AZURE_TRACE_CONV.csv

The first is `banking_data/train.csv` of PolyAI-LDN/task-specific-datasets, the second
`data/AzureLLMInferenceTrace_conv.csv` of Azure/AzurePublicDataset; both are CC-BY-4.0. What was changed is
said in src/farthing/data/BANKING77.md. The same input gives the same bytes.
"""

import csv
import random
import sys
from collections import defaultdict
from datetime import datetime
from pathlib import Path

QUESTIONS = 3_000
ARRIVALS = 4_000
SEED = 77
DATA = Path(__file__).parents[1] / "src" / "farthing" / "data"


def questions(source: Path) -> list[tuple[str, str]]:
    """(category, text), the same share of every category, each text once, in the order of the source."""
    with source.open(encoding="utf-8", newline="") as file:
        rows = [
            (row["category"].strip("?").lower(), " ".join(row["text"].split()))
            for row in csv.DictReader(file)
        ]
    by_category: dict[str, list[int]] = defaultdict(list)
    seen: set[str] = set()
    for index, (category, text) in enumerate(rows):
        if text not in seen:
            seen.add(text)
            by_category[category].append(index)
    draw = random.Random(SEED)
    share = QUESTIONS / sum(map(len, by_category.values()))
    kept = [i for ids in by_category.values() for i in draw.sample(ids, round(len(ids) * share))]
    return [rows[i] for i in sorted(kept)]


def arrivals(source: Path) -> list[tuple[int, int, int]]:
    """(milliseconds since the first, context tokens, generated tokens) of the first `ARRIVALS` requests."""
    with source.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[:ARRIVALS]
    times = [datetime.fromisoformat(row["TIMESTAMP"][:26]) for row in rows]
    return [
        (
            round((at - times[0]).total_seconds() * 1000),
            int(row["ContextTokens"]),
            int(row["GeneratedTokens"]),
        )
        for at, row in zip(times, rows, strict=True)
    ]


def main() -> None:
    banking, trace = map(Path, sys.argv[1:])
    with (DATA / "banking77.tsv").open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{category}\t{text}\n" for category, text in questions(banking))
    with (DATA / "azure_conv.csv").open("w", encoding="utf-8", newline="\n") as file:
        file.write("offset_ms,context_tokens,generated_tokens\n")
        file.writelines(f"{at_ms},{context},{generated}\n" for at_ms, context, generated in arrivals(trace))


if __name__ == "__main__":
    main()
