"""Names of the tools of a Responses request, as providers of other dialects know them, and back.

Responses has tools that others do not: custom tools, which take free text, and namespaces, which group
functions so that two may share a name. For another dialect a custom tool becomes a function of one string
(`INPUT`), and a function of a namespace gets a name of its own. The way back needs no table besides the
tools of the request.

Source: the types of OpenAI's SDK (`responses.ToolParam`), and what Codex sends.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Literal

from msgspec import Struct

from farthing.dialects.tool_names import short_name
from farthing.text.lenient_json import any_json, write_json
from farthing.types import Json

ADDITIONAL = "additional_tools"
"""An item of the request that adds tools to those of its field."""
INPUT = "input"
"""The parameter of a function that stands for a custom tool."""
SEPARATOR = "__"
_UNFIT = re.compile(r"[^a-zA-Z0-9_-]")


class ClientTool(Struct, frozen=True):
    """A tool of the client, by the client's own names."""

    name: str
    namespace: str = ""
    """Empty: it stands in none."""
    kind: Literal["function", "custom"] = "function"


class ToolNames:
    """The names of one request's tools, in both directions."""

    __slots__ = ("_clients", "_flat", "_taken")

    def __init__(self, tools: Any) -> None:
        """`tools`: those of the request, as its client sent them; anything else is no tools."""
        self._flat: dict[tuple[str, str], str] = {}
        self._clients: dict[str, ClientTool] = {}
        self._taken: dict[str, int] = {}
        """Of a name that several tools come to: the number up to which it is given away."""
        for tool in sorted(_clients(tools), key=_is_namespaced):  # those without a namespace keep their name
            if (tool.namespace, tool.name) not in self._flat:
                flat = self._free(tool)
                self._flat[tool.namespace, tool.name] = flat
                self._clients[flat] = tool

    def flat(self, name: str, namespace: str = "") -> str:
        """The name of a function that stands for a tool: at most 64 letters, digits, `_` and `-`. Of a tool
        that is not in the request, as in an old call, the name that it would have alone."""
        return self._flat.get((namespace, name)) or flat_name(name, namespace)

    def client(self, flat: str) -> ClientTool:
        """What the client calls the function that a model calls `flat`."""
        return self._clients.get(flat) or ClientTool(flat)

    def _free(self, tool: ClientTool) -> str:
        """A name that no other tool of the request has."""
        start = flat = flat_name(tool.name, tool.namespace)
        times = self._taken.get(start, 1)
        while flat in self._clients:
            times += 1
            flat = short_name(f"{start}_{times}")
        if times > 1:
            self._taken[start] = times
        return flat


def flat_name(name: str, namespace: str = "") -> str:
    """One name for a function of a namespace, the same each time."""
    return short_name(_UNFIT.sub("_", f"{namespace}{SEPARATOR}{name}" if namespace else name) or "_")


def free_text(arguments: str) -> str:
    """The text that a custom tool is called with, of the arguments of the function that stands for it; the
    arguments themselves where they are no such object."""
    value = any_json(arguments.encode("utf-8", "surrogatepass"))
    if isinstance(value, dict):
        text = value.get(INPUT)
        if isinstance(text, str):
            return text
        texts = [one for one in value.values() if isinstance(one, str)]
        if len(value) == len(texts) == 1:  # some models make up a name of their own
            return texts[0]
    return value if isinstance(value, str) else arguments


def arguments_of(text: str) -> str:
    """The arguments of the function that stands for a custom tool which was called with `text`."""
    return write_json({INPUT: text}).decode()


def added_tools(body: Json) -> list[tuple[int, Any]]:
    """The tools that items of a request add, as they were sent, with the places of the items."""
    given = body.get("input")
    if given.__class__ is not list:
        return []
    return [
        (at, item.get("tools"))
        for at, item in enumerate(given)
        if item.__class__ is dict and item.get("type") == ADDITIONAL
    ]


def tools_of(body: Json, added: Iterable[tuple[int, Any]]) -> Any:
    """All tools of a request, as far as they are in lists; `added`: those that its items add."""
    tools = body.get("tools")
    lists = [told for _, told in added if isinstance(told, list)]
    return [*(tools if isinstance(tools, list) else ()), *chain(*lists)] if lists else tools


def _clients(tools: Any) -> Iterator[ClientTool]:
    for tool in tools if isinstance(tools, list) else ():
        found = _client(tool)
        if found is not None:
            yield found
        elif isinstance(tool, dict) and tool.get("type") == "namespace":
            namespace, grouped = tool.get("name"), tool.get("tools")
            if isinstance(namespace, str) and isinstance(grouped, list):
                for one in grouped:
                    found = _client(one, namespace)
                    if found is not None:
                        yield found


def _client(tool: Any, namespace: str = "") -> ClientTool | None:
    """A function or a custom tool; None: it is neither, or has no name."""
    if not isinstance(tool, dict):
        return None
    kind, name = tool.get("type"), tool.get("name")
    if kind not in ("function", "custom") or not isinstance(name, str) or not name:
        return None
    return ClientTool(name, namespace, kind)


def _is_namespaced(tool: ClientTool) -> bool:
    return bool(tool.namespace)


def lowered_custom(tool: Json) -> Json:
    """The parameters of the function that stands for a custom tool, as JSON schema. A grammar is told in
    words: no other dialect has a place for one."""
    form = tool.get("format")
    about = "The whole input of the tool, as free text and not as JSON."
    if isinstance(form, dict) and form.get("type") == "grammar" and isinstance(form.get("definition"), str):
        about = f"{about} It must match this {form.get('syntax', '')} grammar:\n{form['definition']}"
    return {
        "type": "object",
        "properties": {INPUT: {"type": "string", "description": about}},
        "required": [INPUT],
        "additionalProperties": False,
    }
