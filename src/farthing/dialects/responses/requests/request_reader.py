"""A request of Responses, read into the model of a conversation, as every other dialect can be told it.

Nothing is left out that asks for something: what has no name in the model is kept under its own (`extras`),
items that nobody here knows as they are (`Opaque`). A shape that is wrong is refused by the name that OpenAI
gives the field (`input[2].content[0].image_url`). Left out are ids and states of items, which say nothing to
a model, and fields that ask for what happens anyway. Who speaks Responses gets the request as it was sent,
not this.

Sources: the types of OpenAI's SDK (`ResponseCreateParams`), and what Codex sends.
"""

from collections.abc import Sequence
from typing import Any

from farthing.dialects.chat.fields import (
    BILLING,
    FIELDS,
    extras_of,
    integer,
    invalid,
    number,
    object_of,
    text_of,
)
from farthing.dialects.conversation import (
    NO_THINKING,
    NOTHING,
    Conversation,
    Format,
    Text,
    Thinking,
    Tool,
    Turn,
)
from farthing.dialects.responses.requests.items import ItemReader
from farthing.dialects.responses.requests.tools_reader import read_choice, read_tools
from farthing.dialects.responses.tools import ToolNames, added_tools, tools_of
from farthing.types import Json, output_tokens_said

NAMES = {
    "choice": "tool_choice",
    "file": "input_file",
    "file_id": "input_file.file_id",
    "format": "text.format",
    "image_url": "input_image",
    "image_url.detail": "input_image.detail",
    "logprobs": "top_logprobs",
    "messages": "input",
    "messages.citations": "input.annotations",
    "output_tokens_max": "max_output_tokens",
    "reasoning_content": "input.reasoning",
    "thinking": "reasoning.effort",
    "user": "safety_identifier",
    "verbosity": "text.verbosity",
}
"""What Responses calls a field of `Conversation`, or a part of one in chat completions."""
LOGPROBS = "message.output_text.logprobs"
"""What `include` says for the probability of each token. Its other words are about what a request does not
ask for otherwise, or about how it is answered."""
_READ = frozenset({
    "model", "input", "instructions", "max_output_tokens", "tools", "tool_choice", "parallel_tool_calls",
    "text", "reasoning", "include", "temperature", "top_p", "top_logprobs", "user", "safety_identifier",
    "service_tier", "store", "stream", "stream_options", "background", "conversation", "prompt",
    "previous_response_id", "image",
})  # fmt: skip
_KEPT = frozenset({"metadata", "prompt_cache_key", "prompt_cache_retention"})
"""Fields that chat completions have too, and mean the same by."""
_FOREIGN = (FIELDS - _READ - _KEPT) | {BILLING, "models", "plugins", "system"}
"""What the form of the pipeline would take for something else."""
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "background_options": ({},),
    "context_management": ([],),
    "metadata": ({},),
    "prompt_cache_options": ({},),
    "truncation": ("disabled",),
}
"""Values of other fields that ask for what happens anyway."""
_NOT_HERE = {
    "conversation": "is stored at a provider and could not be accounted for; send its items in `input`",
    "prompt": "names a text that a provider stores and nobody here can read; send it in `instructions`",
    "previous_response_id": "names no response that is stored here; send the items before it in `input`",
}
_TEXT = frozenset({"format", "verbosity"})
_EFFORT = frozenset({"effort", "summary", "generate_summary"})
"""A summary is given wherever there is one."""
_USUAL = {"context": "auto", "mode": "standard"}


def read(body: Json) -> Conversation:
    """What a request of Responses says, but for `stream` and `store`. `body` is not changed, and parts of it
    are in the result. Stored responses must have been put in the place of `previous_response_id` before.

    Raises:
        InvalidRequest: a field has a shape that Responses does not have, or asks for what no gateway can
            do; `param` names it.
    """
    _refuse(body)
    added = added_tools(body)
    names = ToolNames(tools_of(body, added))
    system, turns = _turns(body, names)
    choice, chosen = read_choice(body, names)
    text = object_of(body, "text")
    thinking, thought = _thinking(body)
    user = text_of(body, "safety_identifier")
    model = body.get("model")
    return Conversation(
        dialect="responses",
        model=model if isinstance(model, str) else "",
        system=system,
        turns=turns,
        tools=_tools(body, added, names),
        choice=choice,
        format=None if text is None else _format(text),
        thinking=thinking,
        output_tokens_max=output_tokens_said(integer(body, "max_output_tokens")),
        temperature=number(body, "temperature"),
        top_p=number(body, "top_p"),
        logprobs=_logprobs(body),
        user=text_of(body, "user") if user is None else user,
        service_tier=_tier(body),
        extras=_extras(body, text, chosen, thought),
        names=NAMES if user is not None or "user" not in body else {**NAMES, "user": "user"},
    )


