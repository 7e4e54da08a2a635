"""Does anything cross a scope? `python -m benchmarks.semantic_isolation [--probes N] [--json]`.

`cast`: every turn of TREC CAsT 2019 is kept under its own history, then its very words are asked under the
histories of other conversations, and of other turns of its own. A proposal of any similarity counts as a hit;
none may come. Asked again under its own history, it must be found.

`probes`: random questions in random scopes of many tenants, after a third of the scopes got an answer that
names its scope. Reads the conversations from FARTHING_DATA (default ../shared/data).
"""

import argparse
import asyncio
import gzip
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.semantic import SharedWords, Tally, in_english, question, receipt, said
from tests.unit.brain.cache.semantic.test_semantic_isolation import probed

from benchmarks.machine import machine
from farthing.brain.cache.semantic.cache import Limits, SemanticAnswers
from farthing.brain.cache.semantic.scope import Scopes
from farthing.brain.cache.semantic.store.entries_file import EntryStore
from farthing.brain.cache.semantic.store.state import SemanticCacheState
from farthing.models.embed.onnx import OnnxEmbedder
from farthing.stores.vector.partitions import PartitionedIndex
from farthing.types import Request

DATA = Path(os.environ.get("FARTHING_DATA", "../shared/data"))
CAST = DATA / "cache" / "trec_cast_2019_multiturn.jsonl.gz"
OTHER_HISTORIES = 20  # of each turn


def turns() -> list[dict[str, Any]]:
    if not CAST.is_file():
        sys.exit(f"the conversations are not at {CAST}: set FARTHING_DATA")
    with gzip.open(CAST, "rt") as lines:
        return [json.loads(line) for line in lines]


def after(history: list[str], text: str) -> Request:
    """The question after a conversation, each turn of which was answered."""
    messages: list[dict[str, str]] = []
    for earlier in history:
        messages += [{"role": "user", "content": earlier}, {"role": "assistant", "content": "I see."}]
    return question(text, body={"model": "auto", "messages": [*messages, {"role": "user", "content": text}]})


async def cast(path: Path) -> dict[str, Any]:
    draw = random.Random(11)
    told = turns()
    embedder = OnnxEmbedder()
    entry_store = EntryStore(path, entries_max=100_000, bytes_max=10**9)
    cache_state = SemanticCacheState(
        entry_store, PartitionedIndex(embedder.dims, name=embedder.name), embedder
    )
    await cache_state.load()
    answers = SemanticAnswers(
        cache_state,
        scopes=Scopes(embedder=embedder.name, language_of=in_english),
        verifier=SharedWords(),
        bound=Tally(),
        limits=Limits(cosine_min=-1.0),
        draw=lambda: 0.5,
    )
    kept, refused = [], 0
    for turn in told:
        request = after(turn["history"], turn["raw"])
        lookup = await answers.lookup(request, receipt())
        if lookup is None:
            refused += 1
            continue
        await answers.store(lookup, request, said(f"Answer {turn['topic']}.{turn['turn']}"), receipt())
        await cache_state.written()
        kept.append(turn)
    found = probes = hits = 0
    for turn in kept:
        own = await answers.lookup(after(turn["history"], turn["raw"]), receipt())
        found += own is not None and own.candidate is not None
        histories = [other["history"] for other in draw.sample(told, OTHER_HISTORIES)]
        for history in histories:
            if history == turn["history"] or any(
                other["history"] == history and other["raw"] == turn["raw"] for other in kept
            ):
                continue
            lookup = await answers.lookup(after([*history, "And then?"], turn["raw"]), receipt())
            probes += 1
            hits += lookup is not None and lookup.candidate is not None
    await cache_state.aclose()
    return {
        "turns": len(told),
        "refused": refused,
        "found_under_own_history": found,
        "kept": len(kept),
        "probes": probes,
        "hits": hits,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--probes", type=int, default=100_000)
    parser.add_argument("--json", action="store_true", help="it prints JSON in any case")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        of_cast = asyncio.run(cast(Path(folder) / "cast.db"))
        began_s = time.monotonic()
        own, crossed = probed(Path(folder) / "probes.db", given.probes)
        of_probes = {
            "probes": given.probes,
            "hits_of_own_scope": own,
            "hits_of_other_scopes": crossed,
            "seconds": round(time.monotonic() - began_s, 1),
        }
    print(json.dumps({"cast": of_cast, "probes": of_probes, "machine": machine()}, indent=2))


if __name__ == "__main__":
    main()
