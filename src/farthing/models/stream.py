"""A live streamed answer: from the provider's connection to the client's, by callbacks.

No task wakes for a chunk: the upstream connection calls `_data`, which reads the events and hands them
to the sink; the pipeline sleeps until the end (with a task for each chunk a stream took
half as much again; docs/decisions/0001). Until `relay` is called the events are held, so that a failure
before the first one is still invisible.
"""

import asyncio
import time
from collections.abc import Callable

from farthing.errors import (
    FarthingError,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    StreamBroken,
)
from farthing.models.providers.completion import NotChunks, assemble
from farthing.models.providers.sse import BadStream, EventReader
from farthing.models.providers.usage import UNSAID, UsageForm
from farthing.protocols import Exchange, Sink
from farthing.turn import Waits
from farthing.types import Json, Usage


class Stream(Waits):
    """One streamed answer. Either relayed to a sink, or gathered and taken as a whole."""

    __slots__ = (
        "_deadline_s",
        "_error",
        "_exchange",
        "_finished",
        "_held",
        "_keep_bytes_max",
        "_kept_bytes",
        "_output_chunks_max",
        "_sink",
        "cut",
        "first_s",
        "kept",
        "paused",
        "reader",
    )

    def __init__(
        self,
        exchange: Exchange,
        *,
        event_bytes_max: int,
        keep_bytes_max: int,
        output_chunks_max: int | None,
        deadline_s: float | None,
        usage_form: UsageForm = UNSAID,
    ) -> None:
        super().__init__(asyncio.get_running_loop())
        self._exchange = exchange
        self._sink: Sink | None = None
        self._held: list[bytes] = []
        self._keep_bytes_max = keep_bytes_max
        self._kept_bytes = 0
        self._output_chunks_max = output_chunks_max
        self._deadline_s = deadline_s
        self._error: FarthingError | None = None
        self._finished = False
        self.reader = EventReader(event_bytes_max, usage_form)
        self.first_s = 0.0
        """Monotonic time of the first chunk."""
        self.kept: list[bytes] | None = [] if keep_bytes_max else None
        """Every event so far; None when they are more than may be kept, or need not be."""
        self.cut: str | None = None
        """The limit that ended it early, as `output_tokens_max`; None when it ended by itself."""
        self.paused = False
        """It once waited for its reader, so that its time says nothing of its target."""

    async def open(self) -> None:
        """Wait for the first chunk.

        Raises:
            ProviderError: it failed before there was one, so another target may be tried.
        """
        self._exchange.relay(self._data, self._end)
        while not self._held and not self._finished:
            await self.wait()
        if self._held:
            return
        error, self._error = self._error, None
        if isinstance(error, ProviderError):
            raise error
        if self.cut is not None:
            raise ProviderTimeout("no chunk came before the endpoint's deadline")
        raise ProviderUnavailable("the stream ended without a chunk" if error is None else str(error))

    async def relay(self, sink: Sink) -> None:
        """Send everything up to the closing events to `sink`, and return when that is done.

        Raises:
            StreamBroken: it failed half-way; what was sent stays sent.
        """
        self._sink = sink
        if self._held:
            block = self._held[0] if len(self._held) == 1 else b"".join(self._held)
            self._held.clear()
            sink.send(block)
        if not self._finished:
            sink.when_writable(self._pause, self._exchange.resume)
        await self.gather()

    async def gather(self) -> None:
        """Wait for the end without sending anything.

        Raises:
            StreamBroken: as `relay`.
        """
        while not self._finished:
            await self.wait()
        if self._error is not None:
            raise self._error

    def take_held(self) -> bytes:
        """The events not yet sent."""
        held = b"".join(self._held)
        self._held.clear()
        return held

    def held_whole(self) -> Json | None:
        """The whole answer that the events not yet sent come to; None when they are none."""
        try:
            return assemble(self._held, None)
        except NotChunks:
            return None

    def rewrite(self, change: Callable[[bytes], bytes]) -> None:
        """Put `change` of the events in the place of all events so far. Nothing may have been sent."""
        events = change(b"".join(self._held))
        self._held = [events]
        if self.kept is not None:
            self.kept = [events]

    def close(self) -> None:
        """Drop what is still under way, as when the client left. Safe to call twice."""
        if not self._finished:
            self._finished = True
            self._exchange.close()

    @property
    def usage(self) -> Usage | None:
        return self.reader.usage

    def _pause(self) -> None:
        self.paused = True
        self._exchange.pause()

    def _data(self, piece: bytes | None) -> None:
        """Take what came; None when nothing more will."""
        reader = self.reader
        try:
            block = reader.end() if piece is None else reader.feed(piece)
        except BadStream as error:
            self._finish(self._broken(f"{error}"))
            return
        if block:
            sink = self._sink
            if sink is not None:
                sink.send(block)
            else:
                if not self.first_s:
                    self.first_s = time.monotonic()
                self._held.append(block)
                self.wake()
            kept = self.kept
            if kept is not None:
                self._kept_bytes += len(block)
                if self._kept_bytes > self._keep_bytes_max:
                    self.kept = None
                else:
                    kept.append(block)
        if reader.done:
            self._finish(None)
        elif self._output_chunks_max is not None and reader.chunks > self._output_chunks_max:
            self.cut = "output_tokens_max"
            self._finish(None)

    def _end(self, error: Exception | None) -> None:
        if self._finished:
            return
        if error is None:
            self._data(None)
            if not self._finished:
                self._finish(self._broken("it ended without [DONE]"))
        elif self._deadline_s is not None and time.monotonic() >= self._deadline_s:
            self.cut = "deadline_s"
            self._finish(None)
        elif self.first_s:
            self._finish(self._broken(str(error)))
        else:
            self._finish(error if isinstance(error, FarthingError) else self._broken(str(error)))

    def _broken(self, why: str) -> StreamBroken:
        return StreamBroken(f"the provider's stream broke after {self.reader.chunks} chunks: {why}")

    def _finish(self, error: FarthingError | None) -> None:
        self._finished = True
        self._error = error
        if error is None and self.cut is None:
            self._exchange.leave()
        else:
            self._exchange.close()
        self.wake()
