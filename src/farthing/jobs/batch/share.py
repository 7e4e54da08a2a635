"""Which drafted questions are sent together, each with its share of the budget. Pure."""

from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Struct

from farthing.jobs.prewarm.gather import Ask
from farthing.models.batch_call import BatchDraft
from farthing.models.pricing.afford import OUTPUT_TOKENS_ASSUMED
from farthing.types import Prompt

LINES_MIN = 10  # fewer are not worth waiting a day
LINES_MAX = 500
FILE_BYTES_MAX = 4_194_304
ANSWER_BYTES_PER_TOKEN = 8
ANSWER_BYTES_MORE = 4_096
ROOM = 2  # the worst case of a line may be no more than twice its expected cost


class Question(Struct, frozen=True, kw_only=True):
    """One question that may be sent in a batch."""

    key: str
    ask: Ask
    cost_nusd: int | None
    """Expected cost of its answer; None: unknown."""
    note: str = ""
    """Returned with the answer, whichever process receives it."""


class Ready(Struct, frozen=True, kw_only=True):
    """A question with the request to send."""

    question: Question
    draft: BatchDraft
    prompt: Prompt
    worst_nusd: int


def allotted(group: Sequence[tuple[Question, BatchDraft]], left_nusd: int) -> list[Ready]:
    """The questions of one target that `left_nusd` pays for even in the worst case, in order, each with its
    cap; none if there are fewer than `LINES_MIN`."""
    share_max_nusd = left_nusd // LINES_MIN
    group = [one for one in group if _fits(*one, share_max_nusd)]
    count = len(group)
    while count >= LINES_MIN:
        ready = _shared(group[:count], left_nusd)
        if ready:
            return ready
        count //= 2  # fewer questions get more each
    return []


def _fits(question: Question, draft: BatchDraft, share_nusd: int) -> bool:
    """Whether an answer of the usual length costs no more than `share_nusd`, even in the worst case."""
    return share_nusd >= ROOM * (question.cost_nusd or 0) and draft.within(share_nusd) is not None


def _shared(group: Sequence[tuple[Question, BatchDraft]], left_nusd: int) -> list[Ready]:
    """All of them, each with its share plus what others left of theirs; none if one does not fit."""
    found: list[Ready] = []
    for place, (question, draft) in enumerate(group):
        share_nusd = left_nusd // (len(group) - place)
        capped = draft.within(share_nusd) if _fits(question, draft, share_nusd) else None
        if capped is None:
            return []
        prompt, worst_nusd = capped
        left_nusd -= worst_nusd
        found.append(Ready(question=question, draft=draft, prompt=prompt, worst_nusd=worst_nusd))
    return found


def chunks(ready: Sequence[Ready], answers_bytes_max: int) -> Iterator[list[Ready]]:
    """Split into files whose questions and answers stay within their bounds, as far as can be estimated."""
    chunk: list[Ready] = []
    asked_bytes = answered_bytes = 0
    for one in ready:
        tokens = one.prompt.output_tokens_max or one.draft.target.output_tokens_max or OUTPUT_TOKENS_ASSUMED
        answer_bytes = tokens * ANSWER_BYTES_PER_TOKEN + ANSWER_BYTES_MORE
        ask_bytes = len(msgspec.json.encode(one.prompt.body)) + ANSWER_BYTES_MORE
        full = len(chunk) == LINES_MAX or asked_bytes + ask_bytes > FILE_BYTES_MAX
        if chunk and (full or answered_bytes + answer_bytes > answers_bytes_max):
            yield chunk
            chunk, asked_bytes, answered_bytes = [], 0, 0
        chunk.append(one)
        asked_bytes += ask_bytes
        answered_bytes += answer_bytes
    if chunk:
        yield chunk
