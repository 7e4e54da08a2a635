"""A text in the form that the rules use: one pass, no model."""

import re
from typing import NamedTuple

from farthing.brain.cache.semantic.verify.signs import NOTHING, Signs, signs
from farthing.brain.cache.semantic.verify.words import (
    CALENDAR,
    CALENDAR_CASED,
    COUNTING,
    LOOK_ALIKE,
    NAMED,
    NEGATIONS,
    NUMBER_WORDS,
    PHRASES,
    POINTING,
    SPANS,
    STOP,
    TIMES,
    UNIT_BARE,
    UNITS,
)
from farthing.text.unicode_normalize import composed

_TOKEN = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_]+(?:'[^\W\d_]+)?|[%$€£¥₹]|[?!.;]|[+#]+|<=?|>=?|=")
_NOT_TEXT = frozenset("?!.;")
_CURRENCIES = frozenset("$€£¥₹")
_TENS = frozenset(range(20, 100, 10))
_QUOTED = re.compile(r"[\"\u201c\u201d«»]([^\"\u201c\u201d«»]{1,60})[\"\u201c\u201d«»]")
_QUOTED_ONCE = re.compile(r"(?<![\w'])'([^']{2,60})'(?![\w'])")
_CODE = re.compile(r"(?=\S*\d)(?=\S*[A-Za-z])[\w-]{4,}|\b[A-Z]{2,6}\b")
_US = re.compile(r"\bUS\b(?!\$)")
_PHRASE = re.compile("|".join(re.escape(old) for old in PHRASES))

# What is asked for. Two kinds of one row never have the same answer; `what`, `which` and orders can be
# anything.
_ASKS = re.compile(
    r"(?P<price>how (?:much|expensive)\b.{0,40}\b(?:cost|price|pay|charge|worth|earn|make|money)|"
    r"how expensive|how much is|"
    r"(?:what(?:'s| is| are| does)|the) (?:the )?(?:price|cost|fee|salary))|"
    r"(?P<duration>how (?:long|much time))|(?P<frequency>how (?:often|frequently))|"
    r"(?P<age>how old|at what age|what age|what(?:'s| is) the age)|"
    r"(?P<distance>how far|what(?:'s| is) the distance)|"
    r"(?P<height>how tall|how high|what(?:'s| is) the height)|"
    r"(?P<count>how many|what(?:'s| is) the number of)|"
    r"(?P<amount>how much\b)|"
    r"(?P<reason>\bwhy\b|how come|what(?:'s| is| are) the (?:\w+ )?(?:reason|cause)|for what reason)|"
    r"(?P<time>\bwhen\b(?! (?:i|you|we|he|she|it|they|the|a|my|an|your|someone|people|using)\b)|"
    r"what time|(?:what|which) (?:year|date|day|month))|"
    r"(?P<place>\bwhere\b|(?:what|which) (?:place|website|site|shop|store))|"
    r"(?P<person>\bwho\b(?! (?:is|are|was|has|have|had|do|does|can|will) (?:a|an|in|on|not)\b)|"
    r"\bwhom\b|\bwhose\b)|"
    r"(?P<manner>\bhow\b|ways? to\b|steps to\b)"
)
_YES_NO = re.compile(r"^(?:so |and |but |then )?(is|are|was|were|does|do|did|should|will|has|have|am)\b")
_ASKED_POLITELY = re.compile(
    r"^(?:do you know|does anyone know|do you have any idea|is there|is it possible|will you|are there|"
    r"have you|do i need|do i have)\b"
)


class Facts(NamedTuple):
    words: tuple[str, ...]
    """In order, lower case, without punctuation."""
    content: tuple[str, ...]
    """`words` without function words; stemmed."""
    numbers: frozenset[float]
    units: frozenset[str]
    dates: frozenset[str]
    names: frozenset[str]
    """Known names, canonical."""
    spans: frozenset[str]
    """Words written as names: capitals inside a sentence, codes. Lower case."""
    quoted: frozenset[str]
    negated: bool
    asks: str
    """The kind of question: `price`, `reason`; `yes` for a yes-or-no question, empty if unclear."""
    signs: Signs = NOTHING
    """Symbols besides plain words and numbers."""


def parse(text: str) -> Facts:
    found_signs = signs(text)
    if not text.isascii():
        text = composed(text, "NFKC").translate(LOOK_ALIKE)
    if "US" in text and not text.isupper():
        text = _US.sub("USA", text)
    lower = text.lower()
    lower = _PHRASE.sub(
        lambda match: PHRASES[match.group()], lower.replace("can't", "cannot").replace("won't", "will not")
    )
    found = _TOKEN.findall(lower)
    words = [word for word in found if word not in _NOT_TEXT]
    numbers, units, dates, names = _slots(words, text)
    quoted: list[str] = _QUOTED.findall(text) if '"' in text or "\u201c" in text else []
    if "'" in text:
        quoted += _QUOTED_ONCE.findall(text)
    return Facts(
        words=tuple(words),
        content=tuple(stem(word) for word in words if word not in STOP),
        numbers=numbers,
        units=units,
        dates=dates,
        names=names,
        spans=_spans(text),
        quoted=frozenset(span.strip().lower() for span in quoted),
        negated=not NEGATIONS.isdisjoint(words),
        asks=_asks(lower.strip()),
        signs=found_signs,
    )


def stem(word: str) -> str:
    """Cut the simplest endings, so that `cards` and `card`, `paying` and `pay` match."""
    if len(word) < 4:
        return word
    if word.endswith("'s"):
        word = word[:-2]
    for end, least in (("ing", 6), ("ies", 5), ("ed", 5), ("es", 5), ("s", 4)):
        if word.endswith(end) and len(word) >= least and not word.endswith("ss"):
            word = word[: -len(end)] + ("y" if end == "ies" else "")
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lse":
        word = word[:-1]
    return word[:-1] if len(word) > 4 and word.endswith("e") else word


def _slots(
    words: list[str], text: str
) -> tuple[frozenset[float], frozenset[str], frozenset[str], frozenset[str]]:
    numbers: list[float] = []
    units: set[str] = set()
    dates: set[str] = set()
    names: set[str] = set()
    before, after_number = "", False
    for i, word in enumerate(words):
        if _read_number(word, numbers, after_number):
            if before in _CURRENCIES:
                units.add(UNITS[before])
            before, after_number = word, True
            continue
        if word in UNITS:
            if after_number or UNITS[word] in UNIT_BARE or before in COUNTING:
                units.add(UNITS[word])
        elif word in SPANS and before in POINTING:
            dates.add(f"{before} {word}")
        if word in CALENDAR and (word not in CALENDAR_CASED or _is_date(word, words, i, text)):
            dates.add(CALENDAR[word])
        name = NAMED.get(word) or _singular_name(word)
        if name:
            names.add(name)
        before, after_number = word, False
    return frozenset(numbers), frozenset(units), frozenset(dates), frozenset(names)


def _read_number(word: str, numbers: list[float], after_number: bool) -> bool:
    """Add the number that `word` is, or change the last one (`million`, `five` of `twenty five`)."""
    if word[0].isdigit():
        numbers.append(_value(word))
    elif word in NUMBER_WORDS:
        value = float(NUMBER_WORDS[word])
        if after_number and numbers[-1] in _TENS and 0 < value < 10:
            numbers[-1] += value
        else:
            numbers.append(value)
    elif after_number and word in TIMES:
        numbers[-1] *= TIMES[word]
    else:
        return False
    return True


def _singular_name(word: str) -> str | None:
    if word[-1] != "s":
        return None
    return NAMED.get(word[:-2] if word.endswith("'s") else word[:-1])


def _is_date(word: str, words: list[str], at: int, text: str) -> bool:
    if word == "now":
        return False
    beside = words[max(0, at - 2) : at] + words[at + 1 : at + 2]
    return word.capitalize() in text and any(other[0].isdigit() or other == "in" for other in beside)


def _value(word: str) -> float:
    """`1,500` is 1500; `9:15` and `3.2.1` each become one number of their own."""
    if ":" in word or word.count(".") > 1:
        return float("".join(letter for letter in word if letter.isdigit())[:15] or 0) + 0.001
    head, comma, tail = word.rpartition(",")
    if comma and (len(tail) != 3 or "." in head):
        return float(tail.replace(".", "")[:15]) if not head else _value(head) + _value(tail) / 1e6
    return float(word.replace(",", "")[:300])


def _spans(text: str) -> frozenset[str]:
    words = text.split()
    found = {code.lower().replace("-", "") for code in _CODE.findall(text)}
    capitals = [word for word in words[1:] if word[:1].isupper()]
    if len(words) > 3 and len(capitals) > 0.6 * len(words):
        return frozenset(found) if not text.isupper() else frozenset()
    before = words[0] if words else ""
    for word in words[1:]:
        if (
            word[:1].isupper()
            and before[-1] not in ".?!:"
            and word not in ("I", "I'm", "I'd", "I've", "I'll")
        ):
            bare = word.strip(".,?!:;()'\"").lower()
            bare = bare[:-2] if bare.endswith("'s") else bare
            if bare and bare not in STOP:
                found.add(bare)
        before = word
    return frozenset(found)


def _asks(lower: str) -> str:
    if len(lower) > 200 or lower.count("?") > 1:
        return ""
    yes_no = _YES_NO.match(lower)
    if yes_no and not _ASKED_POLITELY.match(lower):
        return "yes"
    found = _ASKS.search(lower)
    return (found.lastgroup or "") if found else ""
