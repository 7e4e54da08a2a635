"""Fine-tune the cross-encoder: `python train_pair.py --model DIR --pairs DIR --out FILE`."""

import argparse
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from encoder import Batcher, Encoder, PairEncoder
from torch.nn import functional as F

Row = tuple[tuple[list[int], list[int]], float, float]


def rows(path: Path, batcher: Batcher) -> list[Row]:
    pairs: list[dict[str, Any]] = [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]
    tokens = batcher.encode([(pair["a"], pair["b"]) for pair in pairs])
    return [(one, float(pair["label"]), pair["cosine"]) for one, pair in zip(tokens, pairs, strict=True)]


def batches(data: list[Row], size: int, rng: random.Random) -> list[list[Row]]:
    """Shuffled batches of alike length, so that little is padding."""
    shuffled = data[:]
    rng.shuffle(shuffled)
    out: list[list[Row]] = []
    for at in range(0, len(shuffled), size * 40):
        part = sorted(shuffled[at : at + size * 40], key=lambda row: len(row[0][0]))
        out += [part[i : i + size] for i in range(0, len(part), size)]
    rng.shuffle(out)
    return out


@torch.no_grad()
def measure(model: PairEncoder, data: list[Row]) -> str:
    model.eval()
    logits = np.zeros(len(data))
    order = sorted(range(len(data)), key=lambda i: len(data[i][0][0]))
    for at in range(0, len(order), 64):
        part = order[at : at + 64]
        logits[part] = model(*Batcher.batch([data[i][0] for i in part]))[0].numpy()
    model.train()
    label = np.array([row[1] for row in data])
    rank = np.argsort(np.argsort(logits)) + 1
    ones = label.sum()
    auc = (rank[label == 1].sum() - ones * (ones + 1) / 2) / (ones * (len(label) - ones))
    return f"held-out auc {auc:.4f} accuracy {((logits > 0) == label).mean():.4f}"


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--model", type=Path, required=True)
    flags.add_argument("--pairs", type=Path, required=True)
    flags.add_argument("--out", type=Path, required=True)
    flags.add_argument("--epochs", type=int, default=1)
    flags.add_argument("--batch", type=int, default=32)
    flags.add_argument("--rate", type=float, default=7e-5)
    flags.add_argument("--seed", type=int, default=7)
    args = flags.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    batcher = Batcher(args.model / "tokenizer.json")
    train, held = rows(args.pairs / "train.jsonl", batcher), rows(args.pairs / "held.jsonl", batcher)
    model = PairEncoder(Encoder.load(args.model / "model.safetensors"))
    model.encoder.words.weight.requires_grad_(False)
    fresh = [*model.hidden.parameters(), *model.score.parameters()]
    old = [p for p in model.encoder.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(
        [{"params": old, "lr": args.rate}, {"params": fresh, "lr": args.rate * 8}], weight_decay=0.01
    )
    plan = [batch for _ in range(args.epochs) for batch in batches(train, args.batch, rng)]
    warm = max(1, len(plan) // 16)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / warm, (len(plan) - step) / (len(plan) - warm))
    )
    model.train()
    began, losses = time.time(), []
    for step, batch in enumerate(plan):
        label = torch.tensor([row[1] for row in batch])
        teacher = torch.tensor([row[2] for row in batch])
        logit, _, cosine = model(*Batcher.batch([row[0] for row in batch]), 0.05)
        loss = F.binary_cross_entropy_with_logits(logit, label * 0.95 + 0.025)
        # Keeps what MiniLM knows of likeness: made pairs alone would wear it away.
        loss = loss + 1.0 * F.mse_loss(cosine, teacher)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
        if step % 100 == 99:
            print(f"{step + 1}/{len(plan)} loss {np.mean(losses[-100:]):.4f} {time.time() - began:.0f}s",
                  file=sys.stderr, flush=True)  # fmt: skip
        if step % 500 == 499:
            print(measure(model, held[:1500]), file=sys.stderr, flush=True)
            torch.save(model.state_dict(), args.out)
    print(measure(model, held), file=sys.stderr, flush=True)
    torch.save(model.state_dict(), args.out)


if __name__ == "__main__":
    main()
