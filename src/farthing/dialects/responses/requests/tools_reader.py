"""The tools of a request of Responses, and which of them is to be called, as other dialects can be told them.

Functions of a namespace get flat names, and custom tools become functions of one text (`responses.tools`).
Tools that a provider runs, or that only its models know, stay as they are.
"""

from typing import Any

from farthing.dialects.chat.fields import invalid
from farthing.dialects.conversation import (
    NO_CHOICE,
    NOTHING,
    FunctionTool,
    ServerTool,
    Tool,
    ToolChoice,
)
from farthing.dialects.responses.requests.content import more_of
from farthing.dialects.responses.tools import ToolNames, lowered_custom
from farthing.types import Json

_FUNCTION = frozenset({"type", "name", "description", "parameters", "strict"})
_CUSTOM = frozenset({"type", "name", "description", "format"})
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "allowed_callers": (["direct"],),
    "async": (False,),
    "defer_loading": (False,),
}
"""Values of further fields that ask for what happens anyway."""
_MODES: dict[str, Any] = {"auto": "auto", "none": "none", "required": "required"}


def read_tools(told: Any, names: ToolNames, field: str = "tools") -> tuple[Tool, ...]:
    """`field` is what has them, for the errors."""
    if told is None:
        return ()
    if told.__class__ is not list:
        raise invalid(field, "must be a list")
    tools: list[Tool] = []
    for at, tool in enumerate(told):
        where = f"{field}[{at}]"
        if tool.__class__ is dict and tool.get("type") == "namespace":
            namespace, grouped = _name(tool, where), tool.get("tools")
            if grouped.__class__ is not list:
                raise invalid(f"{where}.tools", "must be a list")
            for inner, one in enumerate(grouped):
                tools.append(_tool(one, names, namespace, f"{where}.tools[{inner}]"))
        else:
            tools.append(_tool(tool, names, "", where))
    return tuple(tools)


def _tool(tool: Any, names: ToolNames, namespace: str, where: str) -> Tool:
    if tool.__class__ is not dict:
        raise invalid(where, "must be an object")
    kind = tool.get("type")
    if kind.__class__ is not str or not kind:
        raise invalid(f"{where}.type", "must name the kind of the tool")
    if kind not in ("function", "custom"):
        if namespace:
            raise invalid(f"{where}.type", "must be function or custom in a namespace")
        return ServerTool(kind, tool)
    name, description = names.flat(_name(tool, where), namespace), tool.get("description")
    if description is not None and description.__class__ is not str:
        raise invalid(f"{where}.description", "must be a string")
    if kind == "custom":
        return FunctionTool(
            name, description, lowered_custom(tool), None, None, _extras(tool, _CUSTOM, where)
        )
    parameters, strict = tool.get("parameters"), tool.get("strict")
    if parameters is not None and parameters.__class__ is not dict:
        raise invalid(f"{where}.parameters", "must be a JSON schema")
    if strict is not None and strict.__class__ is not bool:
        raise invalid(f"{where}.strict", "must be true or false")
    return FunctionTool(name, description, parameters, strict or None, None, _extras(tool, _FUNCTION, where))


def _extras(tool: Json, known: frozenset[str], where: str) -> Json:
    if tool.keys() <= known:
        return NOTHING
    extras = more_of(tool, known, where)
    return {name: value for name, value in extras.items() if value not in _NEUTRAL.get(name, ())}


def _name(tool: Json, where: str) -> str:
    name = tool.get("name")
    if name.__class__ is not str or not name:
        raise invalid(f"{where}.name", "must be the name of the tool")
    return str(name)


def read_choice(body: Json, names: ToolNames) -> tuple[ToolChoice, Json]:
    """Which tool is to be called; and where that is one that a provider runs, the client's word for it as a
    field that no other dialect has."""
    parallel = body.get("parallel_tool_calls")
    if parallel is not None and parallel.__class__ is not bool:
        raise invalid("parallel_tool_calls", "must be true or false")
    single = False if parallel is False else None
    said = body.get("tool_choice")
    if said is None:
        return (NO_CHOICE if single is None else ToolChoice(parallel=False)), NOTHING
    if said.__class__ is str:
        if said not in _MODES:
            raise invalid("tool_choice", "must be auto, none, required or an object that names a tool")
        return ToolChoice(_MODES[said], parallel=single), NOTHING
    if said.__class__ is not dict:
        raise invalid("tool_choice", "must be a string or an object")
    kind = said.get("type")
    if kind == "function" or kind == "custom":
        return ToolChoice("named", (_flat(said, names, "tool_choice"),), parallel=single), NOTHING
    if kind == "allowed_tools":
        return _allowed(said, names, single)
    if kind.__class__ is not str or not kind:
        raise invalid("tool_choice.type", "must be function, custom, allowed_tools or the kind of a tool")
    return (NO_CHOICE if single is None else ToolChoice(parallel=False)), {f"tool_choice.{kind}": said}


def _allowed(said: Json, names: ToolNames, single: bool | None) -> tuple[ToolChoice, Json]:
    mode, tools = said.get("mode"), said.get("tools")
    if mode not in ("auto", "required"):
        raise invalid("tool_choice.mode", "must be auto or required")
    if tools.__class__ is not list or not tools:
        raise invalid("tool_choice.tools", "must be a list of at least one tool")
    allowed: list[str] = []
    others: Json = {}
    for at, tool in enumerate(tools):
        where = f"tool_choice.tools[{at}]"
        kind = tool.get("type") if tool.__class__ is dict else None
        if kind.__class__ is not str or not kind:
            raise invalid(where, "must be an object with a `type`")
        if kind == "function" or kind == "custom":
            allowed.append(_flat(tool, names, where))
        else:
            others[f"tool_choice.{kind}"] = tool
    return ToolChoice("allowed", tuple(allowed), mode == "required", single), others or NOTHING


def _flat(told: Json, names: ToolNames, where: str) -> str:
    namespace = told.get("namespace")
    if namespace is not None and namespace.__class__ is not str:
        raise invalid(f"{where}.namespace", "must be a string")
    return names.flat(_name(told, where), namespace or "")
