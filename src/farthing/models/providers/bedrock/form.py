"""How answers of Bedrock are read: what came tells whether it is Converse or Messages."""

from functools import partial

from msgspec import Raw, Struct
from msgspec.json import Decoder

from farthing.dialects.conversation import Message
from farthing.dialects.converse.answers import answer_reader as converse
from farthing.dialects.converse.answers.answer_reader import Asked, as_asked
from farthing.dialects.converse.streams.stream_reader import Reader
from farthing.dialects.events import read_body
from farthing.dialects.messages.answers import answer_reader as messages
from farthing.models.providers.decoder import AnswerForm
from farthing.types import replace

NOTHING = Raw()


class _Shape(Struct):
    content: Raw = NOTHING


_decode_shape = Decoder(_Shape).decode


def form_for(asked: Asked) -> AnswerForm:
    """How the answer to a request is read."""
    return AnswerForm(
        dialect="messages",  # what a client may miss of it in chunks
        reader=partial(Reader, asked=asked),
        read=partial(_read, asked=asked),
        is_opaque=_is_opaque,
    )


def is_messages(body: bytes) -> bool:
    """Whether a whole answer, which was read before, is one of Messages."""
    return _decode_shape(body).content is not NOTHING


def _read(body: bytes, asked: Asked) -> Message:
    value = read_body(body)
    if "content" in value or value.get("type") == "error":
        message = messages.read_value(value, body)
        if message.usage is None:
            return message
        told: Message = replace(message, usage=as_asked(message.usage, asked))
        return told
    return converse.read_value(value, body, asked)


def _is_opaque(message: Message) -> bool:
    return messages.is_opaque(message) or converse.is_opaque(message)
