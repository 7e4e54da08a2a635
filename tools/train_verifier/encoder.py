"""MiniLM in plain torch, as bi-encoder and as cross-encoder, from its safetensors file."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

HIDDEN, HEADS, LAYERS = 384, 12, 6
EPSILON = 1e-12


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(HIDDEN, 3 * HIDDEN)
        self.out = nn.Linear(HIDDEN, HIDDEN)
        self.norm1 = nn.LayerNorm(HIDDEN, eps=EPSILON)
        self.up = nn.Linear(HIDDEN, 4 * HIDDEN)
        self.down = nn.Linear(4 * HIDDEN, HIDDEN)
        self.norm2 = nn.LayerNorm(HIDDEN, eps=EPSILON)

    def forward(self, x: Tensor, mask: Tensor, drop: float) -> Tensor:
        batch, length, _ = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, HEADS, HIDDEN // HEADS).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        y = self.out(y.transpose(1, 2).reshape(batch, length, HIDDEN))
        x = self.norm1(x + F.dropout(y, drop, self.training))
        return self.norm2(x + F.dropout(self.down(F.gelu(self.up(x))), drop, self.training))  # type: ignore[no-any-return]


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(30522, HIDDEN)
        self.places = nn.Embedding(512, HIDDEN)
        self.sides = nn.Embedding(2, HIDDEN)
        self.norm = nn.LayerNorm(HIDDEN, eps=EPSILON)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))

    def forward(self, ids: Tensor, mask: Tensor, sides: Tensor, drop: float = 0.0) -> Tensor:
        places = torch.arange(ids.shape[1], device=ids.device)
        x = self.norm(self.words(ids) + self.places(places)[None] + self.sides(sides))
        wide = mask[:, None, None, :].bool()
        for layer in self.layers:
            x = layer(x, wide, drop)
        return x

    @classmethod
    def load(cls, path: Path) -> "Encoder":
        raw = {key.removeprefix("bert."): value.float() for key, value in load_file(path).items()}
        model = cls()
        state: dict[str, Tensor] = {
            "words.weight": raw["embeddings.word_embeddings.weight"],
            "places.weight": raw["embeddings.position_embeddings.weight"],
            "sides.weight": raw["embeddings.token_type_embeddings.weight"],
            "norm.weight": raw["embeddings.LayerNorm.weight"],
            "norm.bias": raw["embeddings.LayerNorm.bias"],
        }
        names = {"out": "attention.output.dense", "norm1": "attention.output.LayerNorm",
                 "up": "intermediate.dense", "down": "output.dense", "norm2": "output.LayerNorm"}  # fmt: skip
        for i in range(LAYERS):
            for kind in ("weight", "bias"):
                at = f"encoder.layer.{i}."
                state[f"layers.{i}.qkv.{kind}"] = torch.cat(
                    [raw[f"{at}attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
                )
                for ours, theirs in names.items():
                    state[f"layers.{i}.{ours}.{kind}"] = raw[f"{at}{theirs}.{kind}"]
        model.load_state_dict(state)
        return model


class PairEncoder(nn.Module):
    """Reads two texts together. Features: [CLS], |u - v| and u * v of the two texts' mean token vectors."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.hidden = nn.Linear(3 * HIDDEN, HIDDEN)
        self.score = nn.Linear(HIDDEN, 1)

    def forward(
        self, ids: Tensor, mask: Tensor, sides: Tensor, drop: float = 0.0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the logit, the features, and the cosine of u and v."""
        x = self.encoder(ids, mask, sides, drop)
        second = (sides * mask).to(x.dtype)
        first = (mask - sides * mask).to(x.dtype)
        u = _mean(x, first)
        v = _mean(x, second)
        features = torch.cat([x[:, 0], (u - v).abs() * 10.0, u * v * 50.0], dim=1)
        hidden = F.gelu(self.hidden(F.dropout(features, drop, self.training)))
        return self.score(hidden)[:, 0], features, (u * v).sum(dim=1)


def _mean(x: Tensor, mask: Tensor) -> Tensor:
    mean = (x * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
    return mean / mean.pow(2).sum(dim=1, keepdim=True).add(EPSILON).sqrt()


def ordered(a: str, b: str) -> tuple[str, str]:
    """The order the pair model reads in: fixed by the texts, so that (a, b) and (b, a) score alike."""
    return (a, b) if a <= b else (b, a)


class Batcher:
    def __init__(self, tokenizer: Path, tokens_max: int = 96) -> None:
        self.tokenizer = Tokenizer.from_file(str(tokenizer))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(tokens_max)

    def encode(self, pairs: list[tuple[str, str]]) -> list[tuple[list[int], list[int]]]:
        found = self.tokenizer.encode_batch([ordered(a, b) for a, b in pairs])
        return [(one.ids, one.type_ids) for one in found]

    @staticmethod
    def batch(rows: list[tuple[list[int], list[int]]]) -> tuple[Tensor, Tensor, Tensor]:
        length = max(len(ids) for ids, _ in rows)
        ids = np.zeros((len(rows), length), np.int64)
        sides, mask = ids.copy(), ids.copy()
        for i, (row, side) in enumerate(rows):
            ids[i, : len(row)], sides[i, : len(row)], mask[i, : len(row)] = row, side, 1
        return torch.from_numpy(ids), torch.from_numpy(mask), torch.from_numpy(sides)


@torch.no_grad()
def embed(encoder: Encoder, tokenizer: Path, texts: list[str], batch: int = 64) -> NDArray[np.float32]:
    """Unit vectors of the bi-encoder, in the order of `texts`."""
    batcher = Batcher(tokenizer)
    rows = [(one.ids, one.type_ids) for one in batcher.tokenizer.encode_batch(texts)]
    out = np.zeros((len(texts), HIDDEN), np.float32)
    order = sorted(range(len(texts)), key=lambda i: len(rows[i][0]))
    for at in range(0, len(order), batch):
        part = order[at : at + batch]
        ids, mask, sides = batcher.batch([rows[i] for i in part])
        out[part] = _mean(encoder(ids, mask, sides), mask.float()).numpy()
    return out
