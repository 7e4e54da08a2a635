"""A chat completion request, read into the model of a conversation.

All of OpenAI's form, its legacy functions included, and what clients of other gateways add to it: cache marks
on parts, messages and tools, `thinking`, `reasoning`, and the reasoning of earlier answers as
`thinking_blocks`, `reasoning_details` or `reasoning_content`. A shape that is wrong is refused by the name of
the field; what is only unknown is kept (`Opaque`, `extras`).
"""

from typing import Any, Literal

from msgspec.structs import replace

from farthing.dialects.chat.reasoning import Placed, reasoning_of
from farthing.dialects.chat.sources import BadSource, read_data, read_source
from farthing.dialects.conversation import (
    NO_CHOICE,
    NO_THINKING,
    NOTHING,
    Audio,
    Block,
    Conversation,
    CustomTool,
    Document,
    Format,
    FunctionTool,
    Image,
    Inline,
    Opaque,
    Reasoning,
    Refusal,
    ServerTool,
    Source,
    Stored,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from farthing.errors import InvalidRequest
from farthing.text.lenient_json import write_json
from farthing.types import Json, output_tokens_said

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
    "safety_identifier", "service_tier", "cache_control", "prompt_cache_key",
})  # fmt: skip
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "store": (False,),
    "modalities": (["text"],),
    "verbosity": ("medium",),
    "metadata": ({},),
}
"""Values of other fields that ask for what happens anyway."""
_MESSAGE = frozenset({
    "role", "content", "name", "cache_control", "tool_calls", "tool_call_id", "function_call", "refusal",
    "audio", "is_error", "thinking_blocks", "reasoning_details", "reasoning_content", "reasoning",
})  # fmt: skip
_SPEAKERS = ("user", "assistant", "system", "developer")
_REASONING = frozenset({"thinking_blocks", "reasoning_details", "reasoning_content", "reasoning"})
_ROLES = frozenset({"user", "assistant", "system", "developer", "tool", "function"})
_MODES: dict[str, Literal["auto", "none", "required"]] = {
    "auto": "auto", "none": "none", "required": "required", "any": "required"
}  # fmt: skip


def read(body: Json) -> Conversation:
    """What a chat completion request says. `body` is not changed, and parts of it are in the result.

    Raises:
        InvalidRequest: a field has a shape that no client means; `param` names it.
    """
    messages = body.get("messages")
    if messages.__class__ is not list:
        raise _invalid("messages", "must be a list of messages")
    system, turns = _turns(messages)
    names, thinking = _thinking(body)
    legacy = "functions" in body and not body.get("tools")
    extras = {
        name: value
        for name, value in body.items()
        if name not in _READ and value is not None and value not in _NEUTRAL.get(name, ())
    }
    model = body.get("model")
    user = _text(body, "safety_identifier")
    return Conversation(
        dialect="chat",
        model=model if isinstance(model, str) else "",
        system=system,
        turns=turns,
        tools=_functions(body) if legacy else _tools(body),
        choice=_choice(body, "function_call" if legacy else "tool_choice"),
        legacy_functions=legacy,
        format=_format(body.get("response_format")),
        thinking=thinking,
        output_tokens_max=_output_tokens_max(body),
        stop=_stop(body.get("stop")),
        temperature=_number(body, "temperature"),
        top_p=_number(body, "top_p"),
        top_k=_integer(body, "top_k"),
        choices=_integer(body, "n", neutral=1),
        seed=_integer(body, "seed"),
        frequency_penalty=_number(body, "frequency_penalty") or None,
        presence_penalty=_number(body, "presence_penalty") or None,
        logit_bias=_object(body, "logit_bias") or None,
        logprobs=_logprobs(body),
        user=user if user is not None else _text(body, "user"),
        service_tier=_text(body, "service_tier"),
        cache=body.get("cache_control"),
        extras=extras or NOTHING,
        names=names,
    )


