"""Write the trained cross-encoder as int8 ONNX: `python export_pair.py --weights FILE.pt [--out FILE.onnx]`.

The encoder is the graph of `tools/minilm_graph.py`; the head is the one of `encoder.PairEncoder`.
"""

import argparse
import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from minilm_graph import MICROSOFT, _embeddings, _Graph, _layer  # noqa: E402

MODELS = HERE.parents[1] / "src" / "farthing" / "data" / "models"
FILE_BYTES_MAX = 25_000_000
WIDTH, HEADS, POSITIONS = 384, 12, 256
NAMES = {"out": "attention.output.dense", "norm1": "attention.output.LayerNorm", "up": "intermediate.dense",
         "down": "output.dense", "norm2": "output.LayerNorm"}  # fmt: skip


def as_bert(state: dict[str, Any]) -> dict[str, NDArray[np.float32]]:
    """The encoder's weights by the names of Hugging Face's BertModel."""
    own = {name.removeprefix("encoder."): value.float().numpy() for name, value in state.items()}
    found = {
        "embeddings.word_embeddings.weight": own["words.weight"],
        "embeddings.position_embeddings.weight": own["places.weight"],
        "embeddings.token_type_embeddings.weight": own["sides.weight"],
        "embeddings.LayerNorm.weight": own["norm.weight"],
        "embeddings.LayerNorm.bias": own["norm.bias"],
        **{name: own[name] for name in ("hidden.weight", "hidden.bias", "score.weight", "score.bias")},
    }
    layer = 0
    while f"layers.{layer}.qkv.weight" in own:
        for kind in ("weight", "bias"):
            three = np.split(own[f"layers.{layer}.qkv.{kind}"], 3)
            for part, value in zip(("query", "key", "value"), three, strict=True):
                found[f"encoder.layer.{layer}.attention.self.{part}.{kind}"] = value
            for ours, theirs in NAMES.items():
                found[f"encoder.layer.{layer}.{theirs}.{kind}"] = own[f"layers.{layer}.{ours}.{kind}"]
        layer += 1
    return found


def build(weights: dict[str, NDArray[np.float32]], *, int8: bool = True) -> ModelProto:
    """Inputs `ids` and `types` as of the head `classify`; outputs `logits` (n, 1), `features` (n, 1152)."""
    graph = _Graph(weights, int8=int8)
    hidden = _embeddings(graph, POSITIONS, types=True)
    layer = 0
    while f"encoder.layer.{layer}.output.dense.weight" in weights:
        hidden = _layer(graph, hidden, layer, HEADS)
        layer += 1
    node = graph.node
    node("Cast", ["types"], "second.flat", to=TensorProto.FLOAT)
    axis = graph.constant("axis", np.array([1], np.int64))
    node("Unsqueeze", ["second.flat", axis], "second")
    node("Sub", [graph.constant("one", np.array([1], np.float32)), "second"], "first")
    for side, mask in (("u", "first"), ("v", "second")):
        node("MatMul", [mask, hidden], f"{side}.sum")  # the direction of the mean
        node("Squeeze", [f"{side}.sum", axis], f"{side}.row")
        node("LpNormalization", [f"{side}.row"], side, axis=-1, p=2)
    node("Gather", [hidden, graph.constant("start", np.array([0], np.int64))], "cls.row", axis=1)
    node("Squeeze", ["cls.row", axis], "cls")
    node("Sub", ["u", "v"], "gap")
    node("Abs", ["gap"], "gap.size")
    node("Mul", ["gap.size", graph.constant("ten", np.array([10], np.float32))], "gap.scaled")
    node("Mul", ["u", "v"], "product")
    node("Mul", ["product", graph.constant("fifty", np.array([50], np.float32))], "product.scaled")
    node("Concat", ["cls", "gap.scaled", "product.scaled"], "features", axis=-1)
    wide = graph.dense("features", "hidden", "head")
    node("Gelu", [wide], "head.gelu", domain=MICROSOFT)
    node("MatMul", ["head.gelu", graph.constant("score", graph.float32("score.weight").T)], "score.product")
    node("Add", ["score.product", graph.constant("score.bias", graph.float32("score.bias"))], "logits")
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT32, ["texts", "tokens"])
        for name in ("ids", "types")
    ]
    outputs = [
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["texts", 1]),
        helper.make_tensor_value_info("features", TensorProto.FLOAT, ["texts", 3 * WIDTH]),
    ]
    whole = helper.make_graph(graph.nodes, "minilm-pair", inputs, outputs, graph.constants)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(whole, opset_imports=opsets, ir_version=9, producer_name="export_pair")


def main() -> None:
    flags = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    flags.add_argument("--weights", type=Path, required=True)
    flags.add_argument("--out", type=Path, default=MODELS / "minilm-pair.int8.onnx")
    args = flags.parse_args()
    state = torch.load(args.weights, map_location="cpu", weights_only=True)
    content = build(as_bert(state)).SerializeToString(deterministic=True)
    if len(content) > FILE_BYTES_MAX:
        sys.exit(f"the model would take {len(content)} bytes, more than {FILE_BYTES_MAX}")
    args.out.write_bytes(content)
    print(f"{args.out.name}  {len(content)} bytes  sha256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()
