"""The graph of a BERT encoder with a head, as ONNX: built node by node from weights, without torch.

What runs where, and why (one thread of a Xeon with VNNI, 15 tokens; `benchmarks/embedding.py` has the sums):

- The six layers' matrices are int8 with a scale for each output column, and what goes into them is
  quantised as it comes (`DynamicQuantizeMatMul`): 1.0 of 1.3 ms; in float32 it is 2.7 ms in all. The weights
  use 7 of the 8 bits: processors with AVX2 but no VNNI add pairs of products in 16 bits, and 8 bits would
  overflow there. That costs 0.001 of cosine agreement with float32.
- The scale of what goes in is one for the whole call, so a text's vector would depend on its neighbours in
  a batch, and on padding. The graph therefore has no mask: a call takes texts of one length, and callers that
  want the same vector every time give one text a call.
- The word table is int8 with a scale for each word.
- `Add` and `LayerNormalization` stay two nodes: the fused `SkipLayerNormalization` of onnxruntime takes four
  times as long on a processor (40 against 10 us). A session must be opened at the optimisation level
  `ORT_ENABLE_BASIC`, since the higher ones fuse them.
"""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

Array = NDArray[Any]
Weights = Mapping[str, Array]
Head = Literal["pool", "classify"]

MICROSOFT = "com.microsoft"  # operators of onnxruntime that the standard lacks
WEIGHT_LEVELS = 63  # 7 bits: see above
TABLE_LEVELS = 127
EPSILON = 1e-12  # layer_norm_eps of the model's config.json


def read_safetensors(path: Path) -> dict[str, Array]:
    """Every tensor of a file in the safetensors format: a length, a JSON header, the bytes."""
    raw = path.read_bytes()
    (header_bytes,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + header_bytes])
    types = {"F32": np.float32, "F16": np.float16, "I64": np.int64}
    body = memoryview(raw)[8 + header_bytes :]
    tensors: dict[str, Array] = {}
    for name, about in header.items():
        if name != "__metadata__":
            start, end = about["data_offsets"]
            tensors[name] = np.frombuffer(body[start:end], types[about["dtype"]]).reshape(about["shape"])
    return tensors


class _Graph:
    def __init__(self, weights: Weights, *, int8: bool) -> None:
        self.weights = weights
        self.int8 = int8
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def constant(self, name: str, value: Array) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def float32(self, name: str) -> Array:
        return np.asarray(self.weights[name], dtype=np.float32)

    def node(self, kind: str, inputs: list[str], outputs: str | list[str], **attributes: Any) -> str:
        """Add a node; returns its first output."""
        names = [outputs] if isinstance(outputs, str) else outputs
        self.nodes.append(helper.make_node(kind, inputs, names, name=names[0], **attributes))
        return names[0]

    def linear(self, given: str, matrix: Array, bias: Array, name: str) -> str:
        """`given @ matrix + bias`, with `matrix` of shape (in, out)."""
        if not self.int8:
            product = self.node("MatMul", [given, self.constant(f"{name}.weight", matrix)], f"{name}.product")
            return self.node("Add", [product, self.constant(f"{name}.bias", bias)], name)
        whole, scale = quantise(matrix, WEIGHT_LEVELS)
        inputs = [given, self.constant(f"{name}.weight", whole), self.constant(f"{name}.scale", scale)]
        inputs.append(self.constant(f"{name}.zero", np.zeros(scale.shape, np.int8)))
        inputs.append(self.constant(f"{name}.bias", bias))
        return self.node("DynamicQuantizeMatMul", inputs, name, domain=MICROSOFT)

    def dense(self, given: str, prefix: str, name: str) -> str:
        """A layer as the weights file holds it: `weight` of shape (out, in), and `bias`."""
        return self.linear(given, self.float32(f"{prefix}.weight").T, self.float32(f"{prefix}.bias"), name)

    def normalise(self, given: str, prefix: str, name: str) -> str:
        gamma = self.constant(f"{name}.gamma", self.float32(f"{prefix}.weight"))
        beta = self.constant(f"{name}.beta", self.float32(f"{prefix}.bias"))
        return self.node("LayerNormalization", [given, gamma, beta], name, axis=-1, epsilon=EPSILON)


