"""What the models behind `generateContent` can be asked for, by their names.

Only what decides how a request is written, so that the provider does not refuse it. A name that tells no
version of Gemini is taken for the newest.

Sources: Google's documentation, "Thinking", "Thought signatures", "Structured output" and "Function calling".
"""

import re
from functools import lru_cache
from typing import Literal

from msgspec import Struct

_NAME = re.compile(r"gemini-(\d{1,2})(?:[.-](\d{1,2})(?!\d))?")
_NEWEST = (99, 0)
_BUDGETS = {"lite": (512, 24_576), "flash": (1, 24_576), "pro": (128, 32_768)}
"""Least and most tokens of a budget of thinking, of the models that take one."""


class Abilities(Struct, frozen=True):
    thinking: Literal["none", "budget", "level"]
    """How much to think is said not at all, by a budget of tokens, or by a word."""
    levels: tuple[str, ...]
    """Words for it, the least first; empty: it takes a budget."""
    budget_tokens_min: int
    budget_tokens_max: int
    thinks_always: bool
    """Its thinking cannot be turned off."""
    signs: bool
    """A step of the history that calls tools is refused without a signature at its first call."""
    numbers_calls: bool
    """Calls and their results have an id."""
    shows_in_results: bool
    """What a tool gave may have images and files."""
    forms_beside_tools: bool
    """The answer can be held to a form where tools may be called."""
    charges_queries: bool
    """A search is charged by its queries; else by the request that has led to some."""


@lru_cache(maxsize=256)
def abilities(model: str) -> Abilities:
    name = model.lower()
    found = _NAME.search(name)
    version = _NEWEST if found is None else (int(found[1]), int(found[2] or 0))
    family = "lite" if "lite" in name else "flash" if "flash" in name else "pro"
    third = version >= (3, 0)
    least, most = _BUDGETS[family]
    return Abilities(
        thinking="level" if third else "budget" if version >= (2, 5) else "none",
        levels=_levels(version, family) if third else (),
        budget_tokens_min=least,
        budget_tokens_max=most,
        thinks_always=third or family == "pro",
        signs=third,
        numbers_calls=third,
        shows_in_results=third,
        forms_beside_tools=third,
        charges_queries=third,
    )


def _levels(version: tuple[int, int], family: str) -> tuple[str, ...]:
    if family == "pro":
        return ("low", "high") if version == (3, 0) else ("low", "medium", "high")
    every = ("minimal", "low", "medium", "high")
    return every if version < (3, 7) else every[1:]
