"""A provider whose dialect a plug-in knows: what it may do to a request, and what it may not.

The plug-in maps; everything else is the gateway's. What it raises is a failure of its target, what it returns
is looked at before it is believed: it costs an attempt, never another request.
"""

import logging
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from farthing.config import PluginProviderConfig, ProviderConfig
from farthing.dialects.chat.completion import explode
from farthing.dialects.chat.event_reader import DONE, EventReader
from farthing.dialects.chat.reply import ReplyReader, WholeReply
from farthing.dialects.chat.usage import UNSAID
from farthing.dialects.events import BadStream as BadFrame
from farthing.dialects.events import EventSplitter
from farthing.dialects.faults import BadStream, ProviderSaid
from farthing.errors import ProviderUnavailable
from farthing.models.providers.http import JSON, HttpProvider
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
from farthing.text.lenient_json import write_json
from farthing.types import Json, Operation, Prompt, Target

log = logging.getLogger("farthing.plugins")

NAMES_MAX = 50
"""Names of fields that `unsaid` may give."""
_encode = msgspec.json.Encoder().encode
T = TypeVar("T")


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
        key_lines = []
        if config.api_key is not None and config.auth == "bearer":
            key_lines.append(f"authorization: Bearer {config.api_key.value}")
        elif config.api_key is not None and config.auth != "none":
            key_lines.append(f"{config.auth}: {config.api_key.value}")
        super().__init__(name, origin, config, path=path, key_lines=key_lines, passage=passage)
        self.capabilities = Capabilities(operations=frozenset({"chat"}))
        self._plugin = plugin
        self._named = config.plugin
        self._replies = ReplyReader(UNSAID, self.in_answer)

    def unsaid(self, prompt: Prompt, target: Target, operation: Operation) -> Unsaid:
        if operation != "chat":
            return Unsaid(operation=operation)
        found = self._asked("unsaid", lambda: self._plugin.unsaid(prompt.body))
        if not isinstance(found, list | tuple) or not all(isinstance(one, str) for one in found):
            raise self._wrong("unsaid", found, "a list of names")
        return Unsaid(tuple(found)[:NAMES_MAX]) if found else ALL_SAID

    def encode(
        self,
        prompt: Prompt,
        target: Target,
        operation: Operation,
        request_id: str,
        passed: tuple[tuple[str, str], ...] = (),
    ) -> tuple[bytes, bytes]:
        body = {**prompt.body, "stream": True} if prompt.stream else dict(prompt.body)
        if prompt.capped_by is not None:
            body.pop("max_completion_tokens", None)
            body["max_tokens"] = prompt.output_tokens_max
        found = self._asked("request", lambda: self._plugin.request(body, target.model))
        try:
            path, made = found
        except (TypeError, ValueError):
            raise self._wrong("request", found, "a path and a body") from None
        if not (isinstance(path, str) and isinstance(made, dict) and _is_path(path)):
            raise self._wrong("request", found, "a path that begins with a slash, and an object")
        raw = self._asked("request", lambda: _encode(made))
        head = self.head("POST", path, JSON)
        return (head + self.passage.up(passed) if passed else head), raw

    def whole(self, headers: Mapping[bytes, bytes], body: bytes, prompt: Prompt | None = None) -> WholeReply:
        found = self._asked("answer", lambda: self._plugin.answer(body))
        if not isinstance(found, dict):
            raise self._wrong("answer", found, "an object")
        return self._replies.read(self._asked("answer", lambda: write_json(found)))

    def decoder(self, event_bytes_max: int, prompt: Prompt | None = None) -> "PluginDecoder":
        stream = self._asked("stream", self._plugin.stream)
        return PluginDecoder(stream, self._named, event_bytes_max, self._plugin)

    def list_head(self) -> bytes:
        return self.head("GET", "/models")

    def count_call(self, prompt: Prompt, target: Target, request_id: str) -> None:
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
            return call()
        except (Exception, SystemExit) as error:
            log.warning("plug-in %s: %s failed: %s", self._named, step, _where(error))
            what = f"the plug-in {self._named} failed in {step}: {type(error).__name__}"
            raise ProviderUnavailable(what) from error

    def _wrong(self, step: str, found: object, expected: str) -> ProviderUnavailable:
        what = f"the plug-in {self._named}: {step} gave a {type(found).__name__}, expected {expected}"
        log.warning("%s", what)
        return ProviderUnavailable(what)


class PluginDecoder(EventReader):
    """Events of the plug-in's server as chat completion chunks. See `protocols.StreamDecoder`."""

    __slots__ = ("_named", "_plugin", "_splitter", "_stream")

    def __init__(
        self, stream: StreamPlugin, named: str, event_bytes_max: int, plugin: ProviderPlugin
    ) -> None:
        super().__init__(event_bytes_max)
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
            events = explode(write_json(self._plugin.answer(body)), include_usage=True)
        except (Exception, SystemExit):  # noqa: BLE001  # it is no answer, whatever the plug-in says of it
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
            chunks = self._stream.event(name.decode("utf-8", "replace"), data)
            raw = b"".join(b"data: %b\n\n" % write_json(_object(chunk)) for chunk in chunks)
        except (Exception, SystemExit) as error:
            log.warning("plug-in %s: an event failed: %s", self._named, _where(error))
            what = f"the plug-in {self._named} failed at an event: {type(error).__name__}"
            raise BadStream(what) from error
        return super().feed(raw) if raw else b""


def _where(error: BaseException) -> str:
    """What was raised and at which line. Its message stays out: it may hold what a client asked."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"


def _object(chunk: Any) -> Json:
    if not isinstance(chunk, dict):
        raise TypeError(f"a chunk is a {type(chunk).__name__}, expected an object")
    return chunk


def _is_path(path: str) -> bool:
    return path.startswith("/") and path.isascii() and path.isprintable() and " " not in path
