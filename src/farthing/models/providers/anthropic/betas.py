"""Betas of Messages, where Claude is asked by others than Anthropic: each of them knows some, and refuses a
request that asks for another. Agents send a dozen."""

import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from farthing.dialects.splice import REMOVED, Changes
from farthing.protocols import Unsaid
from farthing.types import Prompt, Sent, replace

HEADER = "anthropic-beta"
ADVANCED = "advanced-tool-use-2025-11-20"
"""What Anthropic's own service calls several betas of tools together, as Claude Code sends it."""
_PARTS = {"defer_loading": "tool-search-tool-2025-10-19", "input_examples": "tool-examples-2025-10-29"}
"""The names that others have for them, by the field of a tool that they refuse without."""
_SEARCHES = "tool_search_tool_"
_FIELDS = {"context-management-2025-06-27": "context_management"}
_FIELDS_OF_TURNS = {"per-turn-control-2026-07-01": "output_config"}
"""What is refused where its beta does not go up: fields of a request, and of its messages."""
_NAME = re.compile(r"[\w.-]{1,60}", re.ASCII)


def of_messages(prompt: Prompt) -> bool:
    """Whether its client speaks Messages: what others send under such names is not meant for Claude."""
    return prompt.sent is not None and prompt.sent.dialect == "messages"


def going_up(
    passed: Iterable[tuple[str, str]], known: Collection[str], prompt: Prompt | None = None
) -> list[str]:
    """The betas among a client's headers that go up, of its request `prompt`."""
    said = _betas(value for name, value in passed if name == HEADER)
    if ADVANCED in said and ADVANCED not in known and prompt is not None:
        said |= dict.fromkeys(_of_tools(prompt))
    return [beta for beta in said if beta in known]


def _of_tools(prompt: Prompt) -> Iterator[str]:
    """What others call the parts of `ADVANCED` that its tools want."""
    tools: Any = None if prompt.sent is None else prompt.sent.body.get("tools")
    told = [tool for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []
    for field, beta in _PARTS.items():
        if any(field in tool for tool in told):
            yield beta
    if any(str(tool.get("type")).startswith(_SEARCHES) for tool in told):
        yield _PARTS["defer_loading"]


def supported(sent: Sent, changed: Changes, going_up: Collection[str]) -> Changes:
    """`changed` with what a client asks for by betas that do not go up taken out of its request: how much to
    think about a turn, and which earlier thinking to forget."""
    gone = [beta for beta in _betas((sent.betas,)) if beta not in going_up]
    found = dict(changed)
    for beta in gone:
        field = _FIELDS.get(beta)
        if field is not None and field in sent.body:
            found[field] = REMOVED
    fields = frozenset(_FIELDS_OF_TURNS[beta] for beta in gone if beta in _FIELDS_OF_TURNS)
    messages: Any = found.get("messages", sent.body["messages"])
    if fields and any(not fields.isdisjoint(message) for message in messages):
        found["messages"] = [
            {name: value for name, value in message.items() if name not in fields} for message in messages
        ]
    return found


def with_left_here(unsaid: Unsaid, prompt: Prompt, known: Collection[str]) -> Unsaid:
    """`unsaid` with the betas of a client that do not go up."""
    sent = prompt.sent
    if sent is None or not sent.betas:
        return unsaid
    gone = [beta for beta in _betas((sent.betas,)) if beta not in known]
    if ADVANCED in gone and all(beta in known for beta in _of_tools(prompt)):
        gone.remove(ADVANCED)
    if not gone:
        return unsaid
    names = dict.fromkeys(f"{HEADER}.{beta}" if _NAME.fullmatch(beta) else HEADER for beta in gone)
    told: Unsaid = replace(unsaid, gave_way=(*unsaid.gave_way, *names))
    return told


def _betas(values: Iterable[str]) -> dict[str, None]:
    said = (one.strip() for value in values for one in value.split(","))
    return dict.fromkeys(beta for beta in said if beta)
