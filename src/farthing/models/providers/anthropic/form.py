"""How answers of Messages are read."""

from farthing.dialects.messages.answers import answer_reader
from farthing.dialects.messages.streams.stream_reader import Reader
from farthing.models.providers.decoder import AnswerForm

MESSAGES = AnswerForm(
    dialect="messages", reader=Reader, read=answer_reader.read, is_opaque=answer_reader.is_opaque
)
