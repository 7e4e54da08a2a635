"""A request in the form of one dialect, and what that form has no word for."""

from msgspec import Struct

from farthing.dialects.conversation import Audio, Block, Conversation, Image, Inline, Opaque
from farthing.types import Json


class Written(Struct, frozen=True):
    body: Json
    unsaid: tuple[str, ...] = ()
    """Names of the client's fields that are not in `body`."""
    yielded: tuple[str, ...] = ()
    """Names of those that gave way to others in this request alone."""
    reasons: dict[str, str] = {}
    """Why a name of `unsaid` cannot be said to this model and what helps; none where no model takes it."""


class Notes:
    """What is noted while a conversation is written in the form of one dialect."""

    __slots__ = ("reasons", "said", "unsaid", "yielded")

    def __init__(self, said: Conversation) -> None:
        self.said = said
        self.unsaid: list[str] = []
        """Names of the client's fields that cannot be told."""
        self.yielded: list[str] = []
        """Names of those that gave way to others."""
        self.reasons: dict[str, str] = {}
        """Why a name of `unsaid` is there, and what helps."""

    def lacks(self, name: str, reason: str) -> None:
        """`name` cannot be told, for a reason that another model or another value need not have."""
        self.unsaid.append(name)
        self.reasons.setdefault(name, reason)

    def cannot(self, block: Block) -> None:
        """There is no place for `block`."""
        match block:
            case Audio(source=Inline()):
                name = "input_audio"
            case Audio():
                name = "audio"
            case Opaque(kind=kind):
                name = kind
            case Image():
                name = "image_url"
            case _:
                name = "file"
        self.unsaid.append(self.said.name_of(name))

    def written(self, body: Json) -> Written:
        """`body`, and what is noted, each name once."""
        return Written(
            body, tuple(dict.fromkeys(self.unsaid)), tuple(dict.fromkeys(self.yielded)), self.reasons
        )
