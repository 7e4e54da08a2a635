"""The pipeline's own events, chat completion chunks, read into the events of the model.

Blocks that chat does not number are told apart here: text, reasoning and text again are three; calls are as
many as their index, id and name say. A call is over when its arguments are a whole object and something else
begins, so that of calls that come in a row each can be passed on as it comes; those whose pieces alternate
end together. Why the answer ended and what it used are told last of all, at `[DONE]`: a server may say more
after a finish.

What comes are whole events, as `EventReader.feed` gives them. Sans-I/O and bounded.
"""

from collections import deque
from typing import Any

import msgspec

from farthing.dialects import proofs
from farthing.dialects.chat.answers.answer_reader import (
    CITATIONS_MAX,
    citations_of,
    cited,
    new_id,
    parts_of,
    refused,
    stop_of,
    text_of,
    tokens_of,
    usage_in,
)
from farthing.dialects.chat.reasoning import BY_NAME, reasoning_of
from farthing.dialects.chat.streams.chunks import finish_of
from farthing.dialects.chat.streams.plain_chunks import decode_call, decode_text, decode_thought
from farthing.dialects.chat.streams.streamed_calls import (
    StreamedCall,
    StreamedCalls,
    call_of,
    known_call,
    pieces_of,
)
from farthing.dialects.conversation import (
    ENDED,
    PING,
    ArgumentsDelta,
    Block,
    BlockStarted,
    BlockStopped,
    CitationDelta,
    Counted,
    Event,
    LogprobsDelta,
    Reasoning,
    ReasoningDelta,
    Refusal,
    SignatureDelta,
    Started,
    Stopped,
    Text,
    TextDelta,
    ToolCall,
)
from farthing.dialects.events import BadStream
from farthing.text.lenient_json import NotJson, read_json, repaired
from farthing.types import Json, Usage

DATA = b"data: "
DONE = b"[DONE]"
HELD_CHARS_MAX = 16_000_000  # of arguments that are not known to be whole, and of refusals
UNNAMED, BY_NAMED = Reasoning(""), Reasoning("", maker=BY_NAME)

Piece = TextDelta | ReasoningDelta | ArgumentsDelta
Thought = tuple[int, Any, Reasoning]
"""How many blocks stood before it, by what it is known among others (None: by its place), and a piece."""


