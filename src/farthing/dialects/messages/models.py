"""What the models behind Messages can be asked for: what the catalogue says, else by their names.

Only what decides how a request is written, so that the provider does not refuse it. Of a name that tells no
version: a Claude is taken for the newest, any other model for one of the older form.
"""

import re
from functools import lru_cache
from typing import Literal

from msgspec import Struct

from farthing.types import NOTHING_SAID, Features, replace

_NAME = re.compile(
    r"claude-(?:(\d)(?:[-.](\d{1,2}))?-)?[a-z]+(?:-(\d{1,2})(?![\d])(?:[-.](\d{1,2})(?!\d))?)?"
)
_NEWEST = (99, 0)
_EFFORTS = ("low", "medium", "high", "xhigh", "max")


class Abilities(Struct, frozen=True):
    thinking: Literal["none", "budget", "adaptive"]
    """How thinking is asked for: not at all, by a budget of tokens, or at the model's own measure."""
    signs: bool
    """Its thinking is signed, and without its signature is refused. Others want theirs back as it was."""
    effort: tuple[str, ...]
    """Values of `output_config.effort`; empty: there is no such field."""
    formats: bool
    """The answer can be held to a JSON schema."""
    sampling: bool
    """`temperature`, `top_p` and `top_k` may be other than the default."""
    both_samplings: bool
    """`temperature` and `top_p` may stand together."""
    forced_choice: bool
    """A call of a tool can be demanded."""
    system_in_place: bool
    """Instructions may stand among the turns, with a role of their own."""
    binds: bool
    """Its thinking is bound to the values of all that stood before it."""
    output_tokens_max: int
    """Where no catalogue knows the model's limit."""


@lru_cache(maxsize=256)
def abilities(model: str, listed: Features = NOTHING_SAID) -> Abilities:
    """`listed`: what the catalogue says of the model at its provider, which is believed first."""
    guessed = _by_name(model)
    if listed is NOTHING_SAID or not guessed.signs:
        return guessed

    def said(word: str, otherwise: bool) -> bool:
        return word in listed.can or (otherwise and word not in listed.cannot)

    adaptive = said("adaptive_thinking", guessed.thinking == "adaptive")
    efforts = tuple(one for one in listed.efforts if one in _EFFORTS) or guessed.effort or _EFFORTS[:3]
    found: Abilities = replace(
        guessed,
        thinking="adaptive" if adaptive else guessed.thinking,
        effort=efforts if adaptive else (),
        formats=said("structured_output", guessed.formats),
        sampling=said("sampling", guessed.sampling),
        forced_choice=said("forced_tools", guessed.forced_choice),
        system_in_place=said("system_in_place", guessed.system_in_place),
    )
    return found


def version_of(model: str) -> tuple[int, int]:
    """As a model's name tells it."""
    name = model.lower()
    found = _NAME.search(name)
    if found is None:
        return _NEWEST if "claude" in name else (4, 0)
    if found[1] is not None:
        return int(found[1]), int(found[2] or 0)
    return _NEWEST if found[3] is None else (int(found[3]), int(found[4] or 0))


def _by_name(model: str) -> Abilities:
    name, version = model.lower(), version_of(model)
    adaptive = version >= (4, 6)
    efforts = (
        ("low", "medium", "high", "xhigh", "max") if version >= (4, 7) else ("low", "medium", "high", "max")
    )
    return Abilities(
        thinking="adaptive" if adaptive else "budget" if version >= (3, 7) else "none",
        signs="claude" in name,
        effort=efforts if adaptive else (),
        formats=version >= (4, 5) or (version == (4, 1) and "opus" in name),
        sampling=version < (4, 7),
        both_samplings=version < (4, 1),
        forced_choice=version < (5, 1),
        system_in_place=version >= (4, 8),
        binds=version >= (5, 5) or (version >= (5, 1) and ("fable" in name or "mythos" in name)),
        output_tokens_max=_output_tokens_max(version),
    )


def _output_tokens_max(version: tuple[int, int]) -> int:
    if version >= (4, 5):
        return 64_000
    if version >= (3, 7):
        return 32_000
    return 8_192 if version >= (3, 5) else 4_096
