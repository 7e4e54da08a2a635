"""A provider whose dialect a plug-in knows: what it may do to a request, and what it may not.

The plug-in maps; everything else is the gateway's. What it raises is a failure of its target, what it returns
is looked at before it is believed: it costs an attempt, never another request.
"""

import logging
import secrets
import time
from collections.abc import Callable, Mapping
from functools import partial
from time import perf_counter
from typing import Any, Protocol, TypeVar

import msgspec

from farthing.config import PluginProviderConfig, ProviderConfig
from farthing.dialects.chat.answers.completion import explode
from farthing.dialects.chat.answers.reply import ReplyReader, WholeReply
from farthing.dialects.chat.requests.lowering import MORE_THAN_CHAT, lowered
from farthing.dialects.chat.streams.event_reader import DONE, EventReader
from farthing.dialects.chat.usage import UNSAID
from farthing.dialects.events import BadStream as BadFrame
from farthing.dialects.events import EventSplitter
from farthing.dialects.faults import BadStream, ProviderSaid
from farthing.errors import ProviderUnavailable
from farthing.models.providers.http import JSON, HttpProvider, key_lines, without_of
from farthing.models.transport.origin import HttpOrigin
from farthing.models.transport.passage import Passage
from farthing.protocols import (
    ALL_SAID,
    BatchApi,
    Capabilities,
    ProviderPlugin,
    StreamPlugin,
    Transport,
    Unsaid,
)
from farthing.runtime.outside import HELD_S, a_kind, place
from farthing.runtime.seldom import Tally
from farthing.text.lenient_json import write_json
from farthing.types import Json, Operation, Prompt, Target

log = logging.getLogger("farthing.plugins")

NAMES_MAX = 50
"""Names of fields that `unsaid` may give."""
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
T = TypeVar("T")
TELL_EVERY_S = 10.0  # of one step and fault; all others are counted


