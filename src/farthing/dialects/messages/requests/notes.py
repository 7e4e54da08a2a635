"""What is noted while a conversation is written as Messages: what it cannot be told, and why."""

from typing import Any

from farthing.dialects import written
from farthing.dialects.conversation import Conversation
from farthing.dialects.messages.models import abilities
from farthing.types import NOTHING_SAID, Features, Json


class Notes(written.Notes):
    """Of one request to one model."""

    __slots__ = ("abilities", "model")

    def __init__(self, conversation: Conversation, model: str, listed: Features = NOTHING_SAID) -> None:
        super().__init__(conversation)
        self.model = model
        self.abilities = abilities(model, listed)


def marked(block: Json, mark: Any) -> Json:
    if mark is not None:
        block["cache_control"] = mark
    return block
