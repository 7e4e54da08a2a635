"""What the models behind chat completions can be asked for, by their names."""

import re
from functools import lru_cache

from msgspec import Struct

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
_EXTRA_HIGH = re.compile(r"gpt-(?:5\.[2-9]|[6-9])")


class Abilities(Struct, frozen=True):
    fixed_sampling: bool
    """It is known to refuse any `temperature` and `top_p` but 1, whatever its effort."""
    reasons: bool
    """It is known to reason: it takes `max_completion_tokens` and no sampling parameters."""
    effort: bool
    """`reasoning_effort` may be sent: it is not known to refuse it."""
    effort_max: str
    """The most that `reasoning_effort` can say."""
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


@lru_cache(maxsize=256)
def abilities(model: str) -> Abilities:
    name = model.rpartition("/")[2]
    plain = _PLAIN.match(name) is not None
    return Abilities(
        fixed_sampling=_FIXED_SAMPLING.match(name) is not None,
        reasons=name.startswith(REASONING_MODELS),
        effort=not plain,
        effort_max="xhigh" if _EXTRA_HIGH.match(name) else "high",
        thinks_on=_THINKS_ON.search(name.lower()) is not None,
        alternates=_ALTERNATES.search(name.lower()) is not None,
        openai=plain or name.startswith(REASONING_MODELS),
        verbosity=name.startswith(VERBOSE_MODELS),
        proves="gemini" in name.lower(),
    )
