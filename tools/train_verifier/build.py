"""Write the training and held-out pairs: `python build.py --data DIR --model DIR --wordnet DIR --out DIR`."""

import argparse
import json
import random
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from captions import caption_pairs, number_pairs
from encoder import Encoder, embed
from frames import Pair, frame_pairs
from sources import instructions, intent_pairs, intents, rewritten
from wordnet import WordNet

WORDS_MAX = 36


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--data", type=Path, required=True)
    flags.add_argument("--model", type=Path, required=True)
    flags.add_argument("--wordnet", type=Path, required=True)
    flags.add_argument("--out", type=Path, required=True)
    flags.add_argument("--scale", type=float, default=1.0)
    args = flags.parse_args()
    torch.set_num_threads(1)
    encoder = Encoder.load(args.model / "model.safetensors").eval()
    tokenizer = args.model / "tokenizer.json"
    net = WordNet(args.wordnet)

    by_intent = intents(args.data)
    rows = [
        (text, name) for name, texts in by_intent.items() for text in texts if len(text.split()) <= WORDS_MAX
    ]
    random.Random(5).shuffle(rows)
    rows = rows[: int(14_000 * args.scale)]
    cut = len(rows) * 9 // 10
    parts: dict[str, list[Pair]] = {}
    tasks = instructions(args.data)
    for name, part, tasks_part, share, held in (
        ("train", rows[:cut], tasks[30:], args.scale, False),
        ("held", rows[cut:], tasks[:30], args.scale / 8, True),
    ):
        texts = [text for text, _ in part]
        vectors = embed(encoder, tokenizer, texts)
        seed = 1000 * held
        pairs = [
            *frame_pairs(int(26_000 * share), seed + 1, held=held),
            *caption_pairs(int(6_000 * share), seed + 2),
            *number_pairs(int(6_000 * share), seed + 3),
            *rewritten(texts + tasks_part * 3, int(12_000 * share), seed + 4, net),
            *intent_pairs(texts, [intent for _, intent in part], vectors, int(14_000 * share), seed + 5),
        ]
        random.Random(seed).shuffle(pairs)
        parts[name] = pairs
        print(name, Counter((pair.kind, pair.label) for pair in pairs), file=sys.stderr)
    args.out.mkdir(parents=True, exist_ok=True)
    for name, pairs in parts.items():
        unique = sorted({text for pair in pairs for text in pair[:2]})
        vectors = embed(encoder, tokenizer, unique)
        at = {text: i for i, text in enumerate(unique)}
        lines = []
        for pair in pairs:
            cosine = float(vectors[at[pair.a]] @ vectors[at[pair.b]])
            lines.append(json.dumps({**pair._asdict(), "cosine": round(cosine, 4)}, ensure_ascii=False))
        (args.out / f"{name}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
        np.save(args.out / f"{name}_vectors.npy", vectors.astype(np.float16))


if __name__ == "__main__":
    main()
