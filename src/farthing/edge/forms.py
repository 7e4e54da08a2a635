"""The wire forms that clients read: what an answer, a stream and an error look like to them.

The pipeline reads and answers in one form, chat completions. A form of another dialect stands between it and
the client: a `FormWriter` takes the pipeline's events and answers for one request and writes the client's.
"""

from typing import Protocol

from farthing.edge import completions, native, openai
from farthing.edge.through import PassedWriter
from farthing.errors import FarthingError, ProviderError
from farthing.protocols import Sink
from farthing.types import Answer, Dialect, Receipt, Request


class FormWriter(Sink, Protocol):
    """One answer in the client's form. As a sink it takes the pipeline's events and sends on its own."""

    def last(self, reply: Answer) -> Answer:
        """What `closing` gave, with what the finished receipt adds to it."""

    def broken(self, error: FarthingError) -> bytes | None:
        """What ends a stream that failed, where that depends on what was written of it; or what clients read
        of this error in a stream, though nothing was written. None: it is told as any other (`ClientForm`).
        """

    def close(self) -> None:
        """The request is over, however it ended: nothing more is sent. Safe to call twice."""


class ClientForm(Protocol):
    """A form that clients read. Has no state."""

    dialect: Dialect
    """As a receipt names it."""

    def failed(self, error: FarthingError, request_id: str) -> tuple[int, bytes]:
        """Status and body of a request that failed before anything of an answer was sent."""

    def broken(self, error: FarthingError, request_id: str) -> bytes:
        """The last event of a stream that broke."""

    def own(self, error: FarthingError) -> ProviderError | None:
        """The error of a provider that `failed` gives as the provider wrote it; None: it writes its own."""

    def writer(self, sink: Sink, request: Request, receipt: Receipt) -> FormWriter | None:
        """What writes the answer to `request`; None: it goes out as the pipeline has it."""


class ChatForm:
    """OpenAI's chat completions and embeddings, and the errors of all that has no dialect."""

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
    """Farthing's own: the text alone."""

    def writer(self, sink: Sink, request: Request, receipt: Receipt) -> FormWriter | None:
        return native.TextSink(sink, receipt)


class CompletionsForm(ChatForm):
    """OpenAI's completions of before chat, whose errors are the same."""

    dialect: Dialect = "completions"

    def writer(self, sink: Sink, request: Request, receipt: Receipt) -> FormWriter | None:
        if request.operation == "completions":
            return PassedWriter(sink)
        return completions.TextWriter(sink, request, receipt)


class PassedForm(ChatForm):
    """What a provider answers, of whatever type; errors are OpenAI's."""

    def writer(self, sink: Sink, request: Request, receipt: Receipt) -> FormWriter | None:
        return PassedWriter(sink)


CHAT = ChatForm()
COMPLETIONS = CompletionsForm()
PASSED = PassedForm()
TEXT = TextForm()
