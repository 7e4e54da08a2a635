"""What is noted while a conversation is written as Converse: what it cannot be told, and why."""

from typing import Any

from farthing.dialects.conversation import Conversation
from farthing.dialects.converse.models import abilities
from farthing.types import Json


class Notes:
    """Of one request to one model."""

    __slots__ = ("abilities", "model", "reasons", "said", "unsaid", "yielded")

    def __init__(self, said: Conversation, model: str) -> None:
        self.said = said
        self.model = model
        self.abilities = abilities(model)
        self.unsaid: list[str] = []
        """Names of the client's fields that the model cannot be told."""
        self.yielded: list[str] = []
        """Names of those that gave way to others."""
        self.reasons: dict[str, str] = {}
        """Why a name of `unsaid` is there, and what helps."""

    def lacks(self, field: str, reason: str) -> None:
        """The model cannot be told `field` of the conversation."""
        name = self.said.name_of(field)
        self.unsaid.append(name)
        self.reasons.setdefault(name, reason)

    def mark(self, blocks: list[Json], mark: Any) -> None:
        """Have what stands in `blocks` so far cached, if `mark` wants it and the model can."""
        if mark is None:
            return
        if not self.abilities.caches:
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
