"""Repack OpenAI's BPE vocabularies, as shipped inside the litellm wheel, for src/farthing/data.

    pip download --no-deps litellm -d wheels
    python tools/build_vocabularies.py wheels/litellm-*.whl

A vocabulary's ranks count up from 0 without a gap, so the tokens in order say everything: one byte for
the length of each, a zero byte, then all tokens end to end, compressed with xz. Compared with the
original base64 table that is a third smaller and needs no parsing of lines.
"""

import argparse
import base64
import hashlib
import lzma
import zipfile
from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / "src/farthing/data"
# tiktoken names its cached files by the SHA-1 of their address, and publishes the SHA-256 of their content.
SOURCES = {
    "cl100k_base": (
        "9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    ),
    "o200k_base": (
        "fb374d419588a4632f3f557e76b4b70aebbca790",
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    ),
}


def pack(table: bytes) -> bytes:
    """`base64 rank` lines -> lengths, 0, tokens.

    Raises:
        ValueError: ranks have a gap, or a token is empty or too long for one byte.
    """
    tokens = []
    for expected, line in enumerate(table.splitlines()):
        token, rank = line.split()
        if int(rank) != expected:
            raise ValueError(f"rank {int(rank)} where {expected} was expected")
        tokens.append(base64.b64decode(token))
    return bytes(map(len, tokens)) + b"\0" + b"".join(tokens)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("litellm", type=Path, help="litellm wheel")
    parser.add_argument("--out", type=Path, default=DATA)
    options = parser.parse_args()
    with zipfile.ZipFile(options.litellm) as wheel:
        for name, (member, sha256) in SOURCES.items():
            table = wheel.read(f"litellm/litellm_core_utils/tokenizers/{member}")
            if hashlib.sha256(table).hexdigest() != sha256:
                raise SystemExit(f"{name}: not the vocabulary that tiktoken publishes")
            packed = lzma.compress(pack(table), format=lzma.FORMAT_XZ, preset=9 | lzma.PRESET_EXTREME)
            (options.out / f"{name}.xz").write_bytes(packed)
            print(f"{name}: {len(table):,} bytes -> {len(packed):,}")


if __name__ == "__main__":
    main()
