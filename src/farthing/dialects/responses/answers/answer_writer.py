"""A whole answer as Responses has it.

What Responses has no place for in an answer is left out: sound and pictures, what another dialect alone
knows, sources that are no pages of the web. Neighbouring texts are one part of one message; the sources of
each tell where it stands in it.
"""

from collections.abc import Sequence

from farthing.dialects.conversation import Block, Message, Reasoning, Refusal, Text, ToolCall
from farthing.dialects.responses.answers import items
from farthing.dialects.responses.answers.frame import Frame
from farthing.dialects.responses.ids import item_id
from farthing.dialects.responses.streams.call_text import call_text, whole
from farthing.types import Json, Usage


def write(
    answer: Message,
    frame: Frame,
    asked: Json,
    *,
    usage: Usage | None,
    ended_s: int,
    compacts: bool = False,
    logprobs: list[Json] | None = None,
) -> bytes:
    """The body of an answer. `asked`: the request as its client sent it; `usage` is what is told of it;
    `compacts`: its text is the summary of a conversation; `logprobs`: those of its text, where they are
    wanted."""
    by_model = any(isinstance(block, Refusal) and block.text for block in answer.blocks)
    incomplete = items.refuses(answer.stop, by_model=by_model)
    blocks: Sequence[Block] = answer.blocks
    if answer.refused_why and not by_model:
        blocks = (*answer.blocks, Refusal(answer.refused_why))
    if compacts:
        output = [_summary(answer, frame)]
    else:
        output = output_of(blocks, frame.id, asked, cut=bool(incomplete), logprobs=logprobs)
    return bytes(
        frame.response(
            "incomplete" if incomplete else "completed",
            output,
            model=answer.model,
            usage=usage,
            incomplete=incomplete,
            ended_s=ended_s,
        )
    )


def compaction(answer: Message, frame: Frame, *, usage: Usage | None) -> bytes:
    """The answer to who asks for a conversation to be compacted, and for nothing else."""
    return frame.compaction(_summary(answer, frame), usage)


def _summary(answer: Message, frame: Frame) -> Json:
    """The item that stands for the conversation from now on."""
    text = "".join([block.text for block in answer.blocks if isinstance(block, Text)])
    return items.compaction(item_id("compaction", frame.id, 0), text)


def output_of(
    blocks: Sequence[Block],
    response_id: str,
    asked: Json,
    *,
    cut: bool,
    logprobs: list[Json] | None = None,
) -> list[Json]:
    """The output that says what `blocks` say. `cut`: there is no more of it than that."""
    calls = items.Calls(asked)
    output: list[Json] = []
    said: _Said | None = None
    for block in blocks:
        index = len(output)
        match block:
            case Text(text=text) | Refusal(text=text):
                if text:
                    if said is None:
                        said = _Said(item_id("message", response_id, index))
                        output.append(said.item)
                    said.add(block)
                continue
            case Reasoning():
                output.append(items.reasoning(item_id("reasoning", response_id, index), block))
            case ToolCall():
                output.append(_call(block, response_id, index, calls))
            case _:
                continue
        said = None
    if cut:
        _end_short(output, [block for block in blocks if isinstance(block, ToolCall)])
    if logprobs:
        _first_text(output, [items.logprob(one) for one in logprobs])
    return output


class _Said:
    """A message that texts and refusals are added to."""

    __slots__ = ("item",)

    def __init__(self, said_id: str) -> None:
        self.item = items.message(said_id, "completed", [])

    def add(self, block: Text | Refusal) -> None:
        content = self.item["content"]
        if isinstance(block, Refusal):
            content.append(items.refusal_part(block.text))
            return
        if not content or content[-1]["type"] != "output_text":
            content.append(items.text_part("", [], []))
        part = content[-1]
        start = len(part["text"])
        part["text"] += block.text
        end = len(part["text"])
        found = (items.annotation(one, start, end) for one in block.citations)
        part["annotations"] += [one for one in found if one is not None]


def _end_short(output: list[Json], calls: list[ToolCall]) -> None:
    """Mark what is not whole at the end of an answer that was cut: the message, or of the last calls those
    whose arguments are not all there. `calls`: all of the answer."""
    if output and output[-1]["type"] == "message":
        output[-1]["status"] = "incomplete"
    for item in reversed(output):
        if item["type"] not in items.CALLS:
            return
        block = calls.pop()
        if items.is_cut(block.arguments, block.custom):
            item["status"] = "incomplete"


def _call(block: ToolCall, response_id: str, index: int, calls: items.Calls) -> Json:
    tool = calls.client(block)
    text = whole(block.arguments, call_text(tool, raw=block.custom))
    kind = items.kind_of(tool)
    return items.call(item_id(kind, response_id, index), "completed", calls.new_id(block.id), tool, text)


def _first_text(output: list[Json], logprobs: list[Json]) -> None:
    """Put the probabilities of the tokens where the first text is: chat tells those of all in one list."""
    for item in output:
        for part in item.get("content", ()) if item["type"] == "message" else ():
            if part["type"] == "output_text":
                part["logprobs"] = logprobs
                return
