"""A chat completion request, read into the model of a conversation.

All of OpenAI's form, its legacy functions included, and what clients of other gateways add to it: cache marks
on parts, messages and tools, `thinking`, `reasoning`, and the reasoning of earlier answers as
`thinking_blocks`, `reasoning_details` or `reasoning_content`. A shape that is wrong is refused by the name of
the field; what is only unknown is kept (`Opaque`, `extras`).

The form of the pipeline (`request_writer.inner`), which a request of another dialect was written in, is read
as a request of that dialect again.
"""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec.structs import replace

from farthing.dialects.chat.fields import BILLING, integer, invalid, number, object_of, text_of
from farthing.dialects.chat.requests.parts import read_content
from farthing.dialects.chat.requests.tools import read_choice, read_functions, read_tools
from farthing.dialects.chat.requests.turns import read_turns
from farthing.dialects.conversation import (
    NO_THINKING,
    NOTHING,
    Conversation,
    Format,
    Thinking,
    Turn,
)
from farthing.types import Dialect, Json, output_tokens_said

NAMES = {
    "choices": "n",
    "format": "response_format",
    "thinking": "reasoning_effort",
    "choice": "tool_choice",
}
"""What chat completions call a field of `Conversation`, where it is called otherwise."""
_READ = frozenset({
    "model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens",
    "tools", "tool_choice", "parallel_tool_calls", "functions", "function_call", "response_format",
    "reasoning_effort", "thinking", "reasoning", "stop", "temperature", "top_p", "top_k", "n", "seed",
    "frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "top_logprobs", "user",
    "safety_identifier", "service_tier", "cache_control",
})  # fmt: skip
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "store": (False,),
    "modalities": (["text"],),
    "verbosity": ("medium",),
    "metadata": ({},),
}
"""Values of other fields that ask for what happens anyway."""


def read(body: Json, names: Mapping[str, str] | None = None, dialect: Dialect = "messages") -> Conversation:
    """What a chat completion request says. `body` is not changed, and parts of it are in the result.

    `names`: it is the form of the pipeline, of a request of `dialect`, which calls the fields so.

    Raises:
        InvalidRequest: a field has a shape that no client means; `param` names it.
    """
    messages = body.get("messages")
    if messages.__class__ is not list:
        raise invalid("messages", "must be a list of messages")
    own: Dialect | Literal[""] = "" if names is None else dialect
    system, turns = read_turns(messages, own)
    if own and BILLING in body:
        system = _with_billing(system, body[BILLING], own)
    names_said, thinking = _thinking(body)
    legacy = "functions" in body and not body.get("tools")
    extras = {
        name: value
        for name, value in body.items()
        if name not in _READ and value is not None and value not in _NEUTRAL.get(name, ())
    }
    if own:
        extras.pop(BILLING, None)
    model = body.get("model")
    user = text_of(body, "safety_identifier")
    return Conversation(
        dialect=own or "chat",
        model=model if isinstance(model, str) else "",
        system=system,
        turns=turns,
        tools=read_functions(body) if legacy else read_tools(body, own),
        choice=read_choice(body, "function_call" if legacy else "tool_choice", own),
        legacy_functions=legacy,
        format=_format(body.get("response_format"), own),
        thinking=thinking,
        output_tokens_max=0 if own and body.get("max_tokens") == 0 else _output_tokens_max(body),
        stop=_stop(body.get("stop")),
        temperature=number(body, "temperature"),
        top_p=number(body, "top_p"),
        top_k=integer(body, "top_k"),
        choices=integer(body, "n", neutral=1),
        seed=integer(body, "seed"),
        frequency_penalty=number(body, "frequency_penalty") or None,
        presence_penalty=number(body, "presence_penalty") or None,
        logit_bias=object_of(body, "logit_bias") or None,
        logprobs=_logprobs(body),
        user=user if user is not None else text_of(body, "user"),
        service_tier=text_of(body, "service_tier"),
        cache=body.get("cache_control"),
        extras=extras or NOTHING,
        names=names_said if names is None else names,
    )


