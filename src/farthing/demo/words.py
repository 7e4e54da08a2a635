"""What the simulated models answer. Pure: the same question has the same answer, whichever model gives it.

A question of BANKING77 is answered by its intent, as a support desk would: two questions of one intent have
one answer. So the client of the demo can check the text of every answer, and tells right hits of the
semantic cache from wrong ones.
"""

from functools import lru_cache
from hashlib import blake2b

from farthing.demo.traffic import GENERATED_TOKENS_MAX, arrivals, questions
from farthing.text.phrase import normalised

OPENING = "This is a simulated answer about {subject}."
SENTENCES = (
    "You can see the current state at any time in the app, under the entry it belongs to.",
    "Most cases are settled within one working day, and you are told as soon as something changes.",
    "If the app shows nothing yet, wait until the end of the day and look again.",
    "You do not need to visit a branch for this, and there is no form to send in.",
    "When something looks wrong, freeze the card in the app first and then write to us.",
    "Have the date, the amount and the name of the merchant at hand when you contact support.",
    "Weekends and public holidays do not count as working days.",
    "Your balance shows what is booked; amounts that are pending are listed below it.",
    "Two identical requests are handled once, so there is no need to ask again.",
    "The terms of your account name the limits that apply, and the app shows what is left of them.",
    "A colleague reads every case that the app cannot settle by itself.",
    "You can undo this within the same day from the same screen.",
    "We never ask for your PIN or your passcode, neither by message nor by telephone.",
    "Once it is confirmed, you find the confirmation among your documents.",
)


def tokens_of(text: str) -> int:
    """Tokens as the simulated models count them: one for every four characters, at least one."""
    return max(1, len(text) // 4)


@lru_cache(maxsize=1)
def _categories() -> dict[str, str]:
    return {normalised(question.text): question.category for question in questions()}


@lru_cache(maxsize=1)
def _lengths() -> tuple[int, ...]:
    return tuple(arrival.generated_tokens for arrival in arrivals())


def answer(question: str) -> str:
    """The answer to `question`: its intent in words, then sentences up to a length out of the trace.

    Letter case, runs of white space and closing punctuation of the question make no difference, nor does
    anything but its intent where that is known.
    """
    text = normalised(question)
    category = _categories().get(text)
    seed = int.from_bytes(blake2b((category or text).encode("utf-8", "replace"), digest_size=8).digest())
    tokens_max = min(_lengths()[seed % len(_lengths())], GENERATED_TOKENS_MAX)
    subject = "your question" if category is None else category.replace("_", " ")
    parts = [OPENING.format(subject=subject)]
    tokens = tokens_of(parts[0])
    for step in range(len(SENTENCES)):
        sentence = SENTENCES[(seed + step) % len(SENTENCES)]
        tokens += tokens_of(sentence) + 1
        if tokens > tokens_max:
            break
        parts.append(sentence)
    return " ".join(parts)


def is_an_answer(text: str) -> bool:
    """Whether `text` is the answer to some question of the set."""
    return text in _all()


@lru_cache(maxsize=1)
def _all() -> frozenset[str]:
    return frozenset(answer(question.text) for question in questions())


def pieces(text: str) -> list[str]:
    """`text` as the pieces of a stream: words, each with the space before it."""
    first, *rest = text.split(" ")
    return [first, *(f" {word}" for word in rest)]
