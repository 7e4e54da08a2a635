# ruff: noqa: RUF001  (signs of many scripts)
"""When two wordings are the same question: shared by cache keys and fixed answers."""

from farthing.text.unicode_normalize import composed

CLOSING = " .?!…。？！؟"


def normalised(text: str) -> str:
    """Fold letter case, runs of white space and closing punctuation; nothing that carries meaning.

    Idempotent: normalising twice changes nothing more.
    """
    folded = text.casefold() if text.isascii() else composed(text.casefold())
    return " ".join(folded.split()).rstrip(CLOSING)
