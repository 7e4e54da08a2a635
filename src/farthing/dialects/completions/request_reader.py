"""A request of completions as a chat completion: its prompt is what the user says.

A model of today answers a prompt, it does not go on with it letter by letter. So what needs the bare prompt
at the model (text after a gap, tokens in place of text, the best of several) is refused by name.
"""

from typing import Any

from farthing.dialects.chat.fields import integer, invalid
from farthing.types import Json

ALTERNATIVES_MAX = 20  # of each token, in chat completions
_CHATS = (
    "messages", "tools", "tool_choice", "parallel_tool_calls", "functions", "function_call", "top_logprobs",
    "max_completion_tokens", "modalities", "audio", "cache_control",
)  # fmt: skip
"""Fields that mean something in chat completions alone."""
_OWN = frozenset({"prompt", "suffix", "echo", "best_of", "logprobs"})


def read(body: Json) -> Json:
    """The form of the pipeline. `body` is not changed.

    Raises:
        InvalidRequest: a field has a wrong shape, or asks for what no chat model does; `param` names it.
    """
    prompt = prompt_of(body)
    for name in _CHATS:
        if body.get(name) is not None:
            raise invalid(name, "is no field of completions; for it use /v1/chat/completions")
    if body.get("suffix") not in (None, ""):
        raise invalid("suffix", "is not taken: models that chat fill no gaps; put what follows in the prompt")
    echo = body.get("echo")
    if echo is not None and echo.__class__ is not bool:
        raise invalid("echo", "must be true or false")
    best, wanted = integer(body, "best_of", neutral=1), integer(body, "n", neutral=1)
    if best is not None and best != wanted:
        raise invalid(
            "best_of", "is not taken, except where it equals `n`: ask for `n` and choose among them"
        )
    written = {name: value for name, value in body.items() if name not in _OWN}
    written["messages"] = [{"role": "user", "content": prompt}]
    alternatives = integer(body, "logprobs")
    if alternatives is not None:
        if echo:
            raise invalid("logprobs", "is not taken beside `echo`: the tokens of a prompt have none")
        if not 0 <= alternatives <= ALTERNATIVES_MAX:
            raise invalid("logprobs", f"must be from 0 to {ALTERNATIVES_MAX}")
        written["logprobs"] = True
        if alternatives:
            written["top_logprobs"] = alternatives
    return written


def prompt_of(body: Json) -> str:
    """Raises:
    InvalidRequest: as `read`.
    """
    prompt: Any = body.get("prompt")
    if prompt.__class__ is list and len(prompt) == 1 and prompt[0].__class__ is str:
        prompt = prompt[0]
    if prompt.__class__ is str:
        return str(prompt)
    if prompt.__class__ is not list or not prompt:
        raise invalid("prompt", "must be a string")
    if all(one.__class__ is str for one in prompt):
        raise invalid("prompt", f"has {len(prompt)} prompts: send each in a request of its own")
    raise invalid("prompt", "must be text: what its tokens mean differs from model to model")
