"""A live streamed answer, passed from the provider's connection to the client's by callbacks.

No task wakes for a chunk: the upstream connection calls `_data`, which reads the events and passes them to
the sink, while the pipeline sleeps until the end. (With a task for each chunk, a stream cost half as much
again; docs/decisions/0001.) Until `relay` is called the events are held back, so that a failure before the
answer has begun stays invisible. Comments, a role or the result of a filter do not count as an answer.

An answer is complete at `[DONE]`, or when all its choices have given a finish reason and nothing more
arrives.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from msgspec import Struct

from farthing.dialects.chat.answers.completion import NotChunks, assemble
from farthing.dialects.faults import BadStream, ProviderSaid
from farthing.dialects.told import Told, joined, size_of
from farthing.errors import (
    FarthingError,
    ProviderError,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
    StreamBroken,
)
from farthing.protocols import Exchange, Sink, StreamDecoder
from farthing.runtime.loop_batch import Waiter
from farthing.text.lenient_json import BOM
from farthing.types import Json, Usage

log = logging.getLogger("farthing.call")

AFTER_FINISH_S = 5.0
"""A complete answer waits no longer for its usage and `[DONE]`: some servers leave the connection open."""
ALIVE_AFTER_S = 10.0
"""What takes no longer to begin needs no sign of life, and can still fail with a status of its own."""
ALIVE_EVERY_S = 1.0
FAR_S = 1e18


class SignsOfLife:
    """Tells a client that its target is working and has not begun to answer, so that the client does not give
    up. It decides nothing: the answer may still come from another call."""

    __slots__ = ("_send", "target", "told")

    def __init__(self, send: Callable[[str], None]) -> None:
        """`send` is called with the name of the target."""
        self._send = send
        self.target = ""
        self.told = False
        """The client has heard of one."""

    def tell(self) -> None:
        self.told = True
        self._send(self.target)


class Within(Struct, frozen=True):
    """The time limits of a stream: monotonic times, and a pause, in seconds."""

    first_s: float
    """When the answer must have begun."""
    whole_s: float
    """When a whole answer in place of a stream must be there: it shows nothing before, so another target may
    be asked till then."""
    idle_s: float
    """The longest pause after that."""
    end_s: float
    """When it must be over."""
    deadline_s: float | None
    """When the endpoint wants what there is; None: it waits for the end."""
    bytes_max: int


class Stream(Waiter):
    """One streamed answer, which is either relayed to a sink or collected whole."""

    __slots__ = (
        "_begun",
        "_choices",
        "_error",
        "_exchange",
        "_finished",
        "_held",
        "_in_answer",
        "_keep_bytes_max",
        "_kept_bytes",
        "_output_chunks_max",
        "_rewritten",
        "_sign_s",
        "_signs",
        "_sink",
        "_sniffed",
        "_told",
        "_told_s",
        "_unread",
        "_whole",
        "_within",
        "counted",
        "cut",
        "first_s",
        "kept",
        "left",
        "outgrown",
        "paused",
        "reader",
    )

    def __init__(
        self,
        exchange: Exchange,
        within: Within,
        reader: StreamDecoder,
        *,
        choices: int,
        keep_bytes_max: int,
        output_chunks_max: int | None,
        in_answer: Callable[[bytes], ProviderError],
        signs: SignsOfLife | None = None,
        sniffs: bool = True,
    ) -> None:
        """`choices` is the number asked for. `in_answer` gives the meaning of a provider's error that arrives
        in place of an answer. `signs` informs the client of a target that is slow to begin; None: the
        client cannot be informed. `sniffs`: the first bytes tell what arrives in place of events; False: the
        reader takes anything."""
        super().__init__(asyncio.get_running_loop())
        self._exchange = exchange
        self._within = within
        self._choices = choices
        self._sink: Sink | None = None
        self._held: list[bytes] = []
        self._keep_bytes_max = keep_bytes_max
        self._kept_bytes = 0
        self._output_chunks_max = output_chunks_max
        self._rewritten = False
        self._in_answer = in_answer
        self._signs = signs
        self._sign_s = time.monotonic() + (0.0 if signs is None or signs.told else ALIVE_AFTER_S)
        """When the next sign of life is worth telling."""
        self._error: FarthingError | None = None
        self._begun = False
        self._finished = False
        self._sniffed = not sniffs
        self._unread = b""
        """The part of a byte order mark that has come."""
        self._told: tuple[int, Usage | None] = (0, None)
        """What had been said at `_told_s`, when it last said something after its finish."""
        self._told_s = 0.0
        self._whole: list[bytes] | None = None
        """What came of a whole answer in place of a stream; None: a stream comes."""
        self.reader = reader
        self.first_s = 0.0
        """Monotonic time at which the answer began."""
        self.kept: list[bytes] | None = [] if keep_bytes_max else None
        """Every event so far; None when they are more than may be kept, or need not be."""
        self.left: Callable[[], None] | None = None
        """Called once it is no longer under way."""
        self.outgrown: Callable[[], None] | None = None
        """Called when it is too large to be kept any more."""
        self.cut: str | None = None
        """The limit that ended it early, as `output_tokens_max`; None when it ended by itself."""
        self.counted = False
        """It failed, and its usage is that of all of it."""
        self.paused = False
        """It once waited for its reader, so that its time says nothing of its target."""

    async def open(self) -> None:
        """Wait until the answer begins.

        Raises:
            ProviderError: it failed before it did, so another target may be tried.
        """
        within = self._within
        self._exchange.limit(
            idle_s=FAR_S, limit_s=within.first_s, bytes_max=within.bytes_max, now_s=time.monotonic()
        )
        self._exchange.relay(self._data, self._end)
        while not self._begun and not self._finished:
            await self.wait()
        if self._begun:
            return
        error, self._error = self._error, None
        if isinstance(error, ProviderTimeout):
            raise ProviderTimeout("the answer did not begin in time") from error
        if isinstance(error, ProviderError):
            raise error
        if self.cut is not None:
            raise ProviderTimeout("the answer did not begin before the endpoint's deadline")
        why = "the stream ended without an answer" if error is None else str(error)
        raise ProviderUnavailable(why, again=True)

    async def relay(self, sink: Sink) -> None:
        """Send everything up to the closing events to `sink`, and return when that is done.

        Raises:
            StreamBroken: it failed half-way; what was sent stays sent.
        """
        self._sink = sink
        if self._held:
            block = joined(self._held)
            self._held.clear()
            sink.send(block)
            del block  # this frame lasts as long as the stream
        if not self._finished:
            sink.when_writable(self._pause, self._exchange.resume)
        await self.gather()

    def redirect(self, sink: Sink) -> None:
        """Send everything from now on to `sink` instead, at its pace."""
        self._sink = sink
        if not self._finished:
            self._exchange.resume()
            sink.when_writable(self._pause, self._exchange.resume)

    async def gather(self) -> None:
        """Wait for the end, without sending anything.

        Raises:
            StreamBroken: as for `relay`.
        """
        while not self._finished:
            await self.wait()
        if self._error is not None:
            raise self._error

    def take_held(self) -> bytes:
        """The events not yet sent."""
        held = joined(self._held)
        self._held.clear()
        return held

    def held_whole(self) -> Json | None:
        """The complete answer in the events not yet sent; None: they hold none."""
        try:
            return assemble(self._held, None)
        except NotChunks:
            return None

    def rewrite(self, change: Callable[[bytes], bytes]) -> None:
        """Replace all events so far by `change` of them. Nothing may have been sent yet."""
        before = b"".join(self._held)
        events = change(before)
        if events == before:
            return
        self._rewritten = True
        self._held = [events]
        if self.kept is not None:
            self.kept = [events]

    def own_end(self) -> bytes | None:
        """The end of the stream in the client's own dialect, as `StreamDecoder.own_end`. None: the events
        were rewritten, and exist in one form only."""
        return None if self._rewritten else self.reader.own_end(self.cut)

    def own_whole(self, held: bytes) -> bytes | None:
        """The whole stream, which is `held`, as one answer in the client's own dialect; None: as for
        `own_end`."""
        if self._rewritten or not isinstance(held, Told):
            return None
        return self.reader.own_whole(held.own, self.cut)

    def close(self) -> None:
        """Stop the exchange, for example because the client left. A second call is harmless."""
        if not self._finished:
            self._finished = True
            self._exchange.close()
            self._leave()

    @property
    def finished(self) -> bool:
        """Whether it is over, however it ended."""
        return self._finished

    def _leave(self) -> None:
        left, self.left = self.left, None
        if left is not None:
            left()

    @property
    def usage(self) -> Usage | None:
        return self.reader.usage

    def _pause(self) -> None:
        self.paused = True
        self._exchange.pause()

    def _data(self, piece: bytes) -> None:
        """Read data that has arrived."""
        if not self._sniffed:
            piece = self._sniff(self._unread + piece)
            if not piece:
                if not self._finished:
                    self._take(b"")  # the connection lives
                return
        if self._whole is not None:
            self._whole.append(piece)
            return
        try:
            block = self.reader.feed(piece)
        except BadStream as error:
            self._refused(error)
            return
        except RecursionError as error:
            self._finish(self._bad(error))
            return
        except Exception as error:  # noqa: BLE001  # told to whoever waits for the stream
            self._finish(self._failed(error))
            return
        self._take(block)

    def _refused(self, error: BadStream) -> None:
        """The data is invalid from some event on. The valid events before it count as if they had arrived
        alone, so the way the network cuts a stream makes no difference. An answer that is already complete
        stays valid whatever follows, unless that is an error."""
        ended = not isinstance(error, ProviderSaid) and self.reader.ended(self._choices)
        self._take(error.before)
        if not self._finished:
            self.reader.done = ended
            self._finish(None if ended else self._bad(error))

    def _hand_on(self, block: bytes) -> None:
        """Send a block of events, or hold it until there is a sink."""
        if not block:
            return
        if self._sink is not None:
            self._sink.send(block)
        else:
            self._held.append(block)
        kept = self.kept
        if kept is not None:
            self._kept_bytes += size_of(block)
            if self._kept_bytes > self._keep_bytes_max:
                self.kept = None
                if self.outgrown is not None:
                    self.outgrown()
            else:
                kept.append(block)

    def _take(self, block: bytes) -> None:
        """Pass on what was read, and note how far the answer has come."""
        reader = self.reader
        if block:
            self._hand_on(block)
        if not self._begun:
            if reader.begun:
                self._begin()
            elif self._signs is not None and time.monotonic() >= self._sign_s:
                self._sign_s = time.monotonic() + ALIVE_EVERY_S
                self._signs.tell()
        if reader.done:
            self._finish(None)
        elif self._output_chunks_max is not None and reader.chunks > self._output_chunks_max:
            self.cut = "output_tokens_max"
            self._finish(None)
        elif reader.finished and len(reader.finished) >= self._choices:
            self._wait_for_the_rest()

    def _begin(self) -> None:
        """The answer has begun: from now on no other target can replace it."""
        self._begun = True
        self.first_s = time.monotonic()
        self._limit(self._within.idle_s)
        self.wake()

    def _wait_for_the_rest(self) -> None:
        """All choices have ended: only the usage and `[DONE]` may follow. Signs of life are neither."""
        reader = self.reader
        told, now_s = (reader.chunks, reader.usage), time.monotonic()
        if told != self._told or not self._told_s:
            self._told, self._told_s = told, now_s
        self._limit(min(self._within.idle_s, AFTER_FINISH_S), self._told_s + AFTER_FINISH_S)

    def _limit(self, idle_s: float, until_s: float = FAR_S) -> None:
        within = self._within
        end_s = min(
            until_s, within.end_s if within.deadline_s is None else min(within.end_s, within.deadline_s)
        )
        self._exchange.limit(idle_s=idle_s, limit_s=end_s, bytes_max=within.bytes_max, now_s=time.monotonic())

    def _sniff(self, piece: bytes) -> bytes:
        """Decide by the first bytes, whatever the reply's content type, whether it is events or a complete
        answer; an HTML page is neither. Returns the bytes to read, without a byte order mark and without
        blanks before the first event."""
        self._unread = b""
        if BOM.startswith(piece):  # not all of it may have come
            self._unread = piece
            return b""
        piece = piece.removeprefix(BOM).lstrip()
        start = piece[:1]
        self._sniffed = bool(start)
        if start in (b"{", b"["):
            self._whole = []
            self._limit(self._within.idle_s, self._within.whole_s)
        elif start == b"<":
            self._finish(ProviderUnavailable("the reply to a streamed request is a page, not a stream"))
            return b""
        return piece

    def _end(self, error: Exception | None) -> None:
        if self._finished:
            return
        reader = self.reader
        if error is None:
            self._complete()
        elif reader.ended(self._choices):  # nothing of the answer is missing
            reader.done = True
            self._finish(None)
        elif self._within.deadline_s is not None and time.monotonic() >= self._within.deadline_s:
            self.cut = "deadline_s"
            self._finish(None)
        elif self._begun:
            self._finish(self._broken(str(error)))
        else:
            self._finish(error if isinstance(error, FarthingError) else self._broken(str(error)))

    def _complete(self) -> None:
        """The reply is complete; the answer is complete only if it says so."""
        reader = self.reader
        try:
            block = reader.end() if self._whole is None else reader.whole(b"".join(self._whole))
        except (BadStream, RecursionError) as error:
            if (
                not isinstance(error, BadStream)
                or isinstance(error, ProviderSaid)
                or not reader.ended(self._choices)
            ):
                self._finish(self._bad(error))
                return
            block = error.before
        except Exception as error:  # noqa: BLE001  # told to whoever waits for the stream
            self._finish(self._failed(error))
            return
        reader.done = reader.ended(self._choices)
        self._take(block)
        if not self._finished:
            self._finish(self._broken("it ended with neither a finish reason nor [DONE]"))

    def _bad(self, error: BadStream | RecursionError) -> FarthingError:
        if not isinstance(error, ProviderSaid):
            return self._broken(str(error))
        said = self._in_answer(error.payload)
        said.counted = error.usage
        self.counted = error.usage is not None
        if not self._begun:
            return said
        broken = self._broken(str(error), said)
        broken.own = None if said.own is None else error.own
        return broken

    def _failed(self, error: Exception) -> FarthingError:
        """The code that reads this provider's streams failed."""
        log.error("the code that reads a provider's stream failed", exc_info=error)
        return self._broken(f"the code that reads it failed: {type(error).__name__}")

    def _broken(self, why: str, error: ProviderError | None = None) -> StreamBroken:
        message = f"the provider's stream broke after {self.reader.chunks} chunks: {why}"
        if error is None:
            return StreamBroken(message)
        broken = StreamBroken(message, said=error.said, words=error.words)
        broken.refused = isinstance(error, ProviderRejected)
        return broken

    def _finish(self, error: FarthingError | None) -> None:
        self._finished = True
        self._error = error
        if error is None and self.cut is None:
            self._exchange.leave()
        else:
            self._exchange.close()
        self._leave()
        self.wake()