def _invalid(param: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"`{param}` {what}", param=param)


# -- plain fields --------------------------------------------------------------------------------------------


def _number(body: Json, name: str) -> float | None:
    value = body.get(name)
    if value is None or value.__class__ is float or value.__class__ is int:
        return value
    raise _invalid(name, "must be a number")


def _integer(body: Json, name: str, neutral: int | None = None) -> int | None:
    value = body.get(name)
    if value is None or value == neutral:
        return None
    if value.__class__ is float and value.is_integer():
        return int(value)
    if value.__class__ is not int:
        raise _invalid(name, "must be an integer")
    return int(value)


def _text(body: Json, name: str) -> str | None:
    value = body.get(name)
    if value is not None and value.__class__ is not str:
        raise _invalid(name, "must be a string")
    return value


def _object(body: Json, name: str) -> Json | None:
    value = body.get(name)
    if value is not None and value.__class__ is not dict:
        raise _invalid(name, "must be an object")
    return value


def _output_tokens_max(body: Json) -> int | None:
    said = body.get("max_completion_tokens")
    return output_tokens_said(body.get("max_tokens") if said is None else said)


def _logprobs(body: Json) -> int | None:
    alternatives = _integer(body, "top_logprobs", neutral=0)
    if alternatives is not None:
        return alternatives
    wanted = body.get("logprobs")
    if wanted is None or wanted is False:
        return None
    return 0 if wanted is True else _integer(body, "logprobs", neutral=0)


def _stop(said: Any) -> tuple[str, ...]:
    if said is None:
        return ()
    if said.__class__ is str:
        said = [said]
    if said.__class__ is not list or any(one.__class__ is not str for one in said):
        raise _invalid("stop", "must be a string or a list of strings")
    return tuple(one for one in said if one)


def _format(said: Any) -> Format | None:
    if said is None:
        return None
    if said.__class__ is not dict:
        raise _invalid("response_format", "must be an object")
    match said.get("type"):
        case "text" | None:
            return None
        case "json_object":
            return Format("json_object", value=said)
        case "json_schema":
            form = said.get("json_schema")
            if form.__class__ is not dict or form.get("schema", NOTHING).__class__ is not dict:
                raise _invalid("response_format.json_schema", "must be an object with a `schema`")
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
            raise _invalid("reasoning_effort", "must be a string")
        nested, effort = effort, None
    if value is not None and value.__class__ is not dict:
        raise _invalid("thinking", "must be an object")
    if value is not None:
        budget = value.get("budget_tokens")
        told = budget if budget.__class__ is int else None
        return {**NAMES, "thinking": "thinking"}, Thinking(effort or "", told, value)
    if nested is None:
        return NAMES, Thinking(effort or "")
    if nested.__class__ is not dict:
        raise _invalid("reasoning", "must be an object")
    budget, said = nested.get("max_tokens"), effort or nested.get("effort")
    if not isinstance(said, str):
        said = "none" if nested.get("enabled") is False else "medium" if nested.get("enabled") else ""
    return {**NAMES, "thinking": "reasoning"}, Thinking(said, budget if budget.__class__ is int else None)


# -- messages ------------------------------------------------------------------------------------------------


def _turns(messages: list[Any]) -> tuple[tuple[Turn, ...], tuple[Turn, ...]]:
    """The instructions at the head, and what follows."""
    turns: list[Turn] = []
    head = 0
    calls: dict[str, str] = {}
    for index, message in enumerate(messages):
        if message.__class__ is not dict:
            raise _invalid(f"messages[{index}]", "must be an object")
        role = message.get("role")
        content = message.get("content")
        if content.__class__ is str and len(message) == 2 and role in _SPEAKERS:
            turn = Turn(role, (Text(content),))
        elif role == "user" or role == "system" or role == "developer":
            turn = _turn(message, role, _content(content, f"messages[{index}]"), index)
        elif role == "assistant":
            turn = _turn(message, role, _assistant(message, index, calls), index)
        elif role == "tool":
            call_id = message.get("tool_call_id")
            if content.__class__ is str and len(message) == 3 and call_id.__class__ is str and call_id:
                turn = Turn("user", (ToolResult(call_id, (Text(content),)),))
            else:
                turn = Turn("user", (_result(message, index),))
        elif role == "function":
            turn = Turn("user", (_function_result(message, index, calls),))
        else:
            raise _invalid(f"messages[{index}].role", f"must be one of {', '.join(sorted(_ROLES))}")
        if head == index and (turn.role == "system" or turn.role == "developer"):
            head += 1
        turns.append(turn)
    return tuple(turns[:head]), tuple(turns[head:])


