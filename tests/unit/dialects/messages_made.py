"""Answers in the model of a conversation, made at random, and the events of a stream that says the same."""

import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from farthing.dialects.conversation import (
    ENDED,
    ArgumentsDelta,
    Block,
    BlockStarted,
    BlockStopped,
    CitationDelta,
    Counted,
    Event,
    Message,
    Reasoning,
    ReasoningDelta,
    SignatureDelta,
    Started,
    Stop,
    Stopped,
    Text,
    TextDelta,
    ToolCall,
)
from farthing.types import Usage

Draw = Callable[[st.SearchStrategy[Any]], Any]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
WORDS = TEXT.map(lambda text: f"w{text}")  # no text is empty or blank alone: such a one is no block
ID = st.from_regex(r"[a-zA-Z0-9_-]{1,12}", fullmatch=True)
COUNT = st.integers(1, 10_000)
SAID: dict[Stop, str] = {
    "end": "",
    "tool_calls": "",
    "stop_sequence": "stop_sequence",
    "length": "",
    "context": "model_context_window_exceeded",
    "pause": "pause_turn",
    "refusal": "refusal",
}
"""Why an answer ends, and the provider's word where chat has but a coarser one."""
PAGE = st.fixed_dictionaries({
    "type": st.just("web_search_result_location"),
    "url": WORDS,
    "title": st.none() | WORDS,
    "cited_text": st.just(""),
    "encrypted_index": st.just(""),
})  # fmt: skip


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


ARGUMENTS = st.dictionaries(TEXT, TEXT | st.integers(-9, 9) | st.none(), max_size=3).map(_json)
THOUGHT = st.one_of(
    st.builds(Reasoning, WORDS),
    st.builds(Reasoning, TEXT, WORDS, maker=st.just("messages")),
    st.builds(Reasoning, st.just(""), redacted=WORDS, maker=st.just("messages")),
)


@st.composite
def usages(draw: Draw) -> Usage:
    fresh, cached, short, long = (draw(COUNT) for _ in range(4))
    return Usage(
        input_tokens=fresh + cached + short + long,
        output_tokens=draw(COUNT) + 10_000,
        cached_tokens=cached,
        cache_write_5m_tokens=short,
        cache_write_1h_tokens=long,
        reasoning_tokens=draw(COUNT),
        tier=draw(st.sampled_from(["", "priority", "batch"])),
        fees=draw(st.sampled_from([None, {"web_search": 3}])),
    )


@st.composite
def messages(draw: Draw) -> Message:
    """An answer as chat can tell it too: thoughts anywhere, one text with its sources, then calls."""
    thoughts = st.lists(THOUGHT, max_size=2)
    blocks: list[Block] = list(draw(thoughts))
    if draw(st.booleans()):
        blocks.append(Text(draw(WORDS), None, tuple(draw(st.lists(PAGE, max_size=2)))))
        blocks += draw(thoughts)
    for call_id in draw(st.lists(ID, max_size=3, unique=True)):
        blocks.append(ToolCall(call_id, draw(WORDS), draw(ARGUMENTS)))
        blocks += draw(thoughts)
    called = any(isinstance(block, ToolCall) for block in blocks)
    stop = draw(st.sampled_from([one for one in SAID if one == "length" or called == (one == "tool_calls")]))
    return Message(
        id=draw(ID),
        model=draw(WORDS),
        blocks=tuple(blocks),
        stop=stop,
        stop_said=SAID[stop],
        stop_sequence=draw(WORDS) if stop == "stop_sequence" else None,
        refused_why=draw(WORDS) if stop == "refusal" else "",
        usage=draw(usages()),
    )


def cut(draw: Draw, text: str) -> list[str]:
    """`text` in pieces."""
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True) if start < end]


def block_events(draw: Draw, index: int, block: Block) -> list[Event]:
    found: list[Event] = []
    match block:
        case Text():
            found = [BlockStarted(index, Text("")), *(TextDelta(index, one) for one in cut(draw, block.text))]
            found += [CitationDelta(index, citation) for citation in block.citations]
        case ToolCall():
            found = [BlockStarted(index, ToolCall(block.id, block.name, "", block.custom))]
            found += [ArgumentsDelta(index, one) for one in cut(draw, block.arguments)]
        case Reasoning(redacted=""):
            found = [BlockStarted(index, Reasoning(""))]
            found += [ReasoningDelta(index, one) for one in cut(draw, block.text)]
            found += [SignatureDelta(index, block.signature)] if block.signature else []
        case _:
            found = [BlockStarted(index, block)]
    return [*found, BlockStopped(index)]


@st.composite
def events(draw: Draw, message: Message, *, together: bool = False) -> list[Event]:
    """The events of a stream that says what `message` says. `together`: its blocks are open at once, and the
    pieces of one come between those of another."""
    ends: list[Event] = [Stopped(message.stop, message.stop_said, message.stop_sequence, message.refused_why)]
    ends += [] if message.usage is None else [Counted(message.usage)]
    said = [block_events(draw, index, block) for index, block in enumerate(message.blocks)]
    begun: list[Event] = [Started(message.id, message.model)]
    if not together:
        return [*begun, *(event for block in said for event in block), *ends, ENDED]
    begun += [block.pop(0) for block in said]
    while any(said):
        block = draw(st.sampled_from([block for block in said if block]))
        begun.append(block.pop(0))
    return [*begun, *ends, ENDED]
