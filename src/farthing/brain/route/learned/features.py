"""A text as numbers: some eighty features of its structure, and its hashed words and pairs of words.

Structure describes how a question is built, whatever its topic: its length, its numbers, its choices, what it
asks for. The word groups are English; in other languages they count nothing, and the rest still applies.
Hashed words (Weinberger et al. 2009, "Feature Hashing") need no vocabulary and no training.
"""

import math
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
Ints: TypeAlias = NDArray[np.int32]

VERSION = "structure-1/words-15/excerpt-1"
"""Models fitted to features of another version cannot be used."""
WORD_BITS = 15
WORDS_DIMS = 1 << WORD_BITS
HEAD_CHARS, TAIL_CHARS = 1_800, 700
"""Only this much of a longer text is read: the question is at the beginning or at the end."""
_PAIR_FACTOR = np.uint32(2_654_435_761)  # Knuth's multiplicative hash: the order within a pair counts
EXCERPT_HEAD_CHARS, EXCERPT_TAIL_CHARS = 350, 650
"""This much of a longer text is embedded: small embedders read 256 tokens, about 1,000 characters."""
_NUMBER_CODES = tuple(zlib.crc32(b"0000"[:digits]) for digits in range(5))
"""All numbers with the same number of digits are one word."""
_NUMBER_MAX = 1e12

_TOKEN = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)?|\d+(?:[.,]\d+)*|[^\w\s]|_+")
_CHOICE = re.compile(r"^[ \t]*\(?(?:[A-J]|\d{1,2})[.):][ \t]*(.*)$", re.MULTILINE)
_SIGNS_ONLY = re.compile(r"[\W\d]*")

_GROUPS: dict[str, str] = {
    "negation": "not no never none except least cannot without neither nor false incorrect isn't "
    "don't doesn't wrong unless",
    "comparison": "more less than fewer greater larger smaller most least higher lower best twice double "
    "triple half times compared faster older younger taller",
    "each": "each every per apiece all",
    "total": "total altogether sum combined both together overall",
    "remainder": "left remaining remain rest remainder after before then finally initially originally",
    "condition": "if when assume suppose given unless whether provided",
    "money": "dollars dollar cost costs price pay paid buy bought sell sold spend spent earn earns profit "
    "cents worth salary tax discount money",
    "time": "hour hours day days week weeks month months year years minute minutes second seconds morning "
    "today yesterday daily weekly",
    "share": "percent percentage third quarter half fourth fraction ratio thirds fifth quarters average "
    "rate probability",
    "how": "how",
    "many": "many much",
    "what": "what",
    "which": "which",
    "why": "why",
    "who": "who whom whose",
    "when": "when",
    "where": "where",
    "following": "following",
    "explain": "explain describe discuss compare analyze analyse justify argue evaluate",
    "prove": "prove proof show derive theorem lemma",
    "write": "write compose draft create generate",
    "code": "function class return def import array list string code program python java sql method",
    "transform": "translate summarize summarise rewrite paraphrase convert classify extract",
    "judge": "true false statement scenario argument premise conclusion therefore valid formula logical "
    "morally",
    "belief": "according believes argues claims held theory view",
    "self": "i my me we our",
    "you": "you your",
    "others": "he she his her him they their them",
    "modal": "must should would could can may might",
    "and": "and",
    "or": "or",
    "but": "but however although",
    "the": "the",
    "of": "of",
    "a": "a an",
    "is": "is are was were be been",
    "in": "in on at to for from by with",
}


def _by_word() -> dict[str, tuple[int, ...]]:
    """For each word, the groups that contain it."""
    found: dict[str, tuple[int, ...]] = {}
    for index, words in enumerate(_GROUPS.values()):
        for word in words.split():
            found[word] = (*found.get(word, ()), index)
    return found


_GROUP_OF = _by_word()

_STRUCTURE = (
    *("chars", "words", "word_chars", "long_word_share", "distinct_word_share", "distinct_words"),
    *("longest_word", "sentence_words", "capitalised_share", "capitals_share", "beyond_ascii"),
    *("numbers", "distinct_numbers", "number_share", "largest_number", "decimals", "numbers_over_100"),
    *("numbers_up_to_3", "choices", "choice_chars", "choice_spread", "choices_of_signs", "all_choice_chars"),
    *("stops", "commas", "questions", "lines", "dollars", "percents", "slashes", "brackets", "operators"),
    *("quotes", "blanks", "bars", "hyphens", "colons", "semicolons", "code_signs"),
)
NAMES: tuple[str, ...] = (*_STRUCTURE, *(f"group_{name}" for name in _GROUPS))


class Reading(Struct, frozen=True):
    """The features of one text."""

    structure: Floats
    """Shape (len(NAMES),), in the order of `NAMES`; finite."""
    words: Ints
    """Hashes of the distinct words and pairs of adjacent words, ascending, below `WORDS_DIMS`."""


class Readings(Struct, frozen=True):
    """The features of many texts."""

    structure: Floats
    """Shape (n, len(NAMES))."""
    words: tuple[Ints, ...]

    def take(self, rows: NDArray[np.int64]) -> "Readings":
        """Those of `rows`, in that order."""
        return Readings(self.structure[rows], tuple(self.words[row] for row in rows))


