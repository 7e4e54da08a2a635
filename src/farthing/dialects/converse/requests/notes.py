"""What is noted while a conversation is written as Converse: what it cannot be told, and why."""

from typing import Any

from farthing.dialects import written
from farthing.dialects.conversation import Conversation
from farthing.dialects.converse.models import abilities
from farthing.dialects.converse.names import tool_name
from farthing.types import Json

GIVES_WAY = frozenset({"caller", "toolset_name", "transformations"})
"""Fields of messages that say who made a call, by what, and how an image was scaled."""


class Notes(written.Notes):
    """Of one request to one model."""

    __slots__ = ("abilities", "files", "model")

    def __init__(self, said: Conversation, model: str, files: tuple[str, ...] = ()) -> None:
        """`files`: how addresses begin that may be read with the gateway's own rights."""
        super().__init__(said)
        self.files = files
        self.model = model
        self.abilities = abilities(model)

    def tool_name(self, name: str) -> str:
        """What the model is told of the client's name of a tool."""
        return tool_name(name, plain=self.abilities.plain_names)

    def lacks(self, name: str, reason: str) -> None:
        """As `written.Notes`, by what the conversation calls it."""
        super().lacks(self.said.name_of(name), reason)

    def unknown(self, extras: Json) -> None:
        """Fields of a message, a part or a call that have no name here. Clients of chat send back what they
        were answered with, and it holds what their last provider added; in other dialects it may change what
        is said."""
        where = self.said.name_of("messages")
        for name in extras:
            gives_way = self.said.dialect == "chat" or name in GIVES_WAY
            (self.yielded if gives_way else self.unsaid).append(f"{where}.{name}")

    def mark(self, blocks: list[Json], mark: Any, *, tools: bool = False) -> None:
        """Have what stands in `blocks` so far cached, if `mark` wants it and the model can."""
        if mark is None:
            return
        if not self.abilities.caches or (tools and not self.abilities.caches_tools):
            self.yielded.append(self.said.name_of("cache_control"))
            return
        point: Json = {"type": "default"}
        ttl = mark.get("ttl") if isinstance(mark, dict) else None
        if ttl == "1h" and self.abilities.cache_ttl:
            point["ttl"] = ttl
        elif ttl == "1h":
            self.yielded.append(self.said.name_of("cache_control.ttl"))
        if blocks and "cachePoint" not in blocks[-1]:
            blocks.append({"cachePoint": point})
