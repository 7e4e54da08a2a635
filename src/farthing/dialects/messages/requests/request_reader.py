"""A request of Messages, read into the model of a conversation.

Nothing is left out: what has no name in the model is kept under its own (`extras`), blocks that nobody here
knows as they are (`Opaque`). A shape that is wrong is refused by the name that Anthropic gives the field
(`messages.0.content.1.source`). Three things are said in one way only: instructions at the head of `messages`
are instructions before all else, an empty stop sequence is none, and fields that ask for what happens anyway
are left out.

Sources: the types of Anthropic's SDK (`MessageCreateParams`, plain and beta).
"""

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
    NO_CHOICE,
    NO_THINKING,
    NOTHING,
    Block,
    Conversation,
    Format,
    FunctionTool,
    ServerTool,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    Turn,
)
from farthing.dialects.messages.blocks import more_of, read_blocks
from farthing.types import Json, output_tokens_said

NAMES = {
    "choice": "tool_choice",
    "format": "output_config.format",
    "output_tokens_max": "max_tokens",
    "stop": "stop_sequences",
    "user": "metadata.user_id",
}
"""What Messages calls a field of `Conversation`, where it is called otherwise."""
_READ = frozenset({
    "model", "messages", "system", "max_tokens", "stream", "tools", "tool_choice", "thinking",
    "output_config", "stop_sequences", "temperature", "top_p", "top_k", "metadata", "service_tier",
    "cache_control", "output_format",
})  # fmt: skip
_FOREIGN = (FIELDS - _READ) | {BILLING, "input", "models", "plugins", "prompt_cache_options"}
"""What the form of the pipeline would take for something else."""
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "context_management": ({}, {"edits": []}),
    "mcp_servers": ([],),
    "speed": ("standard",),
}
"""Values of other fields that ask for what happens anyway."""
_MESSAGE = frozenset({"role", "content"})
_OF_CHAT = frozenset({
    "audio", "cache_control", "function_call", "is_error", "name", "reasoning", "reasoning_content",
    "reasoning_details", "refusal", "thinking_blocks", "tool_call_id", "tool_calls",
})  # fmt: skip
_CHAT = "; what is written for chat completions goes to /v1/chat/completions"
_ROLES = ("user", "assistant", "system")
_TOOL = frozenset({"type", "name", "description", "input_schema", "strict", "cache_control"})
_CHOICE = frozenset({"type", "name", "disable_parallel_tool_use"})
_MODES: dict[str, Any] = {"auto": "auto", "any": "required", "none": "none", "tool": "named"}
_CONFIG = frozenset({"effort", "format"})


def read(body: Json) -> Conversation:
    """What a request of Messages says, but for `stream`. `body` is not changed, and parts of it are in the
    result. A body without `max_tokens`, as counting tokens has it, names no limit.

    Raises:
        InvalidRequest: a field has a shape that Messages does not have; `param` names it.
    """
    messages = body.get("messages")
    if messages.__class__ is not list or not messages:
        raise invalid("messages", "must be a list of at least one message")
    system, turns = _turns(messages)
    given = body.get("system")
    if given is not None and given != "":
        system = (Turn("system", read_blocks(given, "system", "system")), *system)
    config = object_of(body, "output_config")
    user, extras = _extras(body, config)
    model = body.get("model")
    return Conversation(
        dialect="messages",
        model=model if isinstance(model, str) else "",
        system=system,
        turns=turns,
        tools=_tools(body.get("tools")),
        choice=_choice(body),
        format=_format(body, config),
        thinking=_thinking(body, config),
        output_tokens_max=_limit(body),
        stop=_stop(body.get("stop_sequences")),
        temperature=number(body, "temperature"),
        top_p=number(body, "top_p"),
        top_k=integer(body, "top_k"),
        user=user,
        service_tier=text_of(body, "service_tier"),
        cache=body.get("cache_control"),
        extras=extras,
        names=NAMES,
    )


def _turns(messages: list[Any]) -> tuple[tuple[Turn, ...], tuple[Turn, ...]]:
    """The instructions at the head, and what follows."""
    turns: list[Turn] = []
    head = 0
    for at, message in enumerate(messages):
        if message.__class__ is not dict:
            raise invalid(f"messages.{at}", "must be an object")
        role = message.get("role")
        if role not in _ROLES:
            raise invalid(f"messages.{at}.role", "must be user, assistant or system")
        content = message.get("content")
        if content.__class__ is str:
            blocks: tuple[Block, ...] = (Text(content),)
        else:
            blocks = read_blocks(content, role, f"messages.{at}.content")
        extras = NOTHING
        if len(message) > 2:
            extras = extras_of(message, _MESSAGE)
            if not _OF_CHAT.isdisjoint(extras):
                name = min(_OF_CHAT & extras.keys())
                raise invalid(f"messages.{at}.{name}", f"is no field that a message of Messages has{_CHAT}")
        turns.append(Turn(role, blocks, "", extras))
        if head == at and role == "system":
            head += 1
    return tuple(turns[:head]), tuple(turns[head:])


