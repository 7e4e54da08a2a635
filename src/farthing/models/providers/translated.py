"""Requests that a provider has to be written in another dialect than their clients sent them in."""

from collections.abc import Callable, Iterable, Mapping

from farthing.dialects.chat.requests import request_reader as chat_request
from farthing.dialects.conversation import Conversation
from farthing.dialects.marking import with_marks
from farthing.dialects.messages.requests import request_reader as messages_request
from farthing.dialects.responses.requests import request_reader as responses_request
from farthing.dialects.written import Written
from farthing.protocols import ALL_SAID, Unsaid
from farthing.types import Json, Prompt, Target, replace

NAMES: dict[str, Mapping[str, str]] = {
    "messages": messages_request.NAMES,
    "responses": responses_request.NAMES,
}
"""What the clients of each dialect call what the form of the pipeline has."""


def conversation_of(prompt: Prompt) -> Conversation:
    """The request by the names of its client, with our limit of output and our marks for a prompt cache.

    Raises:
        InvalidRequest: a field has a shape that no client means.
    """
    dialect = "chat" if prompt.sent is None else prompt.sent.dialect
    names = NAMES.get(dialect)
    said = chat_request.read(prompt.body) if names is None else chat_request.read(prompt.body, names, dialect)
    if prompt.capped_by is not None:
        said = replace(said, output_tokens_max=prompt.output_tokens_max)
    return said if prompt.marks is None else with_marks(said, prompt.marks)


def within_limit(said: Conversation, target: Target) -> Conversation:
    """`said` with no higher limit of output than the model has, where the client had to name one: Messages
    demands it."""
    limit, most = said.output_tokens_max, target.output_tokens_max
    if limit is None or most is None or limit <= most or said.dialect != "messages":
        return said
    lowered: Conversation = replace(said, output_tokens_max=most)
    return lowered


class Translations:
    """The translations of one provider. A request is asked for what cannot be said of it just before it is
    encoded: it is written once for both."""

    __slots__ = ("_last", "_may_drop", "_write")

    def __init__(self, write: Callable[[Prompt, Target], Written], may_drop: Iterable[str]) -> None:
        """`may_drop`: names that the configuration lets be left out."""
        self._write = write
        self._may_drop = frozenset(may_drop)
        self._last: tuple[Prompt, str, Written] | None = None

    def unsaid(self, prompt: Prompt, target: Target) -> Unsaid:
        written = self._written(prompt, target)
        if not self._may_drop.issuperset(written.unsaid):
            self._last = None  # it will not be sent
        if not written.unsaid and not written.yielded:
            return ALL_SAID
        return Unsaid(written.unsaid, written.yielded, written.reasons)

    def body(self, prompt: Prompt, target: Target) -> Json:
        """The request as it goes up; forgotten then, since a conversation may be large."""
        body = self._written(prompt, target).body
        self._last = None
        return body

    def _written(self, prompt: Prompt, target: Target) -> Written:
        last = self._last
        if last is not None and last[0] is prompt and last[1] == target.model:
            return last[2]
        written = self._write(prompt, target)
        self._last = (prompt, target.model, written)
        return written