def _turn(message: Json, role: Any, blocks: list[Block], index: int) -> Turn:
    mark = message.get("cache_control")
    if mark is not None and blocks:
        _mark(blocks, mark)
    name = message.get("name")
    if name is not None and name.__class__ is not str:
        raise _invalid(f"messages[{index}].name", "must be a string")
    extras = NOTHING
    if len(message) > 2 and not message.keys() <= _MESSAGE:
        extras = {key: value for key, value in message.items() if key not in _MESSAGE and value is not None}
    return Turn(role, tuple(blocks), name or "", extras)


def _mark(blocks: list[Block], mark: Any) -> None:
    """Put the mark of a whole message on the last block that can have one."""
    for at in range(len(blocks) - 1, -1, -1):
        block = blocks[at]
        if isinstance(block, Refusal | Reasoning | Opaque):
            continue
        if block.cache is None:
            blocks[at] = replace(block, cache=mark)
        return


def _content(content: Any, where: str) -> list[Block]:
    if content.__class__ is str:
        return [Text(content)]
    if content is None:
        return []
    if content.__class__ is dict:
        content = [content]
    if content.__class__ is not list:
        raise _invalid(f"{where}.content", "must be a string or a list of parts")
    blocks: list[Block] = []
    for index, part in enumerate(content):
        if part.__class__ is str:
            blocks.append(Text(part))
        elif part.__class__ is not dict:
            raise _invalid(f"{where}.content[{index}]", "must be an object")
        elif part.get("type") == "text" or ("type" not in part and "text" in part):
            blocks.append(_text_part(part, f"{where}.content[{index}]"))
        else:
            blocks.append(_part(part, f"{where}.content[{index}]"))
    return blocks


def _text_part(part: Json, where: str) -> Text:
    text = part.get("text")
    if text.__class__ is not str:
        raise _invalid(f"{where}.text", "must be a string")
    return Text(text, part.get("cache_control"))


def _part(part: Json, where: str) -> Block:
    kind = part.get("type")
    mark = part.get("cache_control")
    match kind:
        case "image_url" | "input_image":
            return _image(part, where, mark)
        case "file" | "input_file":
            return _file(part, where, mark)
        case "input_audio":
            return _audio(part, where, mark)
        case "refusal":
            refusal = part.get("refusal")
            if refusal.__class__ is not str:
                raise _invalid(f"{where}.refusal", "must be a string")
            return Refusal(refusal)
        case "thinking" | "redacted_thinking":
            found = reasoning_of({"thinking_blocks": [part]})
            return found[0][1] if found else Opaque("chat", str(kind), part)
        case "tool_use":
            return _odd_call(
                {**part, "function": {"name": part.get("name"), "arguments": part.get("input")}}, where
            )
        case "tool_result":
            call_id = part.get("tool_use_id")
            if call_id.__class__ is not str or not call_id:
                raise _invalid(f"{where}.tool_use_id", "must be the id of the call it answers")
            inner = tuple(_content(part.get("content"), where))
            return ToolResult(call_id, inner, part.get("is_error") is True, "", mark, inner[1:] == ())
        case str():
            return Opaque("chat", kind, part)
        case _:
            raise _invalid(f"{where}.type", "must name the kind of the part")


