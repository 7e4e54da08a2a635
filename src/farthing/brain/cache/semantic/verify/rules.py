"""Hard guards: what must agree before a stored answer may serve another question.

A question and the same question with another number, unit, date or name, with a `not` added or with two roles
swapped have embeddings closer together than two wordings of one question. So the shape of a wrong hit is
known beforehand, and each kind is checked by name. Pure Python, under 0.1 ms for a pair of 12 words. The
rules only ever say no: that they find nothing does not make two questions the same.

A finding is *certain* if the texts are otherwise alike, or if one detail replaces another. When people word
the same thing differently, one may name a number, a place or a `not` that the other leaves out, and in
natural questions that hardly indicates another meaning: then it is only a doubt.
"""

import re
from typing import NamedTuple

from farthing.brain.cache.semantic.verify.parse import Facts, parse, stem
from farthing.brain.cache.semantic.verify.signs import unlike
from farthing.brain.cache.semantic.verify.words import (
    ANTONYMS,
    CALENDAR,
    NAMED,
    NEGATIONS,
    RANKS,
    SAME_RANK,
    STOP,
    UNITS,
)
from farthing.types import Verdict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from farthing.protocols import Vector

_BESIDE = frozenset({"and", "or", "vs", "versus", "v"})
_TURNING = frozenset({"than", "from", "by", "into", "over", "before", "after"})
_ARTICLES = frozenset({"a", "an", "the", "my", "of"})
_AT_LEAST = {"atleast": ">", "morethan": ">", "over": ">", "above": ">", "atmost": "<", "lessthan": "<",
             "under": "<", "below": "<"}  # fmt: skip
_WORD = re.compile(r"[^\W_]+")
_SPELLED = NEGATIONS | ANTONYMS.keys() | NAMED.keys() | CALENDAR.keys() | UNITS.keys()
_DETAILS = frozenset(_SPELLED | {stem(word) for word in _SPELLED})
CONTAINED = 0.9
MEASURED = frozenset({"dollar", "euro", "pound", "yen", "rupee", "%"})
"""Units with a one-character symbol: `20`, `$20` and `20%` are three numbers."""
_VAGUE = frozenset({"today"})  # stated or not, most questions are about today
_LOOSE = frozenset({"manner", "amount"})
"""`how` has many meanings: `how is it useful` and `why is it useful` can be one question."""


def disagreement(asked: str, stored: str) -> str | None:
    """Why the two cannot have the same answer, in a few words without their text; None if nothing is found.

    The order of the two does not matter.
    """
    return disagreement_of(parse(asked), parse(stored))


def disagreement_of(a: Facts, b: Facts, *, english: bool = True) -> str | None:
    """`disagreement` for parsed texts. `english`: see `signs.unlike`."""
    return unlike(a.signs, b.signs, a.words, b.words, english=english) or _words_disagree(a, b)


def _words_disagree(a: Facts, b: Facts) -> str | None:
    if a.words == b.words:
        return "quoted text differs" if a.quoted and b.quoted and a.quoted != b.quoted else None
    return _values(a, b) or _meaning(a, b) or _order(a, b)


class Finding(NamedTuple):
    reason: str
    certain: bool
    """Whether it alone rejects the pair; otherwise it is a doubt to weigh with the rest."""


def finding_of(a: Facts, b: Facts, *, english: bool = True) -> Finding | None:
    """`disagreement_of`, and how much it counts. The order of the two does not matter."""
    if reason := unlike(a.signs, b.signs, a.words, b.words, english=english):
        return Finding(reason, certain=True)
    reason = _words_disagree(a, b)
    if reason is None:
        return None
    certain = _alike_otherwise(a, b) or _in_the_place(a, b) or bool(_order(a, b))
    return Finding(reason, certain)


def _alike_otherwise(a: Facts, b: Facts) -> bool:
    """Whether, apart from details, the texts share half of their words, or one has nearly all of the
    other's."""
    one, two = _plain(a), _plain(b)
    both = len(one & two)
    return 2 * both >= len(one | two) or both >= CONTAINED * min(len(one), len(two))


