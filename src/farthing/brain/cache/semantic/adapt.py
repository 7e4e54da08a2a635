"""Substitute the name, amount or date of a new question into a stored answer, if nothing else depends on it.

A stored answer to "Write a reminder about the $40 invoice" may serve a $55 one, because the amount occurs in
the question and, in the same characters, in the answer. It may not if the answer contains another number that
could have been computed from it, or a "she" that refers to the name. So an answer is a template only if every
value of the stored question is found in it and no other value of those kinds remains. Anything unclear is a
miss. The verifier is then asked about both questions with their values masked.
"""

import re
from collections.abc import Sequence

from msgspec import Struct

from farthing.types import Slot

VALUE_CHARS_MAX = 60

_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|"
    r"oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_NUMBER = r"\d+(?:[.,]\d+)*"
_FINDERS: dict[Slot, re.Pattern[str]] = {
    "date": re.compile(
        rf"\b(?:\d{{4}}-\d{{2}}-\d{{2}}|\d{{1,2}}[./]\d{{1,2}}[./]\d{{2,4}}|"
        rf"{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?\b(?:,? \d{{4}}\b)?|"
        rf"\d{{1,2}}(?:st|nd|rd|th)? {_MONTH}(?:,? \d{{4}}\b)?)",
        re.IGNORECASE,
    ),
    "amount": re.compile(
        rf"(?:[$€£¥]|\b(?:USD|EUR|GBP|CHF|JPY) ?){_NUMBER}(?: ?(?:k|m|thousand|million)\b)?|"
        rf"\b{_NUMBER} ?(?:€|£|\$|(?:dollars?|euros?|pounds?|francs?|cents?|USD|EUR|GBP|CHF)\b)",
        re.IGNORECASE,
    ),
    "name": re.compile(
        r"\b(?:for|with|from|to|is|named|called|[Dd]ear|[Mm]rs?\.?|[Dd]r\.?) "
        r"([A-Z][\w'-]+(?: [A-Z][\w'-]+){0,2})"
    ),
}
_MASKS: dict[Slot, str] = {"name": "somebody", "amount": "an amount", "date": "a date"}

_COUNTS = re.compile(
    r"\d|\b(?:half|twice|double|triple|both|(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|"
    r"(?:thir|four|fif|six|seven|eigh|nine)teen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|"
    r"thousand|million|dozen)s?)\b",
    re.IGNORECASE,
)
_TIMES = re.compile(
    rf"\b(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day|{_MONTH}|today|tomorrow|yesterday|week(?:end|day)?s?|"
    r"days?|months?|years?|before|after|later|earlier|until)\b",
    re.IGNORECASE,
)
_PERSONS = re.compile(r"\b(?:he|she|him|her|hers|his|himself|herself|mr|mrs|ms|sir|madam)\b", re.IGNORECASE)
_INNER_NAME = re.compile(r"(?<=[a-z,;] )[A-Z][a-z]+")
_LEFT_OVER: dict[Slot, tuple[re.Pattern[str], ...]] = {
    "amount": (_COUNTS,),
    "date": (_COUNTS, _TIMES),
    "name": (_PERSONS, _INNER_NAME),
}


class Value(Struct, frozen=True):
    """One value of a question that can be substituted."""

    kind: Slot
    start: int
    end: int
    text: str


class Adaptation(Struct, frozen=True, kw_only=True):
    """A stored answer with new values, and both questions with their values masked."""

    answer: str
    asked: str
    stored: str


def values_of(question: str, kinds: Sequence[Slot]) -> list[Value]:
    """The values of these kinds in `question`, in order of position, without overlaps."""
    found: list[Value] = []
    for kind in ("date", "amount", "name"):
        if kind not in kinds:
            continue
        for match in _FINDERS[kind].finditer(question):
            start, end = match.span(1) if match.re.groups else match.span()
            if not any(value.start < end and start < value.end for value in found):
                found.append(Value(kind, start, end, question[start:end]))
    return sorted(found, key=lambda value: value.start)


def needs_adapting(asked: str, stored: str, kinds: Sequence[Slot]) -> bool:
    """Whether the questions differ in their values: the stored answer then cannot go out as it is."""
    return [(v.kind, v.text) for v in values_of(asked, kinds)] != [
        (v.kind, v.text) for v in values_of(stored, kinds)
    ]


def adapt(asked: str, stored: str, answer: str, kinds: Sequence[Slot]) -> Adaptation | None:
    """`answer`, which was given to `stored`, with the values of `asked`; None if it is not a template."""
    new, old = values_of(asked, kinds), values_of(stored, kinds)
    if not old or [value.kind for value in new] != [value.kind for value in old]:
        return None
    if any(len(value.text) > VALUE_CHARS_MAX for value in new):
        return None
    filled: dict[str, str] = {}
    for before, after in zip(old, new, strict=True):
        if filled.setdefault(before.text, after.text) != after.text:
            return None  # one value occurs for two: it is unclear which one the answer means
    pattern = re.compile(
        "|".join(rf"(?<![\w.,]){re.escape(v)}(?![\w]|[.,]\d)" for v in _longest_first(filled))
    )
    if {match.group() for match in pattern.finditer(answer)} != filled.keys():
        return None
    rest = pattern.sub(" ", answer)
    if any(left.search(rest) for kind in {value.kind for value in old} for left in _LEFT_OVER[kind]):
        return None
    return Adaptation(
        answer=pattern.sub(lambda match: filled[match.group()], answer),
        asked=_masked(asked, new),
        stored=_masked(stored, old),
    )


def _longest_first(values: dict[str, str]) -> list[str]:
    return sorted(values, key=len, reverse=True)


def _masked(question: str, values: list[Value]) -> str:
    for value in reversed(values):
        question = question[: value.start] + _MASKS[value.kind] + question[value.end :]
    return question