class Reader:
    """Feed it the events of one answer; it returns what they say."""

    __slots__ = (
        "_calls",
        "_choice",
        "_cites",
        "_done",
        "_end",
        "_grown",
        "_halves",
        "_held_chars",
        "_id",
        "_key",
        "_kind",
        "_logprobs",
        "_numbered",
        "_open",
        "_refusals",
        "_said",
        "_signed",
        "_started",
        "_texts",
        "_tokens",
        "_usage",
    )

    def __init__(self, *, logprobs: bool = False) -> None:
        """`logprobs`: the probabilities of tokens are told too."""
        self._logprobs = logprobs
        self._tokens: list[Json] = []
        """Those whose text has not been told."""
        self._id = ""
        self._choice: int | None = None
        """The index of the choice that is read: the first that came."""
        self._started = self._done = False
        self._said = 0
        """Blocks that began."""
        self._kind = ""
        """What the open block is: `text` or `reasoning`; empty: none is, but perhaps calls."""
        self._open = -1
        self._key: Any = None
        self._signed = self._cites = False
        """Of the open block: it has a signature, or sources, which come last."""
        self._texts = 0
        self._calls = StreamedCalls()
        self._numbered = 0
        """So many of them, the first ones, have a block."""
        self._grown: dict[int, StreamedCall] = {}
        """Those, by their blocks, to which something was added since it was looked whether they are whole."""
        self._refusals: list[str] = []
        self._held_chars = 0
        self._halves: dict[int, str] = {}
        """The first half of a character that a piece of a block ended with: the next one has the second."""
        self._end: Json | None = None
        """The last choice that told a finish."""
        self._usage: Usage | None = None

    def feed(self, chunks: bytes) -> list[Event]:
        """The events of the model that `chunks`, which are whole events, say.

        Raises:
            BadStream: more is held than may be, or an event is no JSON.
        """
        found: list[Event] = []
        if chunks.count(b"\n") == 2 and chunks.startswith(DATA) and chunks.endswith(b"\n\n"):
            self._payload(chunks[6:-2], found)
            return found
        for event in chunks.split(b"\n\n"):
            if event.startswith(DATA) and b"\n" not in event:
                self._payload(event[6:], found)
            elif event:
                self._framed(event, found)
        return found

    def _framed(self, event: bytes, found: list[Event]) -> None:
        """An event of several lines, or a comment."""
        lines = event.split(b"\n")
        data = [line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")]
        if data:
            self._payload(b"\n".join(data), found)
        elif any(line.startswith(b":") for line in lines) and not self._done:
            found.append(PING)

    def _payload(self, payload: bytes, found: list[Event]) -> None:
        if self._done:
            return
        if not (self._choice or self._cites or self._signed or self._halves or self._logprobs):
            try:
                self._plain(payload, found)
            except (msgspec.DecodeError, RecursionError):
                pass  # it says more than that
            else:
                return
        if payload == DONE:
            self._finish(found)
            return
        try:
            value = read_json(payload)
        except NotJson as error:
            raise BadStream(f"an event is not JSON: {error}") from None
        if value.__class__ is dict:
            self._chunk(value, found)

    def _plain(self, payload: bytes, found: list[Event]) -> None:
        """Take in a chunk that only goes on with what is open, as nearly all do.

        Raises:
            DecodeError: it is another, and nothing was taken in.
        """
        if self._kind == "text":
            text = decode_text(payload).choices[0].delta.content
            if text:
                found.append(TextDelta(self._open, text))
        elif self._kind == "reasoning":
            thought = decode_thought(payload).choices[0].delta
            text = thought.reasoning_content or thought.reasoning or ""
            if text:
                found.append(ReasoningDelta(self._open, text))
        elif self._calls:
            piece = decode_call(payload).choices[0].delta.tool_calls[0]
            call = self._calls[-1]
            if call.place != piece.index:
                raise msgspec.DecodeError("of another call")
            self._arguments(call, piece.function.arguments, found)
        else:
            raise msgspec.DecodeError("nothing is open")

    def _chunk(self, value: Json, found: list[Event]) -> None:
        choice = self._ours(value.get("choices"))
        self._usage = usage_in(value, choice) or self._usage
        if not choice:
            return
        if not self._started:
            self._begin(value, found)
        delta = choice.get("delta")
        before = len(found)
        if delta.__class__ is dict and delta:
            self._delta(delta, found)
        if self._logprobs:
            self._weigh(choice, before, found)
        if finish_of(choice.get("finish_reason")) is not None:
            self._end = choice
            own = value.get("farthing")
            if own.__class__ is dict and own.get("stop_reason"):  # a limit of ours
                self._end = {**choice, "native_finish_reason": own["stop_reason"]}

    def _weigh(self, choice: Json, before: int, found: list[Event]) -> None:
        """Tell the probabilities of a text before it. `before`: how many of `found` are of other chunks."""
        self._tokens += tokens_of(choice)
        for at in range(len(found) - 1, before - 1, -1):
            event = found[at]
            if isinstance(event, TextDelta) and self._tokens:
                found.insert(at, LogprobsDelta(event.index, tuple(self._tokens)))
                self._tokens.clear()
                return

    def _ours(self, choices: Any) -> Json:
        for choice in choices if choices.__class__ is list else ():
            if choice.__class__ is not dict:
                continue
            index = choice.get("index")
            index = index if index.__class__ is int else 0
            if self._choice is None:
                self._choice = index
            if index == self._choice:
                found: Json = choice
                return found
        return {}

    def _begin(self, value: Json, found: list[Event]) -> None:
        self._started = True
        self._id = text_of(value, "id")
        found.append(Started(self._id, text_of(value, "model")))

    def _delta(self, delta: Json, found: list[Event]) -> None:
        """What one piece of the answer says. Where it says several things, a thought tells how many blocks
        stand before it; without a word it is the first."""
        thoughts = deque(_thoughts(delta))
        self._think(thoughts, found)
        content = delta.get("content")
        if content:
            self._content(content, delta.get("annotations"), found)
            self._think(thoughts, found)
        elif delta.get("annotations"):
            self._cite(citations_of(delta["annotations"]), found)
        audio = delta.get("audio")
        if audio.__class__ is dict:
            self._text(text_of(audio, "transcript"), found)
        if delta.get("images"):
            self._blocks(parts_of(delta["images"]), found)
        self._refuse(text_of(delta, "refusal"))
        for piece in pieces_of(delta):
            self._call(piece, found)
            if thoughts:
                self._start_calls(found)
                self._think(thoughts, found)
        for _, key, thought in thoughts:
            self._thought(key, thought, found)

    # -- blocks ------------------------------------------------------------------------------------------

    def _block(self, block: Block, found: list[Event]) -> int:
        """Begin a block. What is over before it is stopped."""
        self._start_calls(found)
        self._close(found)
        self._stop_whole(found)
        return self._number(block, found)

    def _number(self, block: Block, found: list[Event]) -> int:
        index = self._said
        self._said += 1
        found.append(BlockStarted(index, block))
        return index

    def _close(self, found: list[Event]) -> None:
        if self._kind:
            self._stop(self._open, TextDelta if self._kind == "text" else ReasoningDelta, found)
            self._kind = ""
            self._key = None
            self._open = -1
            self._signed = self._cites = False

    def _stop(self, index: int, piece: type[Piece], found: list[Event]) -> None:
        half = self._halves.pop(index, "")
        if half:
            found.append(piece(index, repaired(half)))
        found.append(BlockStopped(index))

    def _whole(self, index: int, text: str) -> str:
        """`text` of whole characters: some servers cut between the halves of an emoji in UTF-16."""
        before = self._halves.pop(index, "")
        text = before + text
        if text and "\ud800" <= text[-1] <= "\udbff":
            self._halves[index] = text[-1]
            text = text[:-1]
        return repaired(text) if before else text

    # -- text --------------------------------------------------------------------------------------------

    def _content(self, content: Any, annotations: Any, found: list[Event]) -> None:
        if content.__class__ is str and not annotations:
            self._text(content, found)
            return
        if content.__class__ is str:
            if self._texts:
                self._text(content, found)
                self._cite(citations_of(annotations), found)
            for block in () if self._texts else cited(content, annotations):
                self._close(found)
                self._blocks([block], found)
            return
        self._blocks(parts_of(content), found)
        self._cite(citations_of(annotations), found)

    def _text(self, text: str, found: list[Event]) -> None:
        if not text:
            return
        if self._kind != "text" or self._cites:
            self._open = self._block(Text(""), found)
            self._kind = "text"
            self._texts += 1
        text = self._whole(self._open, text)
        if text:
            found.append(TextDelta(self._open, text))

    def _cite(self, citations: list[Json], found: list[Event]) -> None:
        """The sources of the text that is open. Those of one that has ended are not told."""
        if self._kind == "text" and citations:
            self._cites = True
            found += [CitationDelta(self._open, one) for one in citations[:CITATIONS_MAX]]

    def _blocks(self, blocks: list[Block], found: list[Event]) -> None:
        """Blocks that came whole; a text may go on."""
        for block in blocks:
            if isinstance(block, Text):
                self._text(block.text, found)
                self._cite(list(block.citations), found)
            elif isinstance(block, Reasoning):
                self._thought(None, block, found)
            elif isinstance(block, Refusal):
                self._refuse(block.text)
            else:
                found.append(BlockStopped(self._block(block, found)))

    def _refuse(self, text: str) -> None:
        """Keep a refusal to the end: whose words it is, the finish says."""
        if text:
            self._hold(text)
            self._refusals.append(text)

    def _hold(self, text: str) -> None:
        self._held_chars += len(text)
        if self._held_chars > HELD_CHARS_MAX:
            raise BadStream(f"more than {HELD_CHARS_MAX} characters of calls or a refusal do not end")

    # -- reasoning ---------------------------------------------------------------------------------------

    def _think(self, thoughts: deque[Thought], found: list[Event]) -> None:
        """Tell the thoughts whose place it is, and leave the others."""
        while thoughts and thoughts[0][0] <= min(1, self._texts) + len(self._calls):
            _, key, thought = thoughts.popleft()
            self._thought(key, thought, found)

    def _thought(self, key: Any, thought: Reasoning, found: list[Event]) -> None:
        if thought.redacted:
            found.append(BlockStopped(self._block(thought, found)))
            return
        text, signature = thought.text, thought.signature if thought.maker == "messages" else ""
        if not text and not signature and key is None:
            return
        goes_on = self._kind == "reasoning" and (
            not self._signed if key is None or self._key is None else key == self._key
        )
        if not goes_on:
            self._open = self._block(BY_NAMED if thought.maker == BY_NAME else UNNAMED, found)
            self._kind = "reasoning"
        self._key = self._key if key is None else key
        text = self._whole(self._open, text)
        if text:
            found.append(ReasoningDelta(self._open, text))
        if signature:
            self._signed = True
            found.append(SignatureDelta(self._open, signature))

    # -- calls -------------------------------------------------------------------------------------------

    def _call(self, piece: Json, found: list[Event]) -> None:
        proof = proofs.of_call(piece, self._id_of(piece)) if "extra_content" in piece else None
        if proof is not None:
            self._thought(None, proof, found)
        call = call_of(self._calls, piece)
        self._arguments(call, call.take(piece), found)

    def _id_of(self, piece: Json) -> str:
        """The id by which the client knows, or will know, the call of `piece`."""
        told = text_of(piece, "id")
        if told:
            return told
        call = known_call(self._calls, piece)
        if call is None:
            return new_id(self._id, len(self._calls))
        return call.id or new_id(self._id, self._calls.index(call))

    def _arguments(self, call: StreamedCall, text: str, found: list[Event]) -> None:
        if not text or call.stopped:
            return
        self._hold(text)
        if call.block < 0:
            self._start_calls(found, call)
        call.pieces.append(text)
        self._grown[call.block] = call
        text = self._whole(call.block, text)
        if text:
            found.append(ArgumentsDelta(call.block, text))

    def _start_calls(self, found: list[Event], last: StreamedCall | None = None) -> None:
        """Begin the blocks of the calls up to `last`, of all where it is None, that have none."""
        while self._numbered < len(self._calls):
            at = self._numbered
            call = self._calls[at]
            self._close(found)
            self._stop_whole(found)
            self._numbered = at + 1
            call.id = call.id or new_id(self._id, at)
            call.block = self._number(ToolCall(call.id, call.name, "", call.custom), found)
            if call is last:
                return

    def _stop_whole(self, found: list[Event]) -> None:
        """Stop the calls that are whole. Only what has grown since the last time may have become so."""
        for place in sorted(self._grown):
            call = self._grown[place]
            if not call.stopped and call.is_whole():
                self._stop_call(call, found)
        self._grown.clear()

    def _stop_call(self, call: StreamedCall, found: list[Event]) -> None:
        call.stopped = True
        self._held_chars -= sum(map(len, call.pieces))
        call.pieces.clear()
        self._stop(call.block, ArgumentsDelta, found)

    # -- the end -----------------------------------------------------------------------------------------

    def _finish(self, found: list[Event]) -> None:
        self._done = True
        if not self._started:
            self._begin({}, found)
        stop, said, sequence = stop_of(self._end or {})
        refusal = "".join(self._refusals)
        stop, why = refused(stop, refusal)
        self._start_calls(found)
        self._close(found)
        for call in self._calls:
            if not call.stopped:
                self._stop_call(call, found)
        if refusal and not why:
            found.append(BlockStopped(self._number(Refusal(refusal), found)))
        found.append(Stopped(stop, said, sequence, why))
        if self._usage is not None:
            found.append(Counted(self._usage))
        found.append(ENDED)


def _thoughts(delta: Json) -> list[Thought]:
    """The reasoning in a delta; of several forms of the same the one that tells most."""
    plain = next(
        (text for name in ("reasoning_content", "reasoning", "thinking") if (text := text_of(delta, name))),
        "",
    )
    found: list[Thought] = []
    for name in ("thinking_blocks", "reasoning_details"):
        told = delta.get(name)
        if told.__class__ is list and told:
            told = [one for one in told if one.__class__ is dict]
            for one, (at, thought) in zip(told, reasoning_of({name: told}), strict=False):
                index = one.get("index")
                key = None if index is None else (name, str(index))
                found.append((at, key, proofs.of_thought(thought)))
            break
    if plain and not any(thought.text for _, _, thought in found):
        by_name = BY_NAME if text_of(delta, "reasoning_content") else ""
        found.insert(0, (0, None, Reasoning(plain, maker=by_name)))
    return found
