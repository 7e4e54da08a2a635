"""What the models behind chat completions can be asked for: what the catalogue says, else by their names."""

import re
from functools import lru_cache

from msgspec import Struct

from farthing.types import NOTHING_SAID, Features

REASONING_MODELS = ("gpt-5", "gpt-6", "o1", "o3", "o4")
"""OpenAI's models that reason: what their names begin with."""
VERBOSE_MODELS = ("gpt-5", "gpt-6")
"""Those of them that take `verbosity`."""
_PLAIN = re.compile(r"(?:chatgpt|gpt-(?:3\.5|4))")
_THINKS_ON = re.compile(r"deepseek|glm|kimi|mimo|minimax|moonshot")
"""Models whose own servers refuse an answer with calls whose thoughts are missing, or think worse."""
_ALTERNATES = re.compile(r"gemma|llama|[a-z]+stral|mixtral|pixtral|qwen|qwq")
"""Models whose templates refuse instructions behind the first turn, and some of them two turns of the user
in a row. Servers apply the templates as they are."""
_FIXED_SAMPLING = re.compile(r"(?:o[134]|gpt-5)(?![.\d])(?!-chat)")
"""From GPT-5.1 on models that do not reason at the moment take sampling parameters."""
_SAMPLES_AT_REST = re.compile(r"gpt-(?:5\.[1-9]|[6-9])")
"""Of which price lists say that they take none."""
LIMIT = "max_completion_tokens"
_HIGH = ("high", "xhigh", "max")
_EXTRA_HIGH = re.compile(r"gpt-(?:5\.[2-9]|[6-9])")


class Abilities(Struct, frozen=True):
    fixed_sampling: bool
    """It is known to refuse any `temperature` and `top_p` but 1, whatever its effort."""
    reasons: bool
    """It is known to reason: it takes `max_completion_tokens` and no sampling parameters."""
    effort: bool
    """`reasoning_effort` may be sent: it is not known to refuse it."""
    efforts_high: tuple[str, ...]
    """What `reasoning_effort` can say from `high` on, the least first."""
    thinks_on: bool
    """It wants back what it has thought, as `reasoning_content`, which others refuse."""
    alternates: bool
    """Its instructions stand before all else, and then user and model take turns."""
    openai: bool
    """It is one of OpenAI's, by its name."""
    verbosity: bool
    """It takes `verbosity`."""
    proves: bool
    """It wants back the proofs of what it has thought (`proofs`), which others refuse."""

    def at_most(self, effort: str) -> str:
        """`effort`, or the nearest below it that the model takes."""
        if effort not in _HIGH or effort in self.efforts_high:
            return effort
        below = _HIGH[: _HIGH.index(effort)]
        return next((one for one in reversed(self.efforts_high) if one in below), _HIGH[0])


@lru_cache(maxsize=256)
def abilities(model: str, listed: Features = NOTHING_SAID) -> Abilities:
    """`listed`: what the catalogue says of the model at its provider, which is believed first."""
    name = model.rpartition("/")[2]
    plain = _PLAIN.match(name) is not None
    reasons = name.startswith(REASONING_MODELS)
    if LIMIT in listed.can or LIMIT in listed.cannot:
        reasons = LIMIT in listed.can
    fixed = _FIXED_SAMPLING.match(name) is not None
    if "sampling" in listed.can:
        fixed = False
    elif "sampling" in listed.cannot and _SAMPLES_AT_REST.match(name) is None:
        fixed = True
    effort = not plain
    if listed.efforts or "effort" in listed.cannot or "reasoning" in listed.cannot:
        effort = bool(listed.efforts)
    high = ("high", "xhigh") if _EXTRA_HIGH.match(name) else ("high",)
    return Abilities(
        fixed_sampling=fixed,
        reasons=reasons,
        effort=effort,
        efforts_high=tuple(one for one in listed.efforts if one in _HIGH) or high,
        thinks_on=_THINKS_ON.search(name.lower()) is not None,
        alternates=_ALTERNATES.search(name.lower()) is not None,
        openai=plain or name.startswith(REASONING_MODELS),
        verbosity=name.startswith(VERBOSE_MODELS),
        proves="gemini" in name.lower(),
    )