def _plain(facts: Facts) -> set[str]:
    return {word for word in facts.content if word not in _DETAILS and not word[0].isdigit()} - facts.spans


def _in_the_place(a: Facts, b: Facts) -> bool:
    """Whether each text has a detail of one kind that the other lacks."""
    return (
        bool(a.numbers - b.numbers and b.numbers - a.numbers)
        or bool(a.names - b.names and b.names - a.names)
        or bool(a.dates - b.dates and b.dates - a.dates)
    )


def _values(a: Facts, b: Facts) -> str | None:
    if a.numbers != b.numbers:
        return "numbers differ"
    if a.units - b.units and b.units - a.units:
        return "units differ"
    if a.numbers and not MEASURED.isdisjoint(a.units ^ b.units):
        return "units differ"
    if a.numbers:
        more, less = _limits(a), _limits(b)
        if more and less and more != less:
            return "limits differ"
    if (a.dates ^ b.dates) - _VAGUE or (a.dates != b.dates and a.dates and b.dates):
        return "dates differ"
    if _unsaid(a, b) and _unsaid(b, a):
        return "quoted text differs"
    if a.names != b.names:
        return "names differ"
    if (a.spans or b.spans) and _replaced(a, b):
        return "names differ"
    return None


def _unsaid(a: Facts, b: Facts) -> bool:
    """Whether `a` quotes something that `b` does not contain even without quotes."""
    return any(not set(_WORD.findall(quote)) <= set(b.words) for quote in a.quoted - b.quoted)


def _limits(facts: Facts) -> set[str]:
    words = facts.words
    found = set()
    for i, word in enumerate(words[:-1]):
        if word in _AT_LEAST and (words[i + 1][0].isdigit() or words[i + 1] in "$€£¥₹"):
            found.add(_AT_LEAST[word])
    return found


def _replaced(a: Facts, b: Facts) -> bool:
    """Whether each has a name that the other lacks in any spelling: one replaced the other."""
    return _lacks(a, b) and _lacks(b, a)


def _lacks(a: Facts, b: Facts) -> bool:
    missing = [name for name in a.spans if name not in b.words and name not in b.spans]
    if not missing:
        return False
    joined = "".join(b.words)
    initials = "".join(word[0] for word in b.words)
    return any(
        name.replace(".", "") not in joined
        and not (2 <= len(name) <= 5 and name in initials)
        and not any(_alike(name, word) for word in b.words)
        for name in missing
    )


def _alike(one: str, two: str) -> bool:
    """Whether the words are one typo apart, or inflections of each other."""
    if abs(len(one) - len(two)) > 2 or len(one) < 4 or len(two) < 4 or one[0] != two[0]:
        return False
    at = 0
    while at < min(len(one), len(two)) and one[at] == two[at]:
        at += 1
    if at >= max(4, max(len(one), len(two)) - 2):
        return True
    rest_one, rest_two = one[at:], two[at:]
    return rest_one[1:] == rest_two[1:] or rest_one[1:] == rest_two or rest_one == rest_two[1:]


def _meaning(a: Facts, b: Facts) -> str | None:
    if a.negated != b.negated and _much_in_common(a, b):
        return "one is negated"
    if _opposite(a, b):
        return "opposites"
    if a.asks and b.asks and a.asks != b.asks and a.asks not in _LOOSE and b.asks not in _LOOSE:
        return "another kind of question"
    ranks_a, ranks_b = _ranks(a), _ranks(b)
    if ranks_a and ranks_b and ranks_a.isdisjoint(ranks_b):
        return "superlatives differ"
    return None


def _much_in_common(a: Facts, b: Facts) -> bool:
    """Whether a `not` in one can be the difference: in other words, `I am unable` means `I cannot`."""
    one, two = set(a.content), set(b.content)
    return len(one & two) >= 0.4 * min(len(one), len(two))


