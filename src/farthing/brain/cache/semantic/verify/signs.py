# ruff: noqa: RUF001  (signs and letters of many scripts)
"""What a text says in signs: operators, marks on letters, emoji, letters of other scripts, measures.

Models of words read signs poorly or not at all: a tokenizer takes the marks off letters, drops what it does
not know or makes one token of it, so that `años` and `anos`, or two emoji, come to one vector, and `5<3` and
`5>3` to nearly one. So a piece of a text, from one white space to the next, is *plain* only where it is known
to be: ASCII words, numbers (whose values the rules compare by themselves) and punctuation as prose has it.
Every other piece is a value, as it is written, and two texts must have the same ones in the same order.
Nothing has to be listed for that: a sign that nobody thought of is a value.

Harmless, and made alike first: kinds of white space, of quotation marks, dashes and dots, variation
selectors, composed and decomposed letters (NFC, not NFKC: `x²` is not `x2`). Letter case does not matter,
since people write names in lower case; `CASED` in `words` has the few words that a capital makes another one.
Time grows with the length alone.
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
"""Ways to write one sign. `\u2212`, minus, is none of the dashes: between words it never stands for one."""

_MONEY = "$€£¥₹%"
_NUMBER = r"[$€£¥₹]?[A-Za-z]*[0-9]+(?:[.,:][0-9]+)*(?:[A-Za-z]+|[%$€£¥₹])?"
_WORD = r"[A-Za-z]+(?:'[A-Za-z]+)?"
_NEXT = r"(?<=[A-Za-z]{2})[,/](?=[A-Za-z]{2})|(?<=[a-z]{2})[.?](?=[A-Z][a-z])"
_PLAIN = re.compile(rf"(?:{_WORD}|{_NUMBER})(?:(?:{_NEXT}){_WORD})*|(?:[A-Za-z]\.)+[A-Za-z]")
"""A word, a number with its currency, an abbreviation; words parted by a slash, or by the end of a sentence
or a comma that lacks its space."""
_EXACT = re.compile(r"[0-9]{16}|(?<![0-9.,:])0[0-9]|\.[0-9]*0(?![0-9])")
"""Digits that count as they are written: `3.1` and `3.10`, `7` and `007`, more than a float holds."""
_OPENING = "\"'(["
_CLOSING = "\"')].,;:?!"
_BETWEEN = frozenset("-&/")
_ENDS = frozenset(".,;:?!")
_MEASURE = re.compile(r"\d'(?!s\b)|\d\"")
"""`5'` and `5"`, which are feet or minutes, inches or seconds."""
_BY_LETTER = re.compile(r"\b[A-Za-z]!|\d!")
"""`n!` and `5!`: a factorial. A word before it is surprise."""


class Signs(NamedTuple):
    """What a text says beside its plain words and numbers, in order."""

    values: tuple[str, ...] = ()
    """Pieces with signs, as they are written."""
    letters: tuple[str, ...] = ()
    """Words with letters beyond ASCII and no other sign."""
    cased: frozenset[str] = frozenset()
    """Words of `CASED` that are written as the capital says: `US`, `Polish` inside a sentence."""
    lower: frozenset[str] = frozenset()
    """Those that are written in lower case: `us`, `polish`."""


NOTHING = Signs()
LATIN = "LATIN"
_EAST_ASIAN = frozenset({"HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "IDEOGRAPHIC"})
_ONLY_WORDS = re.compile(r"[A-Za-z0-9]+(?:(?:(?<=[A-Za-z0-9]{2})[,.])? [A-Za-z0-9]+)*[.?]?")


def signs(text: str) -> Signs:
    """The signs of `text`. Never raises, on any string."""
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
    """What of the piece must agree; None: it is plain. `core` is the piece without punctuation around it."""
    if not core:
        return None if _is_prose(piece, at, pieces) else piece
    if core in _BETWEEN:
        return None if _is_between_words(at, pieces) else piece
    if len(core) == 1 and len(piece) > 1 and (told := _around_one(piece, core, at, pieces)) is not None:
        return told
    if _measures(piece, quoted=quoted) or _BY_LETTER.search(piece):
        return piece.rstrip(".,;:")
    if _is_plain(core) or (core in _MONEY and _is_of_number(at, pieces)):
        return None
    if any(map(str.isalnum, core)) or at + 1 == len(pieces) or piece[-1] == ",":
        return core
    return piece  # an operator: `<` is not `<?`


def _is_prose(piece: str, at: int, pieces: list[str]) -> bool:
    """Whether a piece of punctuation alone ends a sentence or parts words, as ` ?` does at the end."""
    if at == 0 or "!" in piece or not _ENDS.issuperset(piece):
        return False
    return at + 1 == len(pieces) or (piece in {".", "?"} and pieces[at + 1][0].isupper())


def _around_one(piece: str, core: str, at: int, pieces: list[str]) -> str | None:
    """What stands around a single character, which then is spoken of or is code: `[a]`, `'a'`, `a;`. None: it
    ends a sentence, or an initial."""
    bare = piece.rstrip(".,;:?!") if at + 1 == len(pieces) else piece
    initial = (
        piece[-1] == "." and core.isupper() and pieces[at + 1 :][:1] != [] and pieces[at + 1][0].isupper()
    )
    return None if bare == core or initial else bare


def _measures(piece: str, *, quoted: bool) -> bool:
    found = _MEASURE.search(piece)
    return found is not None and not (quoted and piece[found.end() - 1] == '"')


def _is_between_words(at: int, pieces: list[str]) -> bool:
    """Whether a dash, a slash, `&` or `:` stands between words, not numbers or names of one letter."""
    beside = [pieces[i] for i in (at - 1, at + 1) if 0 <= i < len(pieces)]
    return len(beside) == 2 and all(len(word) > 1 and not word[0].isdigit() for word in beside)


def _is_of_number(at: int, pieces: list[str]) -> bool:
    """Whether a number stands beside, as in `20 %`; the rules compare units."""
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
    """Whether it is a word with letters beyond ASCII and with no sign but hyphens and apostrophes, all in the
    script of the text. One of several scripts has a letter that only looks like one of the others."""
    if core.isascii():
        return False
    kinds = [(char, unicodedata.category(char)[0]) for char in core if char not in "-'"]
    if not all(kind in "LM" for _, kind in kinds):
        return False
    return {_script(char) for char, kind in kinds if kind == "L"} == {script}


def _script(letter: str) -> str:
    """The first word of its name in Unicode, which tells scripts apart; Japanese and Chinese are one."""
    if letter < "\u0080":
        return LATIN
    name = unicodedata.name(letter, "").partition(" ")[0]
    return "CJK" if name in _EAST_ASIAN else name


def _main_script(text: str) -> str:
    """That of most letters; Latin where as many are Latin."""
    counts = Counter(_script(char) for char in text if char.isalpha())
    return max(counts, key=lambda script: (counts[script], script == LATIN), default=LATIN)


def _lower(piece: str) -> str:
    """In lower case, unless it holds letters, as those of mathematics, whose case says something."""
    return piece.lower() if max(piece) < "\u0370" else piece


def _written(pieces: list[str], text: str) -> tuple[frozenset[str], frozenset[str]]:
    """How the words of `CASED` are written. A capital says nothing where all words have one."""
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
    """What of the signs of two texts differs; None: they agree. The order of the two does not matter.

    In English a word with letters beyond ASCII is a name or is quoted, and must be in both. In other
    languages it is a word like others; it may not become another one by its marks alone (`años`, `anos`).
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
    """Whether a word of one stands in the other with other marks or none, or all do in another order."""
    if list(map(_unmarked, words_a)) == list(map(_unmarked, words_b)):
        return True
    one, two = _by_letters(a, words_a), _by_letters(b, words_b)
    marked = {_unmarked(word) for word in (*a.letters, *b.letters)}
    return any(one[key] != two[key] for key in marked & one.keys() & two.keys())


def _by_letters(said: Signs, words: tuple[str, ...]) -> dict[str, set[str]]:
    """Words as they are written, by what they are without marks."""
    found: dict[str, set[str]] = {}
    for word in (*said.letters, *filter(str.isascii, words)):
        found.setdefault(_unmarked(word), set()).add(word)
    return found


def _unmarked(word: str) -> str:
    plain = composed(word, "NFD")
    return "".join(char for char in plain if not "\u0300" <= char <= "\u036f").translate(_UNMARKED)