def _image(part: Json, where: str, mark: Any) -> Block:
    given = part.get("image_url")
    detail, media_type = part.get("detail"), None
    if given.__class__ is dict:
        detail, media_type, given = given.get("detail"), given.get("format"), given.get("url")
    if given.__class__ is not str or not given:
        raise _invalid(f"{where}.image_url", "must have a `url`: https, or data with base64")
    source = _source(given, media_type, f"{where}.image_url.url")
    if isinstance(source, Inline) and not source.media_type.startswith("image/"):
        return Document(source, "", mark)
    return Image(source, detail if isinstance(detail, str) else "", mark)


def _file(part: Json, where: str, mark: Any) -> Block:
    told = part.get("file", part)
    if told.__class__ is not dict:
        raise _invalid(f"{where}.file", "must be an object")
    name, data, held = told.get("filename"), told.get("file_data"), told.get("file_id")
    called = name if isinstance(name, str) else ""
    given = data if data is not None else told.get("file_url")
    if given is None and isinstance(held, str) and held:
        if not held.startswith(("http://", "https://")):
            return Document(Stored(held), called, mark)
        given = held
    if given.__class__ is not str or not given:
        raise _invalid(f"{where}.file", "must have `file_data` or `file_id`")
    said = told.get("format")
    media_type = said if isinstance(said, str) and "/" in said else ""
    bare = not given.startswith(("data:", "http://", "https://"))
    try:
        source = (read_data if bare else read_source)(given, media_type, called)
    except BadSource as error:
        raise _invalid(f"{where}.file.file_data", str(error)) from None
    if isinstance(source, Inline) and source.media_type.startswith("image/"):
        return Image(source, "", mark)
    return Document(source, called, mark)


def _source(url: str, media_type: Any, where: str) -> Source:
    try:
        return read_source(url, media_type if isinstance(media_type, str) else "")
    except BadSource as error:
        raise _invalid(where, str(error)) from None


def _audio(part: Json, where: str, mark: Any) -> Audio:
    told = part.get("input_audio")
    if told.__class__ is not dict or told.get("data").__class__ is not str:
        raise _invalid(f"{where}.input_audio", "must have `data` and `format`")
    form = told.get("format")
    form = form if isinstance(form, str) else ""
    return Audio(Inline(f"audio/{form}", told["data"]), form, mark)


# -- what an assistant said ----------------------------------------------------------------------------------


def _assistant(message: Json, index: int, calls: dict[str, str]) -> list[Block]:
    """The blocks of an earlier answer, in the order in which they were made, as far as chat tells."""
    where = f"messages[{index}]"
    content = message.get("content")
    blocks = [] if content is None else _content(content, where)
    refusal, spoken = message.get("refusal"), message.get("audio")
    if refusal.__class__ is str and refusal:
        blocks.append(Refusal(refusal))
    if spoken.__class__ is dict and isinstance(spoken.get("id"), str):
        blocks.append(Audio(Stored(spoken["id"])))
    told = message.get("tool_calls")
    if told is not None:
        if told.__class__ is not list:
            raise _invalid(f"{where}.tool_calls", "must be a list")
        calls_told = [_call(call, where, at) for at, call in enumerate(told)]
        if content.__class__ is list:
            had = {block.id for block in blocks if isinstance(block, ToolCall)}  # told twice, in two forms
            calls_told = [call for call in calls_told if call.id not in had]
        blocks += calls_told
    function = message.get("function_call")
    if function is not None:
        if function.__class__ is not dict:
            raise _invalid(f"{where}.function_call", "must be an object")
        name = _name_of(function, f"{where}.function_call")
        calls[name] = f"function_{index}"
        blocks.append(ToolCall(calls[name], name, _arguments(function, f"{where}.function_call")))
    if not _REASONING.isdisjoint(message) and not any(isinstance(block, Reasoning) for block in blocks):
        return _with_reasoning(blocks, reasoning_of(message))
    return blocks


