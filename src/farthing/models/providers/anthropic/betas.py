"""Betas of Messages, where Claude is asked by others than Anthropic: each of them knows some, and refuses a
request that asks for another. Agents send a dozen."""

import re
from collections.abc import Collection, Iterable, Iterator
from time import monotonic
from typing import Any

from farthing.dialects.messages.models import version_of
from farthing.dialects.splice import REMOVED, Changes
from farthing.errors import ProviderRejected
from farthing.models.providers.learnt import Lessons, is_asked
from farthing.protocols import Unsaid
from farthing.types import Json, Prompt, Sent, replace

HEADER = "anthropic-beta"
ADVANCED = "advanced-tool-use-2025-11-20"
"""What Anthropic's own service calls several betas of tools together, as Claude Code sends it."""
SEARCHES, EXAMPLES = "tool-search-tool-2025-10-19", "tool-examples-2025-10-29"
"""The names that others have for them."""
_PARTS = {"defer_loading": SEARCHES, "input_examples": EXAMPLES}
"""Fields of a tool that they refuse without."""
_SEARCHES = "tool_search_tool_"
_MANAGING, _COMPACTING = "context-management-2025-06-27", "compact-2026-01-12"
_OF_TOOLS = {
    "computer_20241022": "computer-use-2024-10-22",
    "computer_20250124": "computer-use-2025-01-24",
    "computer_20251124": "computer-use-2025-11-24",
    "memory_20250818": _MANAGING,
}
"""Tools that they know by a beta alone."""
_FIELDS = {_MANAGING: "context_management"}
_FIELDS_OF_TURNS = {"per-turn-control-2026-07-01": "output_config"}
"""What is refused where its beta does not go up: fields of a request, and of its messages."""
_NAME = re.compile(r"[\w.-]{1,60}", re.ASCII)
NAMES_NONE = "invalid beta flag"
"""All that is said where the beta that is refused is not named."""
REFUSED = (NAMES_NONE, f"`{HEADER}` header", "anthropic_beta")
"""What is said, in small letters, where it is a beta that is refused."""


class Betas:
    """Which betas one provider is asked for: of those that a client names and that its request wants, the
    ones that are known there and that the model was not seen to refuse."""

    def __init__(self, known: Collection[str] | None, lessons: Lessons | None = None) -> None:
        """`known`: None: all that a client names, and no others, go up until they are refused."""
        self._known = known
        self._lessons = Lessons(monotonic) if lessons is None else lessons

    @property
    def are_refused(self) -> bool:
        """Whether any was ever refused."""
        return self._lessons.known

    def going_up(
        self,
        passed: Iterable[tuple[str, str]],
        prompt: Prompt,
        body: Json,
        model: str,
        without: Collection[str] = (),
    ) -> list[str]:
        """Those of a request `prompt`, of which `passed` are headers and `body` is what goes up. `without`:
        what this call may not ask for."""
        said = _betas(value for name, value in passed if name == HEADER) if of_messages(prompt) else ()
        return self._going(said, body, model, without)

    def _going(self, said: Iterable[str], body: Json, model: str, without: Collection[str] = ()) -> list[str]:
        if self._known is None:
            going = list(said)
        else:
            known = self._known
            wanted = dict.fromkeys((*said, *demanded(body, model)))
            going = [one for one in wanted if one in known and one not in without]
        if not self._lessons.known or not going:
            return going
        asked = frozenset(going)
        gone = frozenset[str]().union(*(one for one in self._lessons.of(model).betas if one <= asked))
        return [one for one in going if one not in gone]

    def with_left_here(self, unsaid: Unsaid, prompt: Prompt, model: str) -> Unsaid:
        """`unsaid` with the betas of a client that do not go up."""
        sent = prompt.sent
        if sent is None or not sent.betas or (self._known is None and not self._lessons.known):
            return unsaid
        said = _betas((sent.betas,))
        going = self._going(said, sent.body, model)
        gone = [beta for beta in said if beta not in going]
        if ADVANCED in gone and all(beta in going for beta in _of_tools(sent.body)):
            gone.remove(ADVANCED)
        if not gone:
            return unsaid
        names = dict.fromkeys(f"{HEADER}.{beta}" if _NAME.fullmatch(beta) else HEADER for beta in gone)
        told: Unsaid = replace(unsaid, gave_way=(*unsaid.gave_way, *names))
        return told

    def learn(self, prompt: Prompt, body: Json, model: str, error: ProviderRejected) -> bool:
        """Remember what `error`, the refusal of a request, says of its betas. Returns whether it would be
        asked with others now. What it only repeats of the request teaches nothing, nor does it of betas that
        it names and that we did not ask for."""
        words = str((error.said or {}).get("message")).lower().strip(" .")
        phrase = next((one for one in REFUSED if one in words), None)
        if error.upstream_status != 400 or error.unasked or phrase is None:
            return False
        if words != NAMES_NONE and is_asked(phrase, prompt):
            return False
        sent = prompt.sent
        said = _betas((sent.betas,)) if sent is not None and of_messages(prompt) else {}
        going = self._going(said, body, model)
        if not going or "anthropic_beta" in body or not all(map(_NAME.fullmatch, going)):
            return False
        told = {one.strip(".") for one in _NAME.findall(words)}
        named = [frozenset((beta,)) for beta in going if beta.lower() in told]
        if not named and words != NAMES_NONE:
            return False
        return self._lessons.note_betas(model, named or (frozenset(going),))


def of_messages(prompt: Prompt) -> bool:
    """Whether its client speaks Messages: what others send under such names is not meant for Claude."""
    return prompt.sent is not None and prompt.sent.dialect == "messages"


def demanded(body: Json, model: str) -> Iterator[str]:
    """The betas without which others refuse what `body` asks for. At Anthropic some of that is no beta any
    more, or one beta."""
    yield from _of_tools(body)
    for tool in _dicts(body.get("tools")):
        kind = tool.get("type")
        if kind.__class__ is str and kind in _OF_TOOLS:
            yield _OF_TOOLS[kind]
    managed = body.get("context_management")
    for edit in _dicts(managed.get("edits")) if managed.__class__ is dict else ():
        yield _COMPACTING if str(edit.get("type")).startswith("compact_") else _MANAGING
    config = body.get("output_config")
    if config.__class__ is dict and config.get("effort") is not None and version_of(model) <= (4, 5):
        yield "effort-2025-11-24"


def _of_tools(body: Json) -> Iterator[str]:
    """What others call the parts of `ADVANCED` that the tools of `body` want."""
    tools = list(_dicts(body.get("tools")))
    for field, beta in _PARTS.items():
        if any(tool.get(field) is not None for tool in tools):
            yield beta
    if any(str(tool.get("type")).startswith(_SEARCHES) for tool in tools):
        yield SEARCHES


def _dicts(value: Any) -> Iterable[Json]:
    return (one for one in value if one.__class__ is dict) if value.__class__ is list else ()


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


def _betas(values: Iterable[str]) -> dict[str, None]:
    said = (one.strip() for value in values for one in value.split(","))
    return dict.fromkeys(beta for beta in said if beta)