def _tools(body: Json, added: Sequence[tuple[int, Any]], names: ToolNames) -> tuple[Tool, ...]:
    """Those of the request, and those that its items add: no other dialect adds any on the way."""
    tools = read_tools(body.get("tools"), names)
    for at, told in added:
        further = read_tools(told, names, f"input[{at}].tools")
        tools += tuple(tool for tool in further if tool not in tools)
    return tools


def _refuse(body: Json) -> None:
    background = body.get("background")
    if background is not None and background is not False:
        raise invalid(
            "background", "cannot be had here: what it costs could not be accounted for; leave it out"
        )
    for name, why in _NOT_HERE.items():
        if body.get(name) is not None:
            raise invalid(name, why)


def _turns(body: Json, names: ToolNames) -> tuple[tuple[Turn, ...], tuple[Turn, ...]]:
    """The instructions at the head, and what follows."""
    given = body.get("input")
    if given is None:  # whether there is enough to answer is the provider's to say
        given = ""
    if given.__class__ is str:
        turns = [Turn("user", (Text(given),))]
    elif given.__class__ is list and given:
        turns = ItemReader(names).read(given)
        if not turns:
            raise invalid("input", "has nothing to compact")
    else:
        raise invalid("input", "must be a string or a list of at least one item")
    told = text_of(body, "instructions")
    if told:
        turns.insert(0, Turn("system", (Text(told),)))
    head = next((at for at, turn in enumerate(turns) if turn.role in ("user", "assistant")), len(turns))
    return tuple(turns[:head]), tuple(turns[head:])


def _extras(body: Json, text: Json | None, chosen: Json, thought: Json) -> Json:
    """The fields that have no name in the model, those of another field under both names."""
    extras: Json = {**chosen, **thought}
    if not body.keys() <= _READ:
        for name, value in body.items():
            if name in _READ or value is None or value in _NEUTRAL.get(name, ()):
                continue
            if name in _FOREIGN:
                raise invalid(
                    name,
                    "is no field that Responses has; what is written for chat completions goes to "
                    "/v1/chat/completions",
                )
            extras[name] = value
    for name, value in (object_of(body, "image") or NOTHING).items():
        if value is not None and value != "auto":
            extras[f"image.{name}"] = value
    if text:
        verbosity = text.get("verbosity")
        if verbosity is not None and verbosity.__class__ is not str:
            raise invalid("text.verbosity", "must be low, medium or high")
        if verbosity is not None and verbosity != "medium":
            extras["verbosity"] = verbosity
        for name, value in extras_of(text, _TEXT).items():
            extras[f"text.{name}"] = value
    return extras or NOTHING


def _format(text: Json) -> Format | None:
    said = text.get("format")
    if said is None:
        return None
    if said.__class__ is not dict:
        raise invalid("text.format", "must be an object")
    match said.get("type"):
        case "text":
            return None
        case "json_object":
            return Format("json_object", value={"type": "json_object"})
        case "json_schema":
            return _schema(said)
        case str():
            return Format("other", value=said)
        case _:
            raise invalid("text.format.type", "must be text, json_schema or json_object")


def _schema(said: Json) -> Format:
    schema, name, description = said.get("schema"), said.get("name"), said.get("description")
    strict = said.get("strict")
    if schema.__class__ is not dict:
        raise invalid("text.format.schema", "must be a JSON schema")
    if name.__class__ is not str or not name:
        raise invalid("text.format.name", "must be the name of the format")
    if description is not None and description.__class__ is not str:
        raise invalid("text.format.description", "must be a string")
    if strict is not None and strict.__class__ is not bool:
        raise invalid("text.format.strict", "must be true or false")
    return Format("json_schema", schema, name, description or "", strict, said)


def _thinking(body: Json) -> tuple[Thinking, Json]:
    told = object_of(body, "reasoning")
    if not told:
        return NO_THINKING, NOTHING
    effort = told.get("effort")
    if effort is not None and effort.__class__ is not str:
        raise invalid("reasoning.effort", "must be a string")
    more = {
        f"reasoning.{name}": value
        for name, value in extras_of(told, _EFFORT).items()
        if _USUAL.get(name) != value
    }
    return (Thinking(effort) if effort else NO_THINKING), more


def _logprobs(body: Json) -> int | None:
    wanted = body.get("include")
    if wanted is not None and (
        wanted.__class__ is not list or any(one.__class__ is not str for one in wanted)
    ):
        raise invalid("include", "must be a list of strings")
    alternatives = integer(body, "top_logprobs", neutral=0)
    if alternatives is None and wanted and LOGPROBS in wanted:
        return 0
    return alternatives


def _tier(body: Json) -> str | None:
    said = text_of(body, "service_tier")
    return None if said == "auto" else said
