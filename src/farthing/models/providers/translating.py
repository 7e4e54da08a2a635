"""What providers of a dialect of their own have in common: what a client of another one says is translated,
and a client of the same gets what comes as it comes."""

from abc import ABC
from collections.abc import Callable, Iterable, Mapping
from time import time

from farthing.config import ProviderConfig
from farthing.dialects import faults
from farthing.dialects.chat.answers import answer_writer as chat_answer
from farthing.dialects.chat.answers.reply import EVENTS, ReplyReader, WholeReply
from farthing.dialects.chat.usage import UsageForm, at_tier
from farthing.dialects.events import BadAnswer, ProviderSaid
from farthing.dialects.splice import REMOVED, Changes, spliced
from farthing.dialects.told import Told
from farthing.dialects.written import Written
from farthing.errors import ProviderError, ProviderUnavailable
from farthing.models.providers.decoder import AnswerForm, TranslatingDecoder, ran_at
from farthing.models.providers.http import HttpProvider
from farthing.models.providers.own import OwnDecoder
from farthing.models.providers.translated import Translations
from farthing.models.transport.origin import HttpOrigin
from farthing.models.transport.passage import Passage
from farthing.protocols import BearerToken
from farthing.text.lenient_json import BOM, write_json
from farthing.types import Prompt, Sent, Target

USAGE = UsageForm(reasoning="inside")
"""Of the chat completions that are written here."""


class TranslatingProvider(HttpProvider, ABC):
    """The part of `protocols.Provider` that only looks at the dialect's form."""

    def __init__(
        self,
        name: str,
        origin: HttpOrigin,
        config: ProviderConfig,
        *,
        path: str,
        key_lines: Iterable[str],
        form: AnswerForm,
        write: Callable[[Prompt, Target], Written],
        passage: Passage | None = None,
        token: BearerToken | None = None,
    ) -> None:
        """As `HttpProvider`. `write` writes a request that is not passed on as it was sent.

        Raises:
            ValueError: a header has characters that HTTP does not allow.
        """
        super().__init__(name, origin, config, path=path, key_lines=key_lines, passage=passage, token=token)
        self.form = form
        self._replies = ReplyReader(USAGE, self.in_answer)
        self._translations = Translations(write, config.drop)

    def own_decoder(self, event_bytes_max: int) -> OwnDecoder | None:
        """What reads a streamed reply for a client of the same dialect; None: no client speaks it."""
        return None

    def form_of(self, prompt: Prompt | None) -> AnswerForm:
        """How the answer to `prompt` is read."""
        return self.form

    def is_own(self, prompt: Prompt | None) -> bool:
        """Whether the client reads what comes as it comes."""
        return prompt is not None and prompt.sent is not None and prompt.sent.dialect == self.form.dialect

    def as_sent(self, prompt: Prompt) -> Sent | None:
        """The request as its client sent it, in our dialect; None: it is in another, or was edited."""
        sent = prompt.sent
        own = sent is not None and sent.dialect == self.form.dialect and sent.read is prompt.body
        return sent if own else None

    def whole(self, headers: Mapping[bytes, bytes], body: bytes, prompt: Prompt | None = None) -> WholeReply:
        """Map a complete reply of status 200 to a chat completion.

        Raises:
            ProviderError: it is not an answer.
        """
        if body[:1] != b"{" and body[:99].removeprefix(BOM).lstrip().startswith(EVENTS):
            body = self._of_events(body)
        form, ran = self.form_of(prompt), self.ran(headers, prompt)
        try:
            message = ran_at(form.read(body), ran)
        except ProviderSaid as error:
            raise self._said(error, ran) from None
        except BadAnswer as error:
            raise ProviderUnavailable(f"the reply is no answer: {error}") from None
        told = chat_answer.write(
            message, request_id=message.id, created=int(time()), legacy_functions=_legacy(prompt)
        )
        reply = self._replies.read(told)
        if message.usage is not None:
            reply.usage = message.usage
        reply.whole_in_form = not form.is_opaque(message)
        if self.is_own(prompt):
            reply.own = body
        return reply

    def ran(self, headers: Mapping[bytes, bytes], prompt: Prompt | None) -> str | None:
        """The service tier that ran, in the provider's word, as the head of a reply says; None: it says none,
        and what the answer says of it holds."""
        return None

    def _of_events(self, body: bytes) -> bytes:
        """The whole answer that a stream comes to, which nobody asked for and somebody paid; the stream
        itself where the form's own reader knows it.

        Raises:
            ProviderError: it is none, or not all of it.
        """
        decoder = self.own_decoder(len(body) + 2)
        if decoder is None:
            return body
        try:
            own = [block.own for block in (decoder.feed(body), decoder.end()) if isinstance(block, Told)]
            told = decoder.own_whole(b"".join(own), None) if decoder.ended(1) else None
        except faults.ProviderSaid as error:
            raise self._said(error) from None
        except faults.BadStream as error:
            raise ProviderUnavailable(f"the reply is a stream, and broken: {error}") from None
        if told is None:
            raise ProviderUnavailable("the reply is a stream that ended before its answer did")
        return told

    def _said(self, error: ProviderSaid | faults.ProviderSaid, ran: str | None = None) -> ProviderError:
        said = self.in_answer(error.payload)
        said.counted = error.usage if error.usage is None or ran is None else at_tier(error.usage, ran)
        return said

    def decoder(
        self,
        event_bytes_max: int,
        prompt: Prompt | None = None,
        headers: Mapping[bytes, bytes] | None = None,
    ) -> TranslatingDecoder:
        decoder = self._decoder(event_bytes_max, prompt)
        if headers is not None:
            decoder.ran = self.ran(headers, prompt)
        return decoder

    def _decoder(self, event_bytes_max: int, prompt: Prompt | None) -> TranslatingDecoder:
        own = self.own_decoder(event_bytes_max) if self.is_own(prompt) else None
        if own is not None:
            return own
        return TranslatingDecoder(
            self.form_of(prompt), event_bytes_max, created=int(time()), legacy_functions=_legacy(prompt)
        )


def written(sent: Sent, changed: Changes) -> bytes:
    """The body that goes up, of a request as its client sent it. One that two parsers may read as two
    requests is written anew from what was checked."""
    if sent.exact:
        if not changed:
            return sent.raw
        raw = spliced(sent.raw, changed, sent.body)
        if raw is not None:
            return raw
    body = {**sent.body, **changed}
    return write_json({name: value for name, value in body.items() if value is not REMOVED})


def _legacy(prompt: Prompt | None) -> bool:
    """Whether the client told its tools as `functions`, so that it expects a call as `function_call`."""
    return prompt is not None and "functions" in prompt.body and not prompt.body.get("tools")