class PluginProvider(HttpProvider):
    """See `protocols.Provider`."""

    def __init__(
        self,
        name: str,
        origin: HttpOrigin,
        config: PluginProviderConfig,
        plugin: ProviderPlugin,
        *,
        path: str,
        passage: Passage | None = None,
    ) -> None:
        """`path` is that of its `base_url`.

        Raises:
            ValueError: a header has characters that HTTP does not allow.
        """
        keys = key_lines(config.api_key, config.auth)
        super().__init__(name, origin, config, path=path, key_lines=keys, passage=passage)
        self.capabilities = Capabilities(operations=frozenset({"chat"}))
        self._plugin = plugin
        self._named = config.plugin
        self._owners = frozenset((type(plugin).__module__.partition(".")[0],))
        self._told = Tally(TELL_EVERY_S, time.monotonic)
        self._replies = ReplyReader(UNSAID, self.in_answer)

    def unsaid(self, prompt: Prompt, target: Target, operation: Operation) -> Unsaid:
        if operation != "chat":
            return Unsaid(operation=operation)
        body, yielded, unsaid, reasons = _said(prompt, target)
        found = self._asked("unsaid", partial(self._plugin.unsaid, body))
        if not isinstance(found, list | tuple) or not all(isinstance(one, str) for one in found):
            raise self._wrong("unsaid", found, "a list of names")
        names = (*unsaid, *found[:NAMES_MAX])
        return Unsaid(names, yielded, reasons) if names or yielded else ALL_SAID

    def encode(
        self,
        prompt: Prompt,
        target: Target,
        operation: Operation,
        request_id: str,
        passed: tuple[tuple[str, str], ...] = (),
    ) -> tuple[bytes, bytes]:
        body = _said(prompt, target)[0]
        found = self._asked("request", partial(self._plugin.request, body, target.model))
        try:
            path, made = found
        except (TypeError, ValueError):
            raise self._wrong("request", found, "a path and a body") from None
        if not (isinstance(path, str) and isinstance(made, dict) and _is_path(path)):
            raise self._wrong("request", found, "a path that begins with a slash, and an object")
        raw = self._asked("request", lambda: _encode(made))
        head = self.head("POST", path, JSON)
        return (head + self.passage.up(passed, without_of(prompt)) if passed else head), raw

    def whole(self, headers: Mapping[bytes, bytes], body: bytes, prompt: Prompt | None = None) -> WholeReply:
        found = self._asked("answer", partial(self._plugin.answer, body))
        if not isinstance(found, dict):
            raise self._wrong("answer", found, "an object")
        found = _completed(found, _lacking("chat.completion", prompt))
        return self._replies.read(self._asked("answer", lambda: write_json(found)))

    def decoder(
        self,
        event_bytes_max: int,
        prompt: Prompt | None = None,
        headers: Mapping[bytes, bytes] | None = None,
    ) -> "PluginDecoder":
        stream = self._asked("stream", self._plugin.stream)
        if not callable(getattr(stream, "event", None)):
            raise self._wrong("stream", stream, "an object with a method `event`")
        lacking = _lacking("chat.completion.chunk", prompt)
        return PluginDecoder(stream, self._named, event_bytes_max, self._plugin, self._timed, lacking)

    def list_head(self) -> bytes:
        return self.head("GET", "/models")

    def count_call(
        self, prompt: Prompt, target: Target, request_id: str, passed: tuple[tuple[str, str], ...] = ()
    ) -> None:
        """It has no interface that counts."""

    def counted(self, body: bytes) -> int:
        raise ProviderUnavailable(f"{self.name} does not count tokens")

    def batch_api(self, transport: Transport, limits: ProviderConfig) -> BatchApi | None:
        """It has none."""

    def _asked(self, step: str, call: Callable[[], T]) -> T:
        """What the plug-in says.

        Raises:
            ProviderUnavailable: it raised something.
        """
        try:
            return self._timed(step, call)
        except BaseException as error:  # else it ends the process, or the request as if its client had left
            what = f"the plug-in {self._named} failed in {step}: {self._where(error)}"
            raise ProviderUnavailable(what) from error

    def _timed(self, step: str, call: Callable[[], T]) -> T:
        """As `call`. The log is told now and then of what it raises, and of one that takes long."""
        began_s = perf_counter()
        try:
            return call()
        except (Exception, SystemExit) as error:
            self._tell(f"{step} failed: {self._where(error)}")
            raise
        finally:
            held_s = perf_counter() - began_s
            if held_s > HELD_S:
                self._tell(
                    f"{step} held the event loop, and with it every other request, for longer than "
                    f"{HELD_S * 1000:.0f} ms",
                    f"; this time {held_s * 1000:.0f} ms. It is to map, and to wait for nothing",
                )

    def _tell(self, what: str, this_time: str = "") -> None:
        unsaid = self._told.unsaid(what)
        if unsaid is not None:
            more = f" ({unsaid} more since this was last said)" if unsaid else ""
            log.warning("plug-in %s: %s%s%s", self._named, what, this_time, more)

    def _where(self, error: BaseException) -> str:
        """What was raised and at which line. Its message stays out: it may hold what a client asked."""
        return f"{type(error).__name__}{place(error, self._owners)}"

    def _wrong(self, step: str, found: object, expected: str) -> ProviderUnavailable:
        what = f"{step} gave {a_kind(found)}, expected {expected}"
        self._tell(what)
        return ProviderUnavailable(f"the plug-in {self._named}: {what}")


class Timed(Protocol):
    """See `PluginProvider._timed`."""

    def __call__(self, step: str, call: Callable[[], T]) -> T: ...