def _opposite(a: Facts, b: Facts) -> bool:
    in_a, in_b = set(a.words), set(b.words)
    for word in in_a - in_b:
        others = ANTONYMS.get(word)
        if others and any(other in in_b and other not in in_a for other in others):
            return True
    return False


def _ranks(facts: Facts) -> set[str]:
    return {SAME_RANK.get(word, word) for word in facts.words if word in RANKS}


def _order(a: Facts, b: Facts) -> str | None:
    """Whether two things have changed places: `from A to B`, `A better than B`, `A chases B`."""
    for word in ("to", "into"):
        if word in a.words and word in b.words and _turned(a.words, b.words):
            return "the other direction"
    one, two = _bare(a), _bare(b)
    if len(one) != len(two) or one == two or sorted(one) != sorted(two):
        return None
    moved = [i for i in range(len(one)) if one[i] != two[i]]
    # Adjacent words that change places (`easily online`, `rain puddle` and `puddle of rain`) mean the same.
    swapped = len(moved) == 2 and moved[1] - moved[0] > 1
    swapped |= len(moved) == 4 and moved[1] - moved[0] == 1 and moved[3] - moved[2] == 1 < moved[2] - moved[1]
    if not swapped or any(one[i] in STOP for i in moved) or _side_by_side(a, b):
        return None
    return "the other way round"


def _bare(facts: Facts) -> tuple[str, ...]:
    return tuple(word for word in facts.words if word not in _ARTICLES)


def _turned(a: tuple[str, ...], b: tuple[str, ...]) -> bool:
    """Whether `x to y` of one is `y to x` of the other."""
    ways = {(a[i - 1], a[i + 1]) for i in range(1, len(a) - 1) if a[i] in ("to", "into")}
    if len(a) and any(word in ("a", "an", "the", "my") for word in a):
        a = tuple(word for word in a if word not in ("a", "an", "the", "my"))
        ways |= {(a[i - 1], a[i + 1]) for i in range(1, len(a) - 1) if a[i] in ("to", "into")}
    b = tuple(word for word in b if word not in ("a", "an", "the", "my"))
    return any(
        (b[i + 1], b[i - 1]) in ways and b[i + 1] != b[i - 1]
        for i in range(1, len(b) - 1)
        if b[i] in ("to", "into")
    )


def _side_by_side(a: Facts, b: Facts) -> bool:
    """Whether the texts list things with `and` or `or`, where order means nothing."""
    together = not _BESIDE.isdisjoint(a.words) and not _BESIDE.isdisjoint(b.words)
    return together and _TURNING.isdisjoint(a.words)


VERSION = 2
"""Raise it when the rules change: they decide what is served, and so what a certificate was made from."""
CHARS_MAX = 600
"""Longer texts are not judged: one detail among so many words is too easily missed."""


class RulesVerifier:
    """Serves if the rules find nothing and the vectors' cosine is at least `cosine_min`; never abstains.

    For an installation without models: strict about numbers and names, but no judge of wording.
    """

    def __init__(self, *, cosine_min: float = 0.95) -> None:
        self._cosine_min = cosine_min
        self.name = f"rules/{VERSION}/{cosine_min}"

    async def verify(
        self,
        asked: str,
        stored: str,
        asked_vector: "Vector",
        stored_vector: "Vector",
        *,
        language: str = "en",
    ) -> Verdict:
        if asked == stored:
            return Verdict(outcome="serve", probability=1.0, reason="the same text")
        if len(asked) > CHARS_MAX or len(stored) > CHARS_MAX:
            return Verdict(outcome="miss", probability=0.0, reason="too long to compare")
        reason = disagreement_of(parse(asked), parse(stored), english=language == "en")
        if reason:
            return Verdict(outcome="miss", probability=0.0, reason=reason)
        cosine = min(1.0, max(0.0, float(asked_vector @ stored_vector)))
        if cosine < self._cosine_min:
            return Verdict(outcome="miss", probability=cosine / 2, reason=f"cosine {cosine:.3f}")
        return Verdict(outcome="serve", probability=cosine, reason=f"cosine {cosine:.3f}, rules agree")
