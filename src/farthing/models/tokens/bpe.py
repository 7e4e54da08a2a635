"""Exact token counts for OpenAI's encodings, offline.

The vocabularies ship with the package, compressed; nothing is downloaded. A vocabulary is loaded when
it is first needed, which takes about 0.25 s of CPU and 60 MB (90 ms of it in one piece that no other
Python thread can interrupt), so `warm` exists for those who would rather choose the moment.
"""

import functools
import lzma
import threading
from importlib import resources
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Literal, assert_never

if TYPE_CHECKING:
    import tiktoken

EncodingName = Literal["o200k_base", "cl100k_base"]

# Text is encoded in pieces of at most this many characters. Whole, a million spaces overflow the stack of
# tiktoken's regular expression (a PanicException, which `except Exception` does not catch), and long
# runs of one character take two to three times as long; in pieces, 1 MB of anything took 180 ms at most.
PIECE_CHARS_MAX = 4_096

# Patterns and special tokens as tiktoken publishes them (tiktoken_ext/openai_public.py, MIT).
CL100K_PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
    r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)
O200K_PATTERN = "|".join(
    (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    )
)
CL100K_SPECIAL = {
    "<|endoftext|>": 100257,
    "<|fim_prefix|>": 100258,
    "<|fim_middle|>": 100259,
    "<|fim_suffix|>": 100260,
    "<|endofprompt|>": 100276,
}
O200K_SPECIAL = {"<|endoftext|>": 199999, "<|endofprompt|>": 200018}

_CL100K_PREFIXES = (
    "gpt-3.5",
    "gpt-35",
    "gpt-4-",
    "text-embedding-",
    "ft:gpt-3.5",
    "ft:gpt-35",
    "ft:gpt-4-",
    "davinci-002",
    "babbage-002",
)
_O200K_PREFIXES = ("gpt-", "chatgpt-", "ft:gpt-", "o1", "o3", "o4", "ft:o4", "codex-", "computer-use-")


def encoding_of(model: str) -> EncodingName | None:
    """The encoding `model` is known to use; None when it is not one of OpenAI's.

    A provider in front of the name (`openai/gpt-4o`) is ignored. New `gpt-` models are taken to use
    o200k_base, as every one since GPT-4o has.
    """
    name = model.rpartition("/")[2]
    if name in ("gpt-4", "ft:gpt-4") or name.startswith(_CL100K_PREFIXES):
        return "cl100k_base"
    return "o200k_base" if name.startswith(_O200K_PREFIXES) else None


class ExactCounter:
    """Counts with the model's own encoding; for models that are not OpenAI's, with o200k_base.

    For those the count is an estimate: 0.9 to 1.1 times the truth for most open models on English text,
    code and JSON, and up to 0.7 times for some on other scripts. Safe to share between threads.
    """

    def __init__(self) -> None:
        self._encodings: dict[EncodingName, tiktoken.Encoding] = {}
        self._loading = threading.Lock()
        self._begun: set[EncodingName] = set()

    def count(self, text: str, model: str) -> int:
        """Tokens of `text` alone, about 5 MB/s. Special tokens in it are counted as plain text.

        Exact, except that a stretch of 2,048 characters in which no word is followed by a space is cut
        at its end, which adds up to about three tokens for each cut.
        """
        encoding = self.encoding(encoding_of(model) or "o200k_base")
        if len(text) <= PIECE_CHARS_MAX:
            return len(encoding.encode_ordinary(text))
        return sum(len(encoding.encode_ordinary(piece)) for piece in pieces(text))

    def warm(self, model: str) -> None:
        """Load what counting for `model` needs, now. Does nothing the second time."""
        self.encoding(encoding_of(model) or "o200k_base")

    def ready(self, model: str) -> bool:
        """Whether what counting for `model` needs is loaded. Where it is not, begin to load it beside."""
        name = encoding_of(model) or "o200k_base"
        if name in self._encodings:
            return True
        if name not in self._begun:
            self._begun.add(name)
            threading.Thread(target=self.encoding, args=(name,), name="vocabulary", daemon=True).start()
        return False

    def encoding(self, name: EncodingName) -> "tiktoken.Encoding":
        """The encoding itself, loaded at most once."""
        found = self._encodings.get(name)
        if found is None:
            with self._loading:
                found = self._encodings.get(name)
                if found is None:
                    found = self._encodings[name] = _load(name)
        return found


def pieces(text: str) -> list[str]:
    """Cut `text` before a space that ends a word, in pieces of at most `PIECE_CHARS_MAX` characters.

    Both patterns always split there, so that the tokens of the pieces are the tokens of the whole. Where
    the second half of a piece has no such place, it is cut at its full length.
    """
    found = []
    start = 0
    while len(text) - start > PIECE_CHARS_MAX:
        end = _word_end(text, start + PIECE_CHARS_MAX // 2, start + PIECE_CHARS_MAX)
        found.append(text[start:end])
        start = end
    found.append(text[start:])
    return found


def _word_end(text: str, low: int, high: int) -> int:
    """The last place in `low..high` with a word before it and a space at it, else `high`."""
    space = text.rfind(" ", low, high + 1)
    while space >= 0:
        end = low + len(text[low:space].rstrip())
        if end == low:
            return high
        if text[end] == " ":
            return end
        space = text.rfind(" ", low, end)
    return high


@functools.cache
def _load(name: EncodingName) -> "tiktoken.Encoding":
    """The encoding itself, which never changes: every counter of a process has the same one."""
    import tiktoken  # not at the top: half of those who start Farthing never count

    ranks = read_vocabulary(name)
    match name:
        case "o200k_base":
            return tiktoken.Encoding(
                name, pat_str=O200K_PATTERN, mergeable_ranks=ranks, special_tokens=O200K_SPECIAL
            )
        case "cl100k_base":
            return tiktoken.Encoding(
                name, pat_str=CL100K_PATTERN, mergeable_ranks=ranks, special_tokens=CL100K_SPECIAL
            )
        case _:
            assert_never(name)


def read_vocabulary(name: EncodingName) -> dict[bytes, int]:
    """Token -> rank. The file holds the length of each token, a zero, then the tokens, in rank order."""
    packed = lzma.decompress(resources.files("farthing").joinpath(f"data/{name}.xz").read_bytes())
    count = packed.index(0)
    ends = accumulate(packed[:count], initial=count + 1)
    return {packed[start:end]: rank for rank, (start, end) in enumerate(pairwise(ends))}
