"""What is noted while a conversation is written for Gemini: what it cannot be told, and why."""

from typing import Any

from farthing.dialects import written
from farthing.dialects.conversation import Conversation
from farthing.dialects.gemini.models import abilities
from farthing.dialects.responses.fields import NAMES

_MARK = "cache_control"


class Notes(written.Notes):
    """Of one request to one model."""

    __slots__ = ("abilities", "files", "model", "provider")

    def __init__(
        self, conversation: Conversation, model: str, files: tuple[str, ...] = (), provider: str = ""
    ) -> None:
        """`files`: how addresses begin that may be read with the gateway's own rights. `provider` is whose
        signatures go up; empty: those alone that name nobody."""
        super().__init__(conversation)
        self.files = files
        self.provider = provider
        self.model = model
        self.abilities = abilities(model)

    def give_way(self, name: str) -> None:
        self.yielded.append(name)

    def marked(self, mark: Any) -> None:
        """Note a mark for a prefix cache: Gemini caches by itself, or what was uploaded to it before."""
        if mark is not None:
            self.yielded.append(NAMES[_MARK] if self.said.dialect == "responses" else _MARK)