class PluginDecoder(EventReader):
    """Events of the plug-in's server as chat completion chunks. See `protocols.StreamDecoder`."""

    __slots__ = ("_lacking", "_named", "_plugin", "_splitter", "_stream", "_timed")

    def __init__(
        self,
        stream: StreamPlugin,
        named: str,
        event_bytes_max: int,
        plugin: ProviderPlugin,
        timed: Timed,
        lacking: Json,
    ) -> None:
        """`lacking`: what each chunk has that the plug-in leaves out."""
        super().__init__(event_bytes_max)
        self._timed = timed
        self._lacking = lacking
        self._named = named
        self._plugin = plugin
        self._splitter = EventSplitter(event_bytes_max)
        self._stream = stream

    def feed(self, data: bytes) -> bytes:
        try:
            framed = self._splitter.feed(data)
        except BadFrame as error:
            raise BadStream(str(error)) from None
        return self._told(framed)

    def end(self) -> bytes:
        try:
            framed = self._splitter.end()
        except BadFrame as error:
            raise BadStream(str(error)) from None
        return self._told(framed)

    def whole(self, body: bytes) -> bytes:
        try:
            whole = _completed(
                _object(self._timed("answer", partial(self._plugin.answer, body))), self._lacking
            )
            events = explode(write_json(whole), include_usage=True)
        except BaseException:  # noqa: BLE001  # it is no answer, whatever the plug-in says of it
            raise ProviderSaid(body) from None
        return super().feed(events + DONE)

    def _told(self, framed: "list[tuple[bytes, bytes]]") -> bytes:
        passed: list[bytes] = []
        for name, data in framed:
            try:
                passed.append(self._event(name, data))
            except BadStream as error:
                error.before = b"".join(passed) + error.before
                raise
        return b"".join(passed)

    def _event(self, name: bytes, data: bytes) -> bytes:
        if data.strip() == b"[DONE]":
            return super().feed(DONE)
        try:
            raw = self._timed("event", partial(self._mapped, name.decode("utf-8", "replace"), data))
        except BaseException as error:
            what = f"the plug-in {self._named} failed at an event: {type(error).__name__}"
            raise BadStream(what) from error
        return super().feed(raw) if raw else b""

    def _mapped(self, name: str, data: bytes) -> bytes:
        chunks = (_completed(_object(chunk), self._lacking) for chunk in self._stream.event(name, data))
        return b"".join(b"data: %b\n\n" % write_json(chunk) for chunk in chunks)


def _said(prompt: Prompt, target: Target) -> tuple[Json, tuple[str, ...], tuple[str, ...], dict[str, str]]:
    """The request as plain chat completions, what gave way to that, what has no word there, and why."""
    if prompt.sent is None or prompt.sent.dialect not in MORE_THAN_CHAT:
        return _body(prompt, prompt.body), (), (), {}
    written = lowered(prompt.body, model=target.model, dialect=prompt.sent.dialect, listed=target.features)
    return _body(prompt, written.body), written.yielded, written.unsaid, written.reasons


def _body(prompt: Prompt, said: Json) -> Json:
    """The request as the plug-in is to map it, the endpoint's own limit in it."""
    body: Json = _decode(_encode(said))  # it may change it; the next target gets the client's
    if prompt.stream:
        body["stream"] = True
    if prompt.capped_by is not None:
        body.pop("max_completion_tokens", None)
        body["max_tokens"] = prompt.output_tokens_max
    return body


def _lacking(form: str, prompt: Prompt | None) -> Json:
    """What clients expect of every answer, if the plug-in leaves it out; the model is what was asked for."""
    model = "" if prompt is None else prompt.body.get("model")
    return {
        "id": f"chatcmpl-{secrets.token_hex(12)}",
        "object": form,
        "created": int(time.time()),
        "model": model if isinstance(model, str) else "",
    }


def _completed(found: Json, lacking: Json) -> Json:
    """A completion or chunk, with `lacking` and the sum of its tokens; anything else as it is."""
    if "choices" not in found:
        return found
    whole, usage = {**lacking, **found}, found.get("usage")
    if isinstance(usage, dict) and "total_tokens" not in usage:
        counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
        if all(isinstance(one, int) for one in counts):
            whole["usage"] = {**usage, "total_tokens": sum(counts)}
    return whole


def _object(chunk: Any) -> Json:
    if not isinstance(chunk, dict):
        raise TypeError(f"{a_kind(chunk)} is given, expected an object")
    return chunk


def _is_path(path: str) -> bool:
    return path.startswith("/") and path.isascii() and path.isprintable() and " " not in path
