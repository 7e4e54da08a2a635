"""Whether a model gives the same answer when asked again.

The score is the share of further samples that agree with the answer, as in Wang et al., "Self-Consistency
Improves Chain of Thought Reasoning in Language Models", ICLR 2023, section 2, and, for a cascade, Yue et al.,
"Large Language Model Cascades with Mixture of Thoughts Representations for Cost-Efficient Reasoning", ICLR
2024, section 3: an answer that the cheap model repeats is likelier to be right. A wrong answer that it
repeats passes: agreement is not truth.
"""

import asyncio
import re
from collections import Counter
from decimal import Decimal, InvalidOperation
from typing import Literal

from farthing.evaluation.checks.threshold import NO_DOUBT, Floor, Unchecked
from farthing.protocols import Ask
from farthing.runtime.loop_batch import in_task
from farthing.text.unicode_normalize import composed
from farthing.types import CandidateAnswer, CheckResult, Json

Compare = Literal["auto", "number", "choice", "text"]

TEXT_CHARS_MAX = 20_000  # compared per answer; takes some milliseconds
SHORT_WORDS_MAX = 8  # up to this length, the words must be equal
OVERLAP_MIN = 0.6  # F1 of words from which two long texts count as equal
NUMBER_CHARS_MAX = 40

_NOT_OF_A_SAMPLE = frozenset(
    {"stream", "stream_options", "n", "seed", "logprobs", "top_logprobs", "temperature", "store"}
)
_NUMBER = re.compile(r"[-\u2212+]?\d[\d,.'\u00a0\u202f]*")
# Bounded white space: with `\s*` three times, "answer" and 800 spaces blocked the event loop for 5 s.
_MARKED = re.compile(
    r"(?:\\boxed\{|####|answer(?: is)?\s{0,4}:?)\s{0,4}\$?\s{0,4}([-\u2212+]?\d[\d,.']*)", re.IGNORECASE
)
_CHOICE_ALONE = re.compile(r"\(?([A-J])\)?(?:[.:)]\s?.*)?", re.DOTALL)
_CHOICE_SAID = re.compile(
    r"\b(?:answer|option|choice)(?: is)?\s{0,4}:?\s{0,4}\**\(?([A-J])\b\)?", re.IGNORECASE
)
_WORD = re.compile(r"[^\W_]+(?:[-\u2212][^\W_]+)*|[-\u2212]\d+")
_UNSPACED = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


class ConsistencyCheck:
    """Implements `protocols.AnswerCheck`. Asks the same model `samples` more times, concurrently."""

    def __init__(
        self, *, name: str, samples: int, temperature: float, compare: Compare, floor: Floor
    ) -> None:
        self.name = name
        self._samples = samples
        self._temperature = temperature
        self._compare: Compare = compare
        self._floor = floor

    async def doubt(self, draft: CandidateAnswer, ask: Ask) -> CheckResult:
        """See `protocols.AnswerCheck`.

        Raises:
            Unchecked: no sample arrived.
        """
        if draft.tool_calls or "tools" in draft.request.body or not draft.text.strip():
            return NO_DOUBT
        body = sample_body(draft.request.body, self._temperature)
        await in_task()
        async with asyncio.TaskGroup() as asking:  # one failure, or the client leaving, cancels the rest
            tasks = [asking.create_task(ask(body, None)) for _ in range(self._samples)]
        found = [task.result() for task in tasks]
        texts = [sample.text for sample in found if sample is not None and not sample.tool_calls]
        if not texts:
            raise Unchecked("no sample came")
        agreeing = sum(agree(draft.text, text, self._compare) for text in texts)
        return self._floor.judged(
            agreeing / len(texts), draft.target.name, f"{agreeing} of {len(texts)} samples agree: share"
        )


def sample_body(body: Json, temperature: float) -> Json:
    """The request for one more sample: the client's question at `temperature`."""
    return {
        **{name: value for name, value in body.items() if name not in _NOT_OF_A_SAMPLE},
        "temperature": temperature,
    }


def agree(one: str, other: str, compare: Compare = "auto") -> bool:
    """Whether two answers say the same, as far as numbers, choices and words show."""
    one, other = _plain(one), _plain(other)
    how = _how(one) if compare == "auto" else compare
    match how:
        case "number":
            first = number_of(one)
            return first is not None and first == number_of(other)
        case "choice":
            letter = choice_of(one)
            return letter is not None and letter == choice_of(other)
        case _:
            return _same_text(one, other)


def number_of(text: str) -> Decimal | None:
    """The number that an answer gives: the marked one, else the last one."""
    marked = _MARKED.findall(text)
    found = marked or _NUMBER.findall(text)
    return _decimal(found[-1]) if found else None


def choice_of(text: str) -> str | None:
    """The letter that an answer chooses: the whole answer, its opening, or the letter it names as its
    choice."""
    text = text.strip().strip("*").strip()
    alone = _CHOICE_ALONE.fullmatch(text)
    if alone is not None:
        return alone[1].upper()
    choices = _CHOICE_SAID.findall(text)
    return choices[-1].upper() if choices else None


def _plain(text: str) -> str:
    return composed(text[:TEXT_CHARS_MAX], "NFKC")[:TEXT_CHARS_MAX].strip()  # NFKC may expand


def _how(text: str) -> Compare:
    """What to compare: the answer's letter, its number, or its words."""
    if choice_of(text) is not None:
        return "choice"
    words = _words(text)
    if _MARKED.search(text) or (len(words) <= SHORT_WORDS_MAX and len(_NUMBER.findall(text)) == 1):
        return "number"
    return "text"


def _decimal(digits: str) -> Decimal | None:
    """Parse a number as people write it: `1,234.5`, `1.234,5`, `1'234`."""
    text = re.sub(r"['\s]", "", digits[:NUMBER_CHARS_MAX]).replace("\u2212", "-").rstrip(".,")
    last = max(text.rfind(","), text.rfind("."))
    if last >= 0:
        head, mark, tail = re.sub(r"[.,]", "", text[:last]), text[last], text[last + 1 :]
        only = text.count(mark) == 1 and (text.count(",") + text.count(".")) == 1
        groups = len(tail) == 3 and (mark == "," or not only) if only else text.count(mark) > 1
        text = head + tail if groups else f"{head}.{tail}"
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def _same_text(one: str, other: str) -> bool:
    first, second = _words(one), _words(other)
    if max(len(first), len(second)) <= SHORT_WORDS_MAX:
        return bool(first) and first == second
    common = sum((Counter(first) & Counter(second)).values())
    return 2 * common >= OVERLAP_MIN * (len(first) + len(second)) and common > 0


def _words(text: str) -> list[str]:
    """Lower-case words; for scripts without spaces, pairs of characters."""
    found: list[str] = []
    for word in _WORD.findall(text.casefold()):
        if _UNSPACED.search(word) and len(word) > 2:
            found += [word[at : at + 2] for at in range(len(word) - 1)]
        else:
            found.append(word)
    return found
