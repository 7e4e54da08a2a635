"""What clouds that sell Claude refuse of a request for Anthropic's own API, and how it is said there.

Clients write for Anthropic: they mark the whole request for the prompt cache, say whom a cached prefix is
shared with and have the arguments of a tool streamed at once, which the others refuse as fields that they do
not know. What an answer is made of does not change by any of it, so it gives way, or is said in another way;
that is noted.
"""

from typing import Any

from msgspec import Struct

from farthing.dialects.messages.models import abilities, version_of
from farthing.dialects.messages.requests.marking import UNMARKED
from farthing.dialects.splice import REMOVED, Changes, members
from farthing.text.lenient_json import write_json
from farthing.types import Json

MARK, EAGER = "cache_control", "eager_input_streaming"
SCOPE, TTL = "cache_control.scope", "cache_control.ttl"


class Cloud(Struct, frozen=True, kw_only=True):
    """What one takes of what Anthropic does."""

    marks_all: bool = True
    """A mark on the request as a whole."""
    shares: bool = True
    """Marks that say whom a prefix is shared with."""
    eager: bool = True
    """Tools whose arguments are streamed at once."""
    hour_since: tuple[int, int] = (0, 0)
    """The version of Claude since which a prefix can be cached for an hour."""


ANTHROPIC = Cloud()
BEDROCK = Cloud(marks_all=False, shares=False, eager=False, hour_since=(4, 5))
FOUNDRY = Cloud(shares=False)
VERTEX = Cloud(marks_all=False, shares=False)


def cloud_at(host: str) -> Cloud:
    """The one that a host which speaks Messages belongs to."""
    return FOUNDRY if host.endswith(".azure.com") else ANTHROPIC


class Fitted:
    """The values of a request that change at its top, and names of what gave way."""

    __slots__ = ("changed", "cloud", "gave_way", "hour")

    def __init__(self, cloud: Cloud, model: str) -> None:
        self.cloud = cloud
        self.hour = version_of(model) >= cloud.hour_since
        self.changed: dict[str, Any] = {}
        self.gave_way: dict[str, None] = {}


def fitted(body: Json, model: str, cloud: Cloud) -> Fitted:
    """`body` of Messages as a cloud takes it for a model. It is not changed, and the same history comes out
    the same each time."""
    found = Fitted(cloud, model)
    if cloud is ANTHROPIC:
        return found
    for name in ("system", "tools"):
        told = body.get(name)
        if told.__class__ is list and (written := _blocks(told, found)) is not told:
            found.changed[name] = written
    messages: list[Any] = body["messages"]
    turns = [_turn(one, found) for one in messages]
    if any(one is not before for one, before in zip(turns, messages, strict=True)):
        messages = found.changed["messages"] = turns
    mark = body.get(MARK)
    if mark.__class__ is dict:
        mark = _mark(mark, found)
        if cloud.marks_all:
            if mark is not body[MARK]:
                found.changed[MARK] = mark
            return found
        marked = _marked(messages, mark, reshape=not abilities(model).binds)
        if marked is None:
            found.gave_way[MARK] = None
        elif marked is not messages:
            found.changed["messages"] = marked
    if MARK in body and not cloud.marks_all:
        found.changed[MARK] = REMOVED
    return found


def fit(body: Json, model: str, cloud: Cloud) -> tuple[str, ...]:
    """Fit `body`, which was written anew; names of what gave way."""
    found = fitted(body, model, cloud)
    body.update(found.changed)
    if body.get(MARK) is REMOVED:
        del body[MARK]
    return tuple(found.gave_way)


def changes(body: Json, changed: Changes, model: str, cloud: Cloud) -> dict[str, object]:
    """What changes of `body`, which changes anyway by `changed`."""
    if cloud is ANTHROPIC:
        return dict(changed)
    now = {name: value for name, value in {**body, **changed}.items() if value is not REMOVED}
    return {**changed, **fitted(now, model, cloud).changed}


def messages_last(raw: bytes) -> bytes:
    """The body `raw` with its messages behind all else, byte for byte; itself if they are. Vertex finds a
    prefix in its cache by how the body begins, and messages are what grows."""
    found = members(raw)
    if found is None or "messages" not in found:
        return raw
    at = found["messages"]
    if not any(found[name] > at for name in ("system", "tools") if name in found):
        return raw
    names = [*(name for name in found if name != "messages"), "messages"]
    fields = [b"%b:%b" % (write_json(name), raw[slice(*found[name])]) for name in names]
    return b"{%b}" % b",".join(fields)


def _turn(message: Any, found: Fitted) -> Any:
    content = message["content"]
    if content.__class__ is not list:
        return message
    written = _blocks(content, found)
    return message if written is content else {**message, "content": written}


def _blocks(blocks: list[Any], found: Fitted) -> list[Any]:
    """Blocks or tools as they are taken; themselves if they are."""
    changed: dict[int, Json] = {}
    for at, block in enumerate(blocks):
        if block.__class__ is dict and (MARK in block or EAGER in block or "content" in block):
            written = _block(block, found)
            if written is not block:
                changed[at] = written
    return [changed.get(at, block) for at, block in enumerate(blocks)] if changed else blocks


def _block(block: Json, found: Fitted) -> Json:
    written = block
    mark = block.get(MARK)
    if mark.__class__ is dict and len(mark) > 1 and (told := _mark(mark, found)) is not mark:
        written = {**written, MARK: told}
    if EAGER in block and not found.cloud.eager:
        found.gave_way[f"tools.{EAGER}"] = None
        written = {name: value for name, value in written.items() if name != EAGER}
    inner = block.get("content")
    if isinstance(inner, list) and (within := _blocks(inner, found)) is not inner:
        written = {**written, "content": within}
    return written


def _mark(mark: Json, found: Fitted) -> Json:
    cloud = found.cloud
    gone = [
        name for name in mark if (name == "scope" and not cloud.shares) or (name == "ttl" and not found.hour)
    ]
    if not gone:
        return mark
    for name in gone:
        if name == "scope" or mark[name] != "5m":
            found.gave_way[SCOPE if name == "scope" else TTL] = None
    return {name: value for name, value in mark.items() if name not in gone}


def _marked(messages: list[Any], mark: Json, *, reshape: bool) -> list[Any] | None:
    """With a mark on the last block that may have one, as Anthropic does where the request as a whole is
    marked; itself if that has one. None: no block may."""
    for at in range(len(messages) - 1, -1, -1):
        content = messages[at]["content"]
        if content.__class__ is str and content.strip():
            if not reshape:
                return None
            content = [{"type": "text", "text": content}]
        for place in range(len(content) - 1, -1, -1) if content.__class__ is list else ():
            block = content[place]
            if block.get("type") in UNMARKED or _is_blank(block):
                continue
            if MARK in block:
                return messages
            told = [*content[:place], {**block, MARK: mark}, *content[place + 1 :]]
            return [*messages[:at], {**messages[at], "content": told}, *messages[at + 1 :]]
    return None


def _is_blank(block: Json) -> bool:
    return block.get("type") == "text" and not str(block.get("text")).strip()
