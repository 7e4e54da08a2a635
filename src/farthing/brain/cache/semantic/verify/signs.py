# ruff: noqa: RUF001  (signs and letters of many scripts)
"""The symbols of a text: operators, marks on letters, emoji, letters of other scripts, measures.

Text models read symbols poorly or not at all: a tokenizer strips marks from letters, and drops unknown
symbols or maps them all to one token, so that `años` and `anos`, or two emoji, have one vector, and `5<3` and
`5>3` nearly so. So a piece of a text, between white space, is *plain* only if it is known to be: ASCII words,
numbers (whose values the rules compare separately) and punctuation as in prose. Every other piece is a value,
as it is written, and two texts must have the same values in the same order. This needs no list: a symbol that
nobody thought of is a value.

Harmless differences are normalised first: kinds of white space, of quotation marks, dashes and dots,
variation selectors, composed and decomposed letters (NFC, not NFKC: `x²` is not `x2`). Letter case does not
matter, since people write names in lower case; `CASED` in `words` lists the few words that a capital turns
into another word. Time is linear in the length.
"""

import re
import unicodedata
from collections import Counter
from itertools import pairwise
from typing import NamedTuple

from farthing.brain.cache.semantic.verify.words import CASED
from farthing.text.unicode_normalize import composed

_SAME = str.maketrans(
    {
        "\u2019": "'", "\u2018": "'", "\u201b": "'", "\u02bc": "'", "\u00b4": "'",
        "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u201f": '"', "\u00ab": '"', "\u00bb": '"',
        "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2014": " - ", "\u2015": " - ",
        "\u2026": "...", "\ufe0e": None, "\ufe0f": None, "¿": None, "¡": None,
        "？": "?", "！": "!", "，": ", ", "。": ". ", "、": ", ", "；": "; ", "：": ": ", "؟": "?", "،": ", ",
        "।": ". ",
    }
)  # fmt: skip
"""Variants of one symbol. `\u2212`, minus, is not among the dashes: between words it never replaces one."""

_MONEY = "$€£¥₹%"
_NUMBER = r"[$€£¥₹]?[A-Za-z]*[0-9]+(?:[.,:][0-9]+)*(?:[A-Za-z]+|[%$€£¥₹])?"
_WORD = r"[A-Za-z]+(?:'[A-Za-z]+)?"
_NEXT = r"(?<=[A-Za-z]{2})[,/](?=[A-Za-z]{2})|(?<=[a-z]{2})[.?](?=[A-Z][a-z])"
_PLAIN = re.compile(rf"(?:{_WORD}|{_NUMBER})(?:(?:{_NEXT}){_WORD})*|(?:[A-Za-z]\.)+[A-Za-z]")
"""A word, a number with its currency, an abbreviation; words separated by a slash, or by the end of a
sentence or a comma without its space."""
_EXACT = re.compile(r"[0-9]{16}|(?<![0-9.,:])0[0-9]|\.[0-9]*0(?![0-9])")
"""Digits that count as written: `3.1` and `3.10`, `7` and `007`, more than a float can hold."""
_OPENING = "\"'(["
_CLOSING = "\"')].,;:?!"
_BETWEEN = frozenset("-&/")
_ENDS = frozenset(".,;:?!")
_MEASURE = re.compile(r"\d'(?!s\b)|\d\"")
"""`5'` and `5"`, which are feet or minutes, inches or seconds."""
_BY_LETTER = re.compile(r"\b[A-Za-z]!|\d!")
"""`n!` and `5!`: a factorial. After a word, `!` is surprise."""


class Signs(NamedTuple):
    """A text's symbols besides its plain words and numbers, in order."""

    values: tuple[str, ...] = ()
    """Pieces with symbols, as written."""
    letters: tuple[str, ...] = ()
    """Words with letters beyond ASCII and no other symbol."""
    cased: frozenset[str] = frozenset()
    """Words of `CASED` written with the capital: `US`, `Polish` inside a sentence."""
    lower: frozenset[str] = frozenset()
    """Those written in lower case: `us`, `polish`."""