def _with_reasoning(blocks: list[Block], thought: list[Placed]) -> list[Block]:
    """`blocks` with what was thought at its place: behind `at` others, where all text counts as one."""
    texts = sum(not isinstance(block, ToolCall) for block in blocks)
    placed: dict[int, list[Block]] = {}
    for at, reasoning in thought:
        place = 0 if at == 0 else min(len(blocks), at - min(texts, 1) + texts)
        placed.setdefault(place, []).append(reasoning)
    merged: list[Block] = []
    for place in range(len(blocks) + 1):
        merged += placed.get(place, ())
        merged += blocks[place : place + 1]
    return merged


def _call(call: Any, message: str, at: int) -> ToolCall:
    if call.__class__ is dict and "custom" not in call and "cache_control" not in call:
        call_id, function = call.get("id"), call.get("function")
        if call_id.__class__ is str and call_id and function.__class__ is dict:
            name, arguments = function.get("name"), function.get("arguments")
            if name.__class__ is str and name and arguments.__class__ is str:
                return ToolCall(call_id, name, arguments)
    return _odd_call(call, f"{message}.tool_calls[{at}]")


def _odd_call(call: Any, where: str) -> ToolCall:
    if call.__class__ is not dict:
        raise _invalid(where, "must be an object")
    call_id = call.get("id")
    if call_id.__class__ is not str or not call_id:
        raise _invalid(f"{where}.id", "must be the id of the call")
    mark = call.get("cache_control")
    custom = call.get("custom")
    if custom is not None and call.get("type") == "custom":
        if custom.__class__ is not dict or custom.get("input").__class__ is not str:
            raise _invalid(f"{where}.custom", "must have a `name` and an `input`")
        return ToolCall(call_id, _name_of(custom, f"{where}.custom"), custom["input"], True, mark)
    function = call.get("function")
    if function.__class__ is not dict:
        raise _invalid(f"{where}.function", "must be an object")
    name, arguments = _name_of(function, f"{where}.function"), _arguments(function, f"{where}.function")
    return ToolCall(call_id, name, arguments, False, mark)


def _name_of(function: Json, where: str) -> str:
    name = function.get("name")
    if name.__class__ is not str or not name:
        raise _invalid(f"{where}.name", "must be the name of the tool")
    return str(name)


def _arguments(function: Json, where: str) -> str:
    arguments = function.get("arguments")
    if arguments is None:
        return ""
    if arguments.__class__ is dict:
        return write_json(arguments).decode()
    if arguments.__class__ is not str:
        raise _invalid(f"{where}.arguments", "must be JSON in a string")
    return str(arguments)


def _result(message: Json, index: int) -> ToolResult:
    call_id = message.get("tool_call_id")
    if call_id.__class__ is not str or not call_id:
        raise _invalid(f"messages[{index}].tool_call_id", "must be the id of the call it answers")
    content = message.get("content")
    plain = content.__class__ is str or content is None
    blocks = _content(content, f"messages[{index}]")
    if len(message) == 3:
        return ToolResult(call_id, tuple(blocks), plain=plain)
    name = message.get("name")
    return ToolResult(
        call_id,
        tuple(blocks),
        is_error=message.get("is_error") is True,
        name=name if isinstance(name, str) else "",
        cache=message.get("cache_control"),
        plain=plain,
    )


def _function_result(message: Json, index: int, calls: dict[str, str]) -> ToolResult:
    """What a legacy function gave; it belongs to the last call of that name."""
    name = _name_of(message, f"messages[{index}]")
    called = calls.get(name)
    if called is None:
        raise _invalid(f"messages[{index}].name", "answers a function that was not called")
    blocks = _content(message.get("content"), f"messages[{index}]")
    return ToolResult(called, tuple(blocks), name=name, cache=message.get("cache_control"))


# -- tools ---------------------------------------------------------------------------------------------------


