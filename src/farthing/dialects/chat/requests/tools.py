"""The tools of a chat completion request, which of them is to be called, and the calls of earlier answers."""

from typing import Any, Literal

from msgspec.structs import replace

from farthing.dialects.chat.fields import extras_of, invalid
from farthing.dialects.conversation import (
    NO_CHOICE,
    NOTHING,
    CustomTool,
    FunctionTool,
    ServerTool,
    Tool,
    ToolCall,
    ToolChoice,
)
from farthing.text.lenient_json import write_json
from farthing.types import Json

_MODES: dict[str, Literal["auto", "none", "required"]] = {
    "auto": "auto", "none": "none", "required": "required", "any": "required"
}  # fmt: skip

_FUNCTION = frozenset({"type", "function", "cache_control"})
_CHOICE = frozenset({"type", "function"})
_CALL = frozenset({"id", "type", "function", "custom", "index"})
"""Fields of a call that have a name in the model, or none that says anything: clients that put a stream
together keep the `index`."""


def read_tools(body: Json, own: str = "") -> tuple[Tool, ...]:
    """`own`: as of `read_content`."""
    told = body.get("tools")
    if not told and (told is None or told.__class__ is list):
        return ()
    if told.__class__ is not list:
        raise invalid("tools", "must be a list")
    if own:
        return tuple([_own_tool(tool, f"tools[{index}]") for index, tool in enumerate(told)])
    return tuple([_tool(tool, f"tools[{index}]") for index, tool in enumerate(told)])


def _own_tool(tool: Any, where: str) -> Tool:
    read = _tool(tool, where)
    if isinstance(read, FunctionTool) and len(tool) > 2:
        return replace(read, extras=extras_of(tool, _FUNCTION))
    return read


def _tool(tool: Any, where: str) -> Tool:
    if tool.__class__ is not dict:
        raise invalid(where, "must be an object")
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
        return CustomTool(name_of(custom, f"{where}.custom"), told, custom.get("format"), mark)
    if kind == "function":
        raise invalid(f"{where}.function", "must be an object")
    if kind.__class__ is not str or not kind:
        raise invalid(f"{where}.type", "must name the kind of the tool")
    return ServerTool(str(kind), tool)


def _function(function: Json, where: str, mark: Any) -> FunctionTool:
    name = name_of(function, where)
    description, parameters = function.get("description"), function.get("parameters")
    if description is not None and description.__class__ is not str:
        raise invalid(f"{where}.description", "must be a string")
    if parameters is not None and parameters.__class__ is not dict:
        raise invalid(f"{where}.parameters", "must be a JSON schema")
    strict = function.get("strict")
    if mark is None:
        mark = function.get("cache_control")
    return FunctionTool(name, description, parameters, strict if isinstance(strict, bool) else None, mark)


def read_functions(body: Json) -> tuple[Tool, ...]:
    told = body.get("functions")
    if told is None:
        return ()
    if told.__class__ is not list or any(one.__class__ is not dict for one in told):
        raise invalid("functions", "must be a list of functions")
    return tuple(_function(one, f"functions[{index}]", None) for index, one in enumerate(told))


def read_choice(body: Json, field: str, own: str = "") -> ToolChoice:
    said = body.get(field)
    parallel = body.get("parallel_tool_calls")
    if parallel is not None and parallel.__class__ is not bool:
        raise invalid("parallel_tool_calls", "must be true or false")
    if said is None:
        return NO_CHOICE if parallel is None else ToolChoice(parallel=parallel)
    if said.__class__ is str:
        mode = _MODES.get(said)
        if mode is None:
            raise invalid(field, "must be auto, none, required or an object that names a tool")
        return ToolChoice(mode, parallel=parallel)
    if said.__class__ is not dict:
        raise invalid(field, "must be a string or an object")
    kind = said.get("type", "function")
    if kind == "allowed_tools":
        return _allowed(said.get(kind), field, parallel)
    extras = extras_of(said, _CHOICE) if own else NOTHING
    if kind.__class__ is str and kind in _MODES:
        return ToolChoice(_MODES[kind], parallel=parallel, extras=extras)
    named = said.get(kind) if isinstance(kind, str) else None
    named = named if named.__class__ is dict else said
    return ToolChoice("named", (name_of(named, field),), parallel=parallel, extras=extras)


def _allowed(told: Any, field: str, parallel: bool | None) -> ToolChoice:
    tools = told.get("tools") if told.__class__ is dict else None
    if tools.__class__ is not list or any(tool.__class__ is not dict for tool in tools):
        raise invalid(f"{field}.allowed_tools", "must have `mode` and a list of `tools`")
    names = tuple(
        name_of(
            tool["function"] if tool.get("function").__class__ is dict else tool, f"{field}.allowed_tools"
        )
        for tool in tools
    )
    return ToolChoice("allowed", names, told.get("mode") == "required", parallel)


def read_call(call: Any, message: str, at: int) -> ToolCall:
    if call.__class__ is dict and "custom" not in call and "cache_control" not in call:
        call_id, function = call.get("id"), call.get("function")
        if call_id.__class__ is str and call_id and function.__class__ is dict:
            name, arguments = function.get("name"), function.get("arguments")
            if name.__class__ is str and name and arguments.__class__ is str:
                if len(call) > 3:
                    return ToolCall(call_id, name, arguments, extras=extras_of(call, _CALL))
                return ToolCall(call_id, name, arguments)
    return odd_call(call, f"{message}.tool_calls[{at}]")


def odd_call(call: Any, where: str) -> ToolCall:
    if call.__class__ is not dict:
        raise invalid(where, "must be an object")
    call_id = call.get("id")
    if call_id.__class__ is not str or not call_id:
        raise invalid(f"{where}.id", "must be the id of the call")
    mark = call.get("cache_control")
    custom = call.get("custom")
    if custom is not None and call.get("type") == "custom":
        if custom.__class__ is not dict or custom.get("input").__class__ is not str:
            raise invalid(f"{where}.custom", "must have a `name` and an `input`")
        return ToolCall(call_id, name_of(custom, f"{where}.custom"), custom["input"], True, mark)
    function = call.get("function")
    if function.__class__ is not dict:
        raise invalid(f"{where}.function", "must be an object")
    name, arguments = name_of(function, f"{where}.function"), arguments_of(function, f"{where}.function")
    return ToolCall(call_id, name, arguments, False, mark)


def name_of(function: Json, where: str) -> str:
    name = function.get("name")
    if name.__class__ is not str or not name:
        raise invalid(f"{where}.name", "must be the name of the tool")
    return str(name)


def arguments_of(function: Json, where: str) -> str:
    arguments = function.get("arguments")
    if arguments is None:
        return ""
    if arguments.__class__ is dict:
        return write_json(arguments).decode()
    if arguments.__class__ is not str:
        raise invalid(f"{where}.arguments", "must be JSON in a string")
    return str(arguments)
