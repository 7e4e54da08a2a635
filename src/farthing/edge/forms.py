"""The wire forms that clients read: what an answer, a stream and an error look like to them.

The pipeline reads and answers in one form, chat completions. For a client of another dialect, a `FormWriter`
takes the pipeline's events and answer for one request and writes them in the client's form.
"""

from typing import Protocol

from farthing.edge import completions, native, openai
from farthing.edge.through import PassedWriter
from farthing.errors import FarthingError, ProviderError
from farthing.protocols import Sink
from farthing.types import Answer, Dialect, Receipt, Request


class FormWriter(Sink, Protocol):
    """Writes one answer in the client's form. As a sink it takes the pipeline's events and sends the
    client's."""

    def last(self, reply: Answer) -> Answer:
        """The bytes from `closing`, completed with what only the finished receipt knows."""

    def broken(self, error: FarthingError) -> bytes | None:
        """What ends a failed stream, if that depends on what was already written; or this error as a stream,
        if clients read it that way even when nothing was written. None: the error is told like any other
        (`ClientForm`)."""

    def close(self) -> None:
        """End the request, however it went: nothing more is sent. Safe to call twice."""


class ClientForm(Protocol):
    """One wire form that clients read. Stateless."""

    dialect: Dialect
    """The name in receipts."""

    def failed(self, error: FarthingError, request_id: str) -> tuple[int, bytes]:
        """Status and body for a request that failed before any part of an answer was sent."""

    def broken(self, error: FarthingError, request_id: str) -> bytes:
        """The last event of a stream that broke."""

    def own(self, error: FarthingError) -> ProviderError | None:
        """The provider's error that `failed` passes on unchanged; None: `failed` writes its own."""

    def writer(self, sink: Sink, request: Request, receipt: Receipt) -> FormWriter | None:
        """The writer of the answer to `request`; None: the pipeline's form goes out unchanged."""


class ChatForm:
    """OpenAI's chat completions and embeddings, and errors of every route that has no dialect."""

    dialect: Dialect = "chat"

    def failed(self, error: FarthingError, request_id: str) -> tuple[int, bytes]:
        return error.status, openai.error_body(error)

    def broken(self, error: FarthingError, request_id: str) -> bytes:
        return b"data: %b\n\n" % openai.error_body(error)

    def own(self, error: FarthingError) -> ProviderError | None:
        return None

    def writer(self, sink: Sink, request: Request, receipt: Receipt) -> FormWriter | None:
        return None


class TextForm(ChatForm):
    """Farthing's own form: only the text."""

    def writer(self, sink: Sink, request: Request, receipt: Receipt) -> FormWriter | None:
        return native.TextSink(sink, receipt)


class CompletionsForm(ChatForm):
    """OpenAI's legacy completions, whose errors are the same."""

    dialect: Dialect = "completions"

    def writer(self, sink: Sink, request: Request, receipt: Receipt) -> FormWriter | None:
        if request.operation == "completions":
            return PassedWriter(sink)
        return completions.TextWriter(sink, request, receipt)


class PassedForm(ChatForm):
    """A provider's answer as it is, of any content type; errors are OpenAI's."""

    def writer(self, sink: Sink, request: Request, receipt: Receipt) -> FormWriter | None:
        return PassedWriter(sink)


CHAT = ChatForm()
COMPLETIONS = CompletionsForm()
PASSED = PassedForm()
TEXT = TextForm()