def excerpt(text: str) -> str:
    """The part of `text` to embed: all of a short text, the beginning and the end of a long one. Examples and
    documents come first in a prompt, the question last."""
    if len(text) <= EXCERPT_HEAD_CHARS + EXCERPT_TAIL_CHARS:
        return text
    return text[:EXCERPT_HEAD_CHARS] + "\n" + text[-EXCERPT_TAIL_CHARS:]


def read(text: str) -> Reading:
    """Pure; 0.1 ms for 100 words, at most some 0.5 ms for a text of any length."""
    part = text if len(text) <= HEAD_CHARS + TAIL_CHARS else text[:HEAD_CHARS] + "\n" + text[-TAIL_CHARS:]
    if not part.isascii():
        part = part.encode(errors="replace").decode()  # a lone surrogate cannot be encoded
    tokens = _TOKEN.findall(part)
    low = [token.lower() for token in tokens]
    return Reading(_structure(text, part, tokens, low), _words(low))


def read_all(texts: Iterable[str]) -> Readings:
    """`read` of each, in order."""
    readings = [read(text) for text in texts]
    empty = np.empty((0, len(NAMES)), np.float32)
    return Readings(
        np.stack([one.structure for one in readings]) if readings else empty,
        tuple(one.words for one in readings),
    )


def _words(low: Sequence[str]) -> Ints:
    if not low:
        return np.empty(0, np.int32)
    crc = zlib.crc32
    code_of = {
        word: _NUMBER_CODES[min(len(word), 4)] if word[0].isdigit() else crc(word.encode())
        for word in set(low)
    }
    codes = np.array([code_of[word] for word in low], np.uint32)
    shift = np.uint32(32 - WORD_BITS)
    pairs = codes[:-1] * _PAIR_FACTOR + codes[1:]  # arrays wrap around without a warning
    hashes = (np.concatenate((codes, pairs)) * _PAIR_FACTOR >> shift).astype(np.int32)
    hashes.sort()
    found: Ints = hashes[np.concatenate(([True], hashes[1:] != hashes[:-1]))]
    return found


def _structure(text: str, part: str, tokens: Sequence[str], low: Sequence[str]) -> Floats:
    groups = [0.0] * len(_GROUPS)
    words = distinct = chars = long = longest = 0
    numbers: list[tuple[str, int]] = []
    for token, count in Counter(low).items():
        if token[0].isalpha():
            size = len(token)
            words += count
            distinct += 1
            chars += size * count
            if size > 8:
                long += count
            if size > longest:
                longest = size
            for index in _GROUP_OF.get(token, ()):
                groups[index] += count
        elif token[0].isdecimal():
            numbers.append((token, count))
    log = math.log1p
    values = [
        log(len(text)),
        log(words + 1),
        chars / (words + 1),
        long / (words + 1),
        distinct / (words + 1),
        log(distinct),
        float(longest),
        words / (part.count(".") + part.count("?") + 1),
        sum(map(str.istitle, tokens)) / (len(tokens) + 1),
        sum(map(str.isupper, tokens)) / (len(tokens) + 1),
        0.0 if text.isascii() else 1.0,
    ]
    values += _of_numbers(numbers, len(tokens) + 1)
    values += _of_choices(part)
    values += _signs(part)
    values += map(log, groups)
    return np.array(values, np.float32)


def _of_numbers(numbers: Sequence[tuple[str, int]], token_count: int) -> list[float]:
    if not numbers:
        return [0.0] * 7
    total = sum(count for _, count in numbers)
    values = [
        (min(float(number.replace(",", "")), _NUMBER_MAX), count)
        for number, count in numbers
        if number.count(".") < 2
    ]
    return [
        math.log1p(total),
        math.log1p(len(numbers)),
        total / token_count,
        math.log1p(max((value for value, _ in values), default=0.0)),
        float(sum(count for number, count in numbers if "." in number)),
        float(sum(count for value, count in values if value > 100)),
        float(sum(count for value, count in values if value <= 3)),
    ]


def _of_choices(part: str) -> list[float]:
    choices = _CHOICE.findall(part)
    lengths = [len(choice) for choice in choices]
    if not lengths:
        return [0.0] * 5
    signs = sum(_SIGNS_ONLY.fullmatch(choice) is not None for choice in choices)
    total = sum(lengths)
    return [
        float(len(lengths)),
        math.log1p(total / len(lengths)),
        math.log1p(max(lengths) - min(lengths)),
        float(signs),
        math.log1p(total),
    ]


def _signs(part: str) -> tuple[float, ...]:
    count = part.count
    return (
        math.log1p(count(".")),
        math.log1p(count(",")),
        count("?"),
        count("\n"),
        count("$"),
        count("%"),
        count("/"),
        count("("),
        count("=") + count("+") + count("^") + count("*"),
        count('"') + count("\u201c"),
        float("_" in part),
        count("|"),
        count("-"),
        count(":"),
        count(";"),
        count("{") + count("\\") + count("`"),
    )