NOTHING = Signs()
LATIN = "LATIN"
_EAST_ASIAN = frozenset({"HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "IDEOGRAPHIC"})
_ONLY_WORDS = re.compile(r"[A-Za-z0-9]+(?:(?:(?<=[A-Za-z0-9]{2})[,.])? [A-Za-z0-9]+)*[.?]?")


def signs(text: str) -> Signs:
    """The symbols of `text`. Never raises, on any string."""
    if not text.isascii():
        text = composed(text.translate(_SAME))
    pieces = text.split()
    cased, lower = _written(pieces, text)
    if _ONLY_WORDS.fullmatch(text) and not _EXACT.search(text):
        return NOTHING if not (cased or lower) else Signs(cased=cased, lower=lower)
    values: list[str] = []
    letters: list[str] = []
    script = LATIN if text.isascii() else _main_script(text)
    quotes = 0
    for at, piece in enumerate(pieces):
        if piece.isalnum() and piece.isascii() and not _EXACT.search(piece):
            continue
        quoted = bool(quotes % 2) or piece[0] == '"'
        quotes += piece.count('"')
        core = piece.lstrip(_OPENING).rstrip(_CLOSING)
        if _is_word(core, script):
            letters.append(_lower(core))
        elif (value := _value(piece, core, at, pieces, quoted=quoted)) is not None:
            values.append(_lower(value))
    return Signs(tuple(values), tuple(letters), cased, lower)


def _value(piece: str, core: str, at: int, pieces: list[str], *, quoted: bool) -> str | None:
    """The part of the piece that must agree; None: it is plain. `core` is the piece without outer
    punctuation."""
    if not core:
        return None if _is_prose(piece, at, pieces) else piece
    if core in _BETWEEN:
        return None if _is_between_words(at, pieces) else piece
    if len(core) == 1 and len(piece) > 1 and (around := _around_one(piece, core, at, pieces)) is not None:
        return around
    if _measures(piece, quoted=quoted) or _BY_LETTER.search(piece):
        return piece.rstrip(".,;:")
    if _is_plain(core) or (core in _MONEY and _is_of_number(at, pieces)):
        return None
    if any(map(str.isalnum, core)) or at + 1 == len(pieces) or piece[-1] == ",":
        return core
    return piece  # an operator: `<` is not `<?`


def _is_prose(piece: str, at: int, pieces: list[str]) -> bool:
    """Whether a piece of punctuation alone ends a sentence or separates words, as ` ?` does at the end."""
    if at == 0 or "!" in piece or not _ENDS.issuperset(piece):
        return False
    return at + 1 == len(pieces) or (piece in {".", "?"} and pieces[at + 1][0].isupper())


def _around_one(piece: str, core: str, at: int, pieces: list[str]) -> str | None:
    """The punctuation around a single character that is quoted or code: `[a]`, `'a'`, `a;`. None: it ends a
    sentence, or an initial."""
    bare = piece.rstrip(".,;:?!") if at + 1 == len(pieces) else piece
    initial = (
        piece[-1] == "." and core.isupper() and pieces[at + 1 :][:1] != [] and pieces[at + 1][0].isupper()
    )
    return None if bare == core or initial else bare


def _measures(piece: str, *, quoted: bool) -> bool:
    found = _MEASURE.search(piece)
    return found is not None and not (quoted and piece[found.end() - 1] == '"')


def _is_between_words(at: int, pieces: list[str]) -> bool:
    """Whether a dash, a slash, `&` or `:` stands between words, not numbers or one-letter names."""
    beside = [pieces[i] for i in (at - 1, at + 1) if 0 <= i < len(pieces)]
    return len(beside) == 2 and all(len(word) > 1 and not word[0].isdigit() for word in beside)


def _is_of_number(at: int, pieces: list[str]) -> bool:
    """Whether it follows a number, as in `20 %`; the rules compare units."""
    beside = [pieces[i] for i in (at - 1, at + 1) if 0 <= i < len(pieces)]
    return any("0" <= char <= "9" for word in beside for char in word[:1] + word[-1:])


def _is_plain(core: str) -> bool:
    if _EXACT.search(core):
        return False
    if _PLAIN.fullmatch(core):
        return True
    parts = core.split("-")
    if len(parts) < 2 or not all(part and _PLAIN.fullmatch(part) for part in parts):
        return False
    words = [len(part) > 1 and part[0].isalpha() for part in parts]
    return all(one or two for one, two in pairwise(words))


def _is_word(core: str, script: str) -> bool:
    """Whether it is a word with letters beyond ASCII, with no symbols except hyphens and apostrophes, all in
    the text's script. A word of several scripts has a letter that only looks like another."""
    if core.isascii():
        return False
    kinds = [(char, unicodedata.category(char)[0]) for char in core if char not in "-'"]
    if not all(kind in "LM" for _, kind in kinds):
        return False
    return {_script(char) for char, kind in kinds if kind == "L"} == {script}


def _script(letter: str) -> str:
    """The first word of its Unicode name, which distinguishes scripts; Japanese and Chinese count as one."""
    if letter < "\u0080":
        return LATIN
    name = unicodedata.name(letter, "").partition(" ")[0]
    return "CJK" if name in _EAST_ASIAN else name


def _main_script(text: str) -> str:
    """The script of most letters; Latin on a tie."""
    counts = Counter(_script(char) for char in text if char.isalpha())
    return max(counts, key=lambda script: (counts[script], script == LATIN), default=LATIN)


def _lower(piece: str) -> str:
    """Lower-case it, unless its letters, such as mathematical ones, have meaningful case."""
    return piece.lower() if max(piece) < "\u0370" else piece


def _written(pieces: list[str], text: str) -> tuple[frozenset[str], frozenset[str]]:
    """How the words of `CASED` are written. A capital means nothing if all words have one."""
    found = [
        (at, word)
        for at, piece in enumerate(pieces)
        if (word := piece.strip(_OPENING + _CLOSING)).lower() in CASED
    ]
    if not found:
        return frozenset(), frozenset()
    capitals = sum(piece[:1].isupper() for piece in pieces)
    telling = not text.isupper() and not (len(pieces) > 3 and capitals > 0.6 * len(pieces))
    cased, lower = set(), set()
    for at, word in found:
        if word.islower():
            lower.add(word)
        elif telling and (word.isupper() or (at and pieces[at - 1][-1] not in ".?!:")):
            cased.add(word.lower())
    return frozenset(cased - lower), frozenset(lower - cased)


# -- two texts ----------------------------------------------------------------------------------------

_UNMARKED = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ı": "i", "ħ": "h", "ŧ": "t", "ß": "ss", "æ": "ae", "œ": "oe",
     "þ": "th", "ŋ": "n"}
)  # fmt: skip