def _tools(body: Json) -> tuple[Tool, ...]:
    told = body.get("tools")
    if not told and (told is None or told.__class__ is list):
        return ()
    if told.__class__ is not list:
        raise _invalid("tools", "must be a list")
    return tuple([_tool(tool, f"tools[{index}]") for index, tool in enumerate(told)])


def _tool(tool: Any, where: str) -> Tool:
    if tool.__class__ is not dict:
        raise _invalid(where, "must be an object")
    kind = tool.get("type")
    mark = tool.get("cache_control")
    function = tool.get("function")
    if function.__class__ is dict and (kind == "function" or kind is None):
        return _function(function, f"{where}.function", mark)
    if "input_schema" in tool and (kind == "custom" or kind is None):  # as Messages has it
        return _function({**tool, "parameters": tool["input_schema"]}, where, mark)
    custom = tool.get("custom")
    if kind == "custom" and custom.__class__ is dict:
        description = custom.get("description")
        told = description if isinstance(description, str) else None
        return CustomTool(_name_of(custom, f"{where}.custom"), told, custom.get("format"), mark)
    if kind == "function":
        raise _invalid(f"{where}.function", "must be an object")
    if kind.__class__ is not str or not kind:
        raise _invalid(f"{where}.type", "must name the kind of the tool")
    return ServerTool(str(kind), tool)


def _function(function: Json, where: str, mark: Any) -> FunctionTool:
    name = _name_of(function, where)
    description, parameters = function.get("description"), function.get("parameters")
    if description is not None and description.__class__ is not str:
        raise _invalid(f"{where}.description", "must be a string")
    if parameters is not None and parameters.__class__ is not dict:
        raise _invalid(f"{where}.parameters", "must be a JSON schema")
    strict = function.get("strict")
    if mark is None:
        mark = function.get("cache_control")
    return FunctionTool(name, description, parameters, strict if isinstance(strict, bool) else None, mark)


def _functions(body: Json) -> tuple[Tool, ...]:
    told = body.get("functions")
    if told is None:
        return ()
    if told.__class__ is not list or any(one.__class__ is not dict for one in told):
        raise _invalid("functions", "must be a list of functions")
    return tuple(_function(one, f"functions[{index}]", None) for index, one in enumerate(told))


def _choice(body: Json, field: str) -> ToolChoice:
    said = body.get(field)
    parallel = body.get("parallel_tool_calls")
    if parallel is not None and parallel.__class__ is not bool:
        raise _invalid("parallel_tool_calls", "must be true or false")
    if said is None:
        return NO_CHOICE if parallel is None else ToolChoice(parallel=parallel)
    if said.__class__ is str:
        mode = _MODES.get(said)
        if mode is None:
            raise _invalid(field, "must be auto, none, required or an object that names a tool")
        return ToolChoice(mode, parallel=parallel)
    if said.__class__ is not dict:
        raise _invalid(field, "must be a string or an object")
    kind = said.get("type", "function")
    if kind == "allowed_tools":
        return _allowed(said.get(kind), field, parallel)
    if kind.__class__ is str and kind in _MODES:
        return ToolChoice(_MODES[kind], parallel=parallel)
    named = said.get(kind) if isinstance(kind, str) else None
    named = named if named.__class__ is dict else said
    return ToolChoice("named", (_name_of(named, field),), parallel=parallel)


def _allowed(told: Any, field: str, parallel: bool | None) -> ToolChoice:
    tools = told.get("tools") if told.__class__ is dict else None
    if tools.__class__ is not list or any(tool.__class__ is not dict for tool in tools):
        raise _invalid(f"{field}.allowed_tools", "must have `mode` and a list of `tools`")
    names = tuple(
        _name_of(
            tool["function"] if tool.get("function").__class__ is dict else tool, f"{field}.allowed_tools"
        )
        for tool in tools
    )
    return ToolChoice("allowed", names, told.get("mode") == "required", parallel)
