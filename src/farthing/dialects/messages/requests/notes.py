"""What is noted while a conversation is written as Messages: what it cannot be told, and why."""

from typing import Any

from farthing.dialects.conversation import (
    Conversation,
)
from farthing.dialects.messages.models import abilities
from farthing.types import NOTHING_SAID, Features, Json


class Notes:
    """Of one request to one model."""

    __slots__ = ("abilities", "model", "reasons", "said", "unsaid", "yielded")

    def __init__(self, conversation: Conversation, model: str, listed: Features = NOTHING_SAID) -> None:
        self.said = conversation
        self.model = model
        self.abilities = abilities(model, listed)
        self.unsaid: list[str] = []
        """Names of the client's fields that the model cannot be told."""
        self.yielded: list[str] = []
        """Names of those that gave way to others."""
        self.reasons: dict[str, str] = {}
        """Why a name of `unsaid` is there, and what helps."""

    def lacks(self, name: str, reason: str) -> None:
        """This model cannot be told `name`, for a reason that another one or another value need not have."""
        self.unsaid.append(name)
        self.reasons.setdefault(name, reason)


def marked(written: Json, mark: Any) -> Json:
    if mark is not None:
        written["cache_control"] = mark
    return written