def _with_billing(system: tuple[Turn, ...], part: Any, own: str) -> tuple[Turn, ...]:
    """`system` with the block first that the form has apart."""
    first = system[0] if system else Turn("system", ())
    return (replace(first, blocks=(*read_content([part], BILLING, own), *first.blocks)), *system[1:])


def _output_tokens_max(body: Json) -> int | None:
    said = body.get("max_completion_tokens")
    return output_tokens_said(body.get("max_tokens") if said is None else said)


def _logprobs(body: Json) -> int | None:
    alternatives = integer(body, "top_logprobs", neutral=0)
    if alternatives is not None:
        return alternatives
    wanted = body.get("logprobs")
    if wanted is None or wanted is False:
        return None
    return 0 if wanted is True else integer(body, "logprobs", neutral=0)


def _stop(said: Any) -> tuple[str, ...]:
    if said is None:
        return ()
    if said.__class__ is str:
        said = [said]
    if said.__class__ is not list or any(one.__class__ is not str for one in said):
        raise invalid("stop", "must be a string or a list of strings")
    return tuple(one for one in said if one)


def _format(said: Any, own: str = "") -> Format | None:
    if said is None:
        return None
    if said.__class__ is not dict:
        raise invalid("response_format", "must be an object")
    if own == "messages":
        return _own_format(said)
    match said.get("type"):
        case "text" | None:
            return None
        case "json_object":
            return Format("json_object", value=said)
        case "json_schema":
            form = said.get("json_schema")
            if form.__class__ is not dict or form.get("schema", NOTHING).__class__ is not dict:
                raise invalid("response_format.json_schema", "must be an object with a `schema`")
            name, description, strict = form.get("name"), form.get("description"), form.get("strict")
            return Format(
                "json_schema",
                schema=form.get("schema"),
                name=name if isinstance(name, str) else "",
                description=description if isinstance(description, str) else "",
                strict=strict if isinstance(strict, bool) else None,
                value=said,
            )
        case _:
            return Format("other", value=said)


def _own_format(said: Json) -> Format:
    """Messages has a schema, and no words about it; what else it may have one day is kept as it is."""
    form = said.get("json_schema")
    if said.get("type") != "json_schema" or form.__class__ is not dict:
        return Format("other", value=said)
    schema = form.get("schema", NOTHING)
    value = {"type": "json_schema", "schema": schema}
    return Format("json_schema", schema=schema, strict=True, value=value)


def _thinking(body: Json) -> tuple[dict[str, str], Thinking]:
    """How much is to be thought, and the names by which the client said so."""
    effort, value, nested = (
        body.get("reasoning_effort"),
        body.get("thinking") or None,
        body.get("reasoning") or None,
    )
    if effort is None and value is None and nested is None:
        return NAMES, NO_THINKING
    if effort is not None and effort.__class__ is not str:
        if effort.__class__ is not dict:
            raise invalid("reasoning_effort", "must be a string")
        nested, effort = effort, None
    if value is not None and value.__class__ is not dict:
        raise invalid("thinking", "must be an object")
    if value is not None:
        budget = value.get("budget_tokens")
        told = budget if budget.__class__ is int else None
        return {**NAMES, "thinking": "thinking"}, Thinking(effort or "", told, value)
    if nested is None:
        return NAMES, Thinking(effort or "")
    if nested.__class__ is not dict:
        raise invalid("reasoning", "must be an object")
    budget, said = nested.get("max_tokens"), effort or nested.get("effort")
    if not isinstance(said, str):
        said = "none" if nested.get("enabled") is False else "medium" if nested.get("enabled") else ""
    return {**NAMES, "thinking": "reasoning"}, Thinking(said, budget if budget.__class__ is int else None)