def unlike(
    a: Signs, b: Signs, words_a: tuple[str, ...], words_b: tuple[str, ...], *, english: bool
) -> str | None:
    """How the symbols of two texts differ; None: they agree. The order of the two does not matter.

    In English a word with letters beyond ASCII is a name or quoted, and must be in both. In other languages
    it is an ordinary word, but it may not become another word only by its marks (`años`, `anos`).
    """
    if a.values != b.values:
        return "signs differ"
    if a.letters or b.letters:
        if english and a.letters != b.letters:
            return "letters differ"
        if words_a != words_b and _only_marks_differ(a, b, words_a, words_b):
            return "letters differ"
    if a.cased & b.lower or a.lower & b.cased:
        return "names differ"
    return None


def _only_marks_differ(a: Signs, b: Signs, words_a: tuple[str, ...], words_b: tuple[str, ...]) -> bool:
    """Whether a word of one occurs in the other with different marks, or all do in another order."""
    if list(map(_unmarked, words_a)) == list(map(_unmarked, words_b)):
        return True
    one, two = _by_letters(a, words_a), _by_letters(b, words_b)
    marked = {_unmarked(word) for word in (*a.letters, *b.letters)}
    return any(one[key] != two[key] for key in marked & one.keys() & two.keys())


def _by_letters(written_signs: Signs, words: tuple[str, ...]) -> dict[str, set[str]]:
    """Words as written, keyed by their form without marks."""
    found: dict[str, set[str]] = {}
    for word in (*written_signs.letters, *filter(str.isascii, words)):
        found.setdefault(_unmarked(word), set()).add(word)
    return found


def _unmarked(word: str) -> str:
    plain = composed(word, "NFD")
    return "".join(char for char in plain if not "\u0300" <= char <= "\u036f").translate(_UNMARKED)