def quantise(matrix: Array, levels: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Symmetric int8 with a scale for each column, so that `matrix` is near `whole * scale`."""
    scale = (np.abs(matrix).max(axis=0) / levels).astype(np.float32)
    scale[scale == 0] = 1.0
    return np.clip(np.rint(matrix / scale), -levels, levels).astype(np.int8), scale


def build(
    weights: Weights, head: Head, *, positions: int = 256, heads: int = 12, int8: bool = True
) -> ModelProto:
    """The encoder that `weights` hold (as many layers as there are), with a head.

    Inputs: `ids`, int32 of shape (texts, tokens), all of one length, at most `positions`, no padding; and
    with the head `classify` also `types`, int32 of the same shape: 0 in the first text and 1 in the second.

    Heads: `pool` gives `vectors`, float32 (texts, width): the mean over the tokens, of length 1.
    `classify` gives `logits`, float32 (texts, classes): `classifier.weight` (classes, width) and
    `classifier.bias` over the first token, by way of `pooler.dense` and tanh where `weights` hold it.

    `weights` have the names of Hugging Face's BertModel, without `bert.` before them. The same weights make
    the same bytes.
    """
    graph = _Graph(weights, int8=int8)
    hidden = _embeddings(graph, positions, types=head == "classify")
    layer = 0
    while f"encoder.layer.{layer}.output.dense.weight" in weights:
        hidden = _layer(graph, hidden, layer, heads)
        layer += 1
    width = weights["embeddings.word_embeddings.weight"].shape[1]
    inputs = [helper.make_tensor_value_info("ids", TensorProto.INT32, ["texts", "tokens"])]
    if head == "pool":
        output, columns = _pool(graph, hidden), width
    else:
        inputs.append(helper.make_tensor_value_info("types", TensorProto.INT32, ["texts", "tokens"]))
        output, columns = _classify(graph, hidden), weights["classifier.weight"].shape[0]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["texts", columns])]
    whole = helper.make_graph(graph.nodes, "minilm", inputs, outputs, graph.constants)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(whole, opset_imports=opsets, ir_version=9, producer_name="minilm_graph")


def _embeddings(graph: _Graph, positions: int, *, types: bool) -> str:
    words = graph.float32("embeddings.word_embeddings.weight")
    places = graph.float32("embeddings.position_embeddings.weight")[:positions]
    kinds = graph.float32("embeddings.token_type_embeddings.weight")
    if graph.int8:
        whole, scale = quantise(words.T, TABLE_LEVELS)
        graph.node("Gather", [graph.constant("words", whole.T), "ids"], "words.int8")
        graph.node("Cast", ["words.int8"], "words.float", to=TensorProto.FLOAT)
        graph.node("Gather", [graph.constant("words.scale", scale[:, None]), "ids"], "words.scales")
        graph.node("Mul", ["words.float", "words.scales"], "words.rows")
    else:
        graph.node("Gather", [graph.constant("words", words), "ids"], "words.rows")
    zero = graph.constant("places.start", np.array([0], np.int64))
    graph.node("Shape", ["ids"], "tokens", start=1, end=2)
    table = graph.constant("places", places if types else places + kinds[0])
    graph.node("Slice", [table, zero, "tokens"], "places.rows")
    total = graph.node("Add", ["words.rows", "places.rows"], "embeddings.sum")
    if types:
        graph.node("Gather", [graph.constant("kinds", kinds), "types"], "kinds.rows")
        total = graph.node("Add", [total, "kinds.rows"], "embeddings.sum.kinds")
    return graph.normalise(total, "embeddings.LayerNorm", "embeddings")


def _layer(graph: _Graph, given: str, number: int, heads: int) -> str:
    prefix, name = f"encoder.layer.{number}", f"layer{number}"
    parts = [f"{prefix}.attention.self.{part}" for part in ("query", "key", "value")]
    matrix = np.concatenate([graph.float32(f"{part}.weight").T for part in parts], axis=1)
    bias = np.concatenate([graph.float32(f"{part}.bias") for part in parts])
    joined = graph.linear(given, matrix, bias, f"{name}.qkv")
    split = [f"{name}.{part}" for part in "qkv"]
    graph.node("Split", [joined], split, axis=-1, num_outputs=3)
    attended = graph.node("MultiHeadAttention", split, f"{name}.attended", domain=MICROSOFT, num_heads=heads)
    out = graph.dense(attended, f"{prefix}.attention.output.dense", f"{name}.out")
    graph.node("Add", [out, given], f"{name}.sum1")
    middle = graph.normalise(f"{name}.sum1", f"{prefix}.attention.output.LayerNorm", f"{name}.norm1")
    wide = graph.dense(middle, f"{prefix}.intermediate.dense", f"{name}.wide")
    bent = graph.node("Gelu", [wide], f"{name}.gelu", domain=MICROSOFT)
    narrow = graph.dense(bent, f"{prefix}.output.dense", f"{name}.narrow")
    graph.node("Add", [narrow, middle], f"{name}.sum2")
    return graph.normalise(f"{name}.sum2", f"{prefix}.output.LayerNorm", name)


def _pool(graph: _Graph, hidden: str) -> str:
    axis = graph.constant("pool.axis", np.array([1], np.int64))
    # The sum has the direction of the mean, and the length is made 1 anyway.
    graph.node("ReduceSum", [hidden, axis], "pool.sum", keepdims=0)
    return graph.node("LpNormalization", ["pool.sum"], "vectors", axis=-1, p=2)


def _classify(graph: _Graph, hidden: str) -> str:
    first = graph.constant("first", np.array(0, np.int64))
    given = graph.node("Gather", [hidden, first], "first.row", axis=1)
    if "pooler.dense.weight" in graph.weights:
        given = graph.node("Tanh", [graph.dense(given, "pooler.dense", "pooler")], "pooler.tanh")
    matrix = graph.constant("classifier", graph.float32("classifier.weight").T)
    graph.node("MatMul", [given, matrix], "classifier.product")
    bias = graph.constant("classifier.bias", graph.float32("classifier.bias"))
    return graph.node("Add", ["classifier.product", bias], "logits")
