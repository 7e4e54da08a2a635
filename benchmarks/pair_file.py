"""The pair model's file, taken apart without further packages: its weights, and values from within.

An ONNX file is a protobuf message, ModelProto of onnx.proto. Of it this reads what `tools/minilm_graph.py`
writes.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Named = dict[str, Floats]


def _fields(raw: memoryview) -> Iterator[tuple[int, Any]]:
    """The fields of a protobuf message: number, and an integer or bytes."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = raw[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(raw):
        key = varint()
        kind = key & 7
        if kind == 0:
            yield key >> 3, varint()
        else:
            size = varint() if kind == 2 else {1: 8, 5: 4}[kind]
            yield key >> 3, raw[at : at + size]
            at += size


def constants(model: bytes) -> dict[str, NDArray[Any]]:
    """The constants of an ONNX file (onnx.proto: ModelProto.graph = 7, GraphProto.initializer = 5)."""
    types = {1: np.float32, 3: np.int8, 6: np.int32, 7: np.int64}
    found: dict[str, NDArray[Any]] = {}
    for number, graph in _fields(memoryview(model)):
        if number != 7:
            continue
        for part, tensor in _fields(graph):
            if part != 5:
                continue
            shape: list[int] = []
            name, kind, raw = "", 0, memoryview(b"")
            for key, value in _fields(tensor):
                if key == 1:
                    shape += [value] if isinstance(value, int) else _packed(value)
                elif key == 2:
                    kind = value
                elif key == 8:
                    name = bytes(value).decode()
                elif key == 9:
                    raw = value
            if kind in types:
                found[name] = np.frombuffer(raw, types[kind]).reshape(shape)
    return found


def _packed(raw: memoryview) -> list[int]:
    values, value, shift = [], 0, 0
    for byte in raw:
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            values.append(value)
            value = shift = 0
    return values


def shipped(model: bytes, layers: Sequence[int]) -> Named:
    """The float32 weights of the layers and the head, by the names that `PairLayers` uses."""
    raw = constants(model)
    head = {"score": raw["score"].copy(), "score.bias": raw["score.bias"].copy()}
    head |= {"head": _whole(raw, "head"), "head.bias": raw["head.bias"].copy()}
    return head | shipped_layers(model, layers)


def shipped_layers(model: bytes, layers: Sequence[int]) -> Named:
    """The same without the head, of either model's file."""
    raw, found = constants(model), Named()
    for n in layers:
        for ours, theirs in (("qkv", "qkv"), ("out", "out"), ("up", "wide"), ("down", "narrow")):
            found[f"{n}.{ours}"] = _whole(raw, f"layer{n}.{theirs}")
            found[f"{n}.{ours}.bias"] = raw[f"layer{n}.{theirs}.bias"].copy()
        # the second norm's output has the layer's own name
        for ours, theirs in (("norm1", f"layer{n}.norm1"), ("norm2", f"layer{n}")):
            for part in ("gamma", "beta"):
                found[f"{n}.{ours}.{part}"] = raw[f"{theirs}.{part}"].copy()
    return found


def _whole(raw: dict[str, NDArray[Any]], name: str) -> Floats:
    return np.asarray(raw[f"{name}.weight"] * raw[f"{name}.scale"], np.float32)


def with_output(model: bytes, name: str) -> bytes:
    """The file with one inner value (float32, three axes) as a further output.

    Protobuf joins a message that follows another of its kind: repeated fields are appended.
    """

    def framed(number: int, body: bytes) -> bytes:
        size, length = len(body), bytearray()
        while size > 127:
            length.append(size & 127 | 128)
            size >>= 7
        return bytes([number << 3 | 2]) + bytes([*length, size]) + body

    shape = b"".join(framed(1, framed(2, axis)) for axis in (b"texts", b"tokens", b"width"))
    tensor = b"\x08\x01" + framed(2, shape)  # elem_type FLOAT
    value = framed(1, name.encode()) + framed(2, framed(1, tensor))
    return model + framed(7, framed(12, value))