def _extras(body: Json, config: Json | None) -> tuple[str | None, Json]:
    """Who asks, and the fields that have no name in the model."""
    extras: Json = {}
    if not body.keys() <= _READ:
        for name, value in body.items():
            if name in _READ or value is None or value in _NEUTRAL.get(name, ()):
                continue
            if name in _FOREIGN:
                raise invalid(name, f"is no field that Messages has{_CHAT}")
            extras[name] = value
    if config is not None:
        more = extras_of(config, _CONFIG)
        if more:
            extras["output_config"] = more
    metadata = object_of(body, "metadata")
    user = None
    if metadata:
        user = metadata.get("user_id")
        if user is not None and user.__class__ is not str:
            raise invalid("metadata.user_id", "must be a string")
        if len(metadata) > 1 or user is None:
            extras["metadata"] = metadata
    return user, extras or NOTHING


def _limit(body: Json) -> int | None:
    """0 asks for no answer, only that the prompt is cached."""
    said = integer(body, "max_tokens")
    return 0 if said == 0 else output_tokens_said(said)


def _stop(said: Any) -> tuple[str, ...]:
    if said is None:
        return ()
    if said.__class__ is not list or any(one.__class__ is not str for one in said):
        raise invalid("stop_sequences", "must be a list of strings")
    return tuple(one for one in said if one)


def _format(body: Json, config: Json | None) -> Format | None:
    """`output_format` is what the field was called before."""
    said = None if config is None else config.get("format")
    where = "output_config.format"
    if said is None:
        said, where = body.get("output_format"), "output_format"
    if said is None:
        return None
    if said.__class__ is not dict:
        raise invalid(where, "must be an object")
    if said.get("type") != "json_schema":
        return Format("other", value=said)
    schema = said.get("schema")
    if schema.__class__ is not dict:
        raise invalid(f"{where}.schema", "must be a JSON schema")
    if len(said) != 2:
        return Format("other", value=said)
    return Format("json_schema", schema=schema, strict=True, value=said)


def _thinking(body: Json, config: Json | None) -> Thinking:
    value = object_of(body, "thinking") or None
    effort = None if config is None else config.get("effort")
    if effort is not None and effort.__class__ is not str:
        raise invalid("output_config.effort", "must be a string")
    if value is None:
        return Thinking(effort) if effort else NO_THINKING
    budget = value.get("budget_tokens")
    if budget is not None and budget.__class__ is not int:
        raise invalid("thinking.budget_tokens", "must be an integer")
    return Thinking(effort or "", budget, value)


def _tools(told: Any) -> tuple[Tool, ...]:
    if told is None:
        return ()
    if told.__class__ is not list:
        raise invalid("tools", "must be a list")
    return tuple([_tool(tool, f"tools.{at}") for at, tool in enumerate(told)])


def _tool(tool: Any, where: str) -> Tool:
    if tool.__class__ is not dict:
        raise invalid(where, "must be an object")
    kind = tool.get("type")
    if kind is not None and kind != "custom":
        if kind.__class__ is not str or not kind or kind == "function":
            raise invalid(f"{where}.type", f"must name a tool that Anthropic runs, or `custom`{_CHAT}")
        return ServerTool(kind, tool)
    name, description, schema = tool.get("name"), tool.get("description"), tool.get("input_schema")
    if name.__class__ is not str or not name:
        raise invalid(f"{where}.name", "must be the name of the tool")
    if description is not None and description.__class__ is not str:
        raise invalid(f"{where}.description", "must be a string")
    if schema.__class__ is not dict:
        raise invalid(f"{where}.input_schema", "must be a JSON schema")
    strict = tool.get("strict")
    if strict is not None and strict.__class__ is not bool:
        raise invalid(f"{where}.strict", "must be true or false")
    return FunctionTool(
        name, description, schema, strict, tool.get("cache_control"), more_of(tool, _TOOL, where)
    )


def _choice(body: Json) -> ToolChoice:
    said = object_of(body, "tool_choice")
    if said is None:
        return NO_CHOICE
    mode = said.get("type")
    if mode.__class__ is not str or mode not in _MODES:
        raise invalid("tool_choice.type", "must be auto, any, tool or none")
    single = said.get("disable_parallel_tool_use")
    if single is not None and single.__class__ is not bool:
        raise invalid("tool_choice.disable_parallel_tool_use", "must be true or false")
    names: tuple[str, ...] = ()
    if mode == "tool":
        name = said.get("name")
        if name.__class__ is not str or not name:
            raise invalid("tool_choice.name", "must be the name of the tool")
        names = (name,)
    return ToolChoice(
        _MODES[mode], names, False, False if single else None, more_of(said, _CHOICE, "tool_choice")
    )
