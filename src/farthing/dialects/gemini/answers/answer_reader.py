"""A whole answer of `generateContent`, read into the model of a conversation: one object, or what a stream
of them comes to."""

from farthing.dialects.assemble import Assembly
from farthing.dialects.chat.answers.reply import EVENTS
from farthing.dialects.conversation import Event, Message, Opaque, Text
from farthing.dialects.events import BadAnswer
from farthing.dialects.gemini.answers.parts import PartsReader
from farthing.dialects.gemini.signatures import Note, forget
from farthing.dialects.gemini.streams.stream_reader import Reader
from farthing.text.lenient_json import BOM, NotJson, read_json


def read(body: bytes, note: Note = forget, provider: str = "") -> Message:
    """The answer in the body of a reply with status 200. `note`, `provider`: as of `PartsReader`.

    Raises:
        BadAnswer: there is none. ProviderSaid: it is an error.
    """
    if body[:1] != b"{" and body[:99].removeprefix(BOM).lstrip().startswith(EVENTS):
        reader = Reader(len(body) + 2, note, provider)
        return _message([*reader.feed(body), *reader.end()])
    try:
        value = read_json(body)
    except NotJson as error:
        raise BadAnswer(f"not JSON: {error}") from None
    parts = PartsReader(note, provider)
    found: list[Event] = []
    parts.take(value, body, found)
    parts.end()
    if not parts.begun:
        raise BadAnswer("there is no candidate")
    return _message(found)


def _message(events: list[Event]) -> Message:
    assembly = Assembly("messages")  # whose form its signatures have
    for event in events:
        assembly.add(event)
    return assembly.message()


def is_opaque(message: Message) -> bool:
    """Whether it has something that only this dialect has: a part that the provider ran, or a source that is
    no page."""
    for block in message.blocks:
        if isinstance(block, Opaque):
            return True
        if isinstance(block, Text) and not all([one.get("url") for one in block.citations]):
            return True
    return False
