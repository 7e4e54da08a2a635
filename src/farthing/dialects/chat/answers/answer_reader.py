"""A whole chat completion, read into the model of a conversation.

Strict where the answer is missing: what has no choice with a message is no answer. Lenient elsewhere: odd
names of why it ended, contents in parts, calls in the old form or without ids, usage of any shape. Of several
choices the first is read: no dialect but chat has more than one.
"""

from typing import Any

from farthing.dialects import proofs
from farthing.dialects.chat.reasoning import BY_NAME, reasoning_of
from farthing.dialects.chat.requests.parts import read_content
from farthing.dialects.chat.requests.turns import with_reasoning
from farthing.dialects.chat.streams.chunks import finish_of
from farthing.dialects.chat.usage import read_usage
from farthing.dialects.conversation import (
    Audio,
    Block,
    Inline,
    Message,
    Opaque,
    Reasoning,
    Refusal,
    Stop,
    Text,
    ToolCall,
)
from farthing.dialects.errors import is_error
from farthing.dialects.events import BadAnswer, ProviderSaid, read_body
from farthing.errors import InvalidRequest
from farthing.text.lenient_json import any_json, write_json
from farthing.types import Json, Usage

FINISHES: dict[str, Stop] = {
    "stop": "end",
    "end_turn": "end",
    "eos": "end",
    "eos_token": "end",
    "complete": "end",
    "completed": "end",
    "stop_sequence": "stop_sequence",
    "tool_calls": "tool_calls",
    "tool_call": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
    "max_tokens": "length",
    "model_length": "context",
    "model_context_window_exceeded": "context",
    "pause_turn": "pause",
    "compaction": "pause",
    "refusal": "refusal",
    "content_filter": "filter",
    "safety": "filter",
    "sensitive": "filter",
    "recitation": "filter",
}
"""Why an answer ended, by the words of the servers that have this form, in lower case."""
FINER = frozenset({"stop_sequence", "context", "pause", "refusal"})
"""What a provider's own word may say where chat has but a coarser one."""
MATCHES = ("stop_reason", "matched_stop")
"""Where vLLM and SGLang name the stop sequence that was found."""
CITATIONS_MAX = 10_000
CALLS_MAX = 1_000
REASONING = frozenset({"thinking_blocks", "reasoning_details", "reasoning_content", "reasoning", "thinking"})


def read(body: bytes) -> Message:
    """The answer in the body of a reply with status 200.

    Raises:
        BadAnswer: there is none. ProviderSaid: it is an error.
    """
    value = read_body(body)
    choice = _first(value.get("choices"))
    message = choice.get("message")
    if message.__class__ is not dict:
        if is_error(value):
            raise ProviderSaid(body)
        raise BadAnswer("there is no choice with a message")
    answer_id = text_of(value, "id")
    stop, said, sequence = stop_of(choice)
    refusal = text_of(message, "refusal")
    stop, why = refused(stop, refusal)
    blocks = blocks_of(message, answer_id, "" if why else refusal)
    return Message(
        id=answer_id,
        model=text_of(value, "model"),
        blocks=tuple(blocks),
        stop=stop,
        stop_said=said,
        stop_sequence=sequence,
        refused_why=why,
        usage=usage_in(value, choice),
    )


def _first(choices: Any) -> Json:
    for choice in choices if choices.__class__ is list else ():
        if choice.__class__ is dict:
            found: Json = choice
            return found
    return {}


# -- why it ended ------------------------------------------------------------------------------------------


def stop_of(choice: Json) -> tuple[Stop, str, str | None]:
    """Why a choice ended, the provider's own word for it, and the stop sequence that it names."""
    finish = finish_of(choice.get("finish_reason")) or ""
    native = choice.get("native_finish_reason")
    stop = FINISHES.get(finish.lower(), "unknown")
    said = finish
    if native.__class__ is str and native:
        said = native
        finer = FINISHES.get(native.lower(), "unknown")
        if stop == "unknown" or finer in FINER:
            stop = finer
    if stop == "end" or stop == "stop_sequence":
        for name in MATCHES:
            found = choice.get(name)
            if found.__class__ is str and found and found not in FINISHES:  # a number is a token that ends
                return "stop_sequence", said, found
    return stop, said, None


def refused(stop: Stop, refusal: str) -> tuple[Stop, str]:
    """Why an answer with a `refusal` ended, and the words of it that are the provider's: the model's own
    are a part of what it says."""
    if stop == "refusal":
        return stop, refusal
    return ("refusal" if refusal and stop in ("end", "filter") else stop), ""


# -- what was said -----------------------------------------------------------------------------------------


def blocks_of(message: Json, answer_id: str, refusal: str) -> list[Block]:
    """The blocks of the message of an answer, in the order in which they were made, as far as chat tells."""
    content, annotations = message.get("content"), message.get("annotations")
    blocks: list[Block] = []
    if content.__class__ is str:
        if annotations:
            blocks += cited(content, annotations)
        elif content:
            blocks.append(Text(content))
    elif content is not None:
        blocks += parts_of(content)
        _cite_last(blocks, citations_of(annotations))
    audio, images = message.get("audio"), message.get("images")
    if audio.__class__ is dict:
        blocks += _spoken(audio, blocks)
    if images:
        blocks += parts_of(images)
    if refusal:
        blocks.append(Refusal(refusal))
    told, function = message.get("tool_calls"), message.get("function_call")
    proofs_of: list[tuple[ToolCall, Reasoning]] = []
    if told:
        had = {block.id: block for block in blocks if isinstance(block, ToolCall)}
        blocks += _calls(told, answer_id, had, proofs_of)
    elif function.__class__ is dict:
        blocks.append(call_of({"function": function}, answer_id, 0))
    if not REASONING.isdisjoint(message) and not any(isinstance(block, Reasoning) for block in blocks):
        thought = reasoning_of(message) or [(0, Reasoning(text_of(message, "thinking")))]
        made = [(at, proofs.of_thought(one)) for at, one in thought if one.text or one.maker]
        if len(made) == 1 and made[0][1] == Reasoning(text_of(message, "reasoning_content")):
            made = [(0, Reasoning(made[0][1].text, maker=BY_NAME))]
        blocks = with_reasoning(blocks, made)
    return _with_proofs(blocks, proofs_of) if proofs_of else blocks


def _with_proofs(blocks: list[Block], found: list[tuple[ToolCall, Reasoning]]) -> list[Block]:
    """`blocks` with each proof before its own call: two calls may have one id."""
    before = {id(call): proof for call, proof in found}
    proven: list[Block] = []
    for block in blocks:
        proof = before.get(id(block))
        proven += [block] if proof is None else [proof, block]
    return proven


def parts_of(content: Any) -> list[Block]:
    """The blocks of a content in parts. What cannot be read is kept as it is."""
    blocks: list[Block] = []
    for part in content if content.__class__ is list else [content]:
        thought = part.get("thinking") if part.__class__ is dict else None
        if thought.__class__ is list:  # Mistral's form
            blocks.append(
                Reasoning("".join([text_of(one, "text") for one in thought if one.__class__ is dict]))
            )
            continue
        try:
            blocks += read_content([part], "content")
        except InvalidRequest:
            blocks.append(Opaque("chat", text_of(part, "type") if part.__class__ is dict else "", part))
    return [block for block in blocks if not (isinstance(block, Text) and not block.text)]


def _spoken(audio: Json, before: list[Block]) -> list[Block]:
    """A spoken answer: its words, where they are not told as text, and its sound."""
    words, data = text_of(audio, "transcript"), text_of(audio, "data")
    blocks: list[Block] = []
    if words and not any(isinstance(block, Text) for block in before):
        blocks.append(Text(words))
    if data:
        blocks.append(Audio(Inline("audio", data)))
    return blocks


def _calls(
    told: Any, answer_id: str, had: dict[str, ToolCall], found: list[tuple[ToolCall, Reasoning]]
) -> list[Block]:
    """The calls in `told` that are not in `had`, by their ids; the proofs of all of them go into `found`."""
    calls: list[Block] = []
    for call in told[:CALLS_MAX] if told.__class__ is list else ():
        if call.__class__ is not dict:
            continue
        block = had.get(text_of(call, "id"))
        if block is None:
            block = call_of(call, answer_id, len(calls))
            calls.append(block)
        proof = proofs.of_call(call, block.id)
        if proof is not None:
            found.append((block, proof))
    return calls


def call_of(call: Json, answer_id: str, place: int) -> ToolCall:
    """A call of any shape. One without an id gets one, after its answer's and its `place` among the calls."""
    custom = call.get("custom")
    call_id = text_of(call, "id") or new_id(answer_id, place)
    if custom.__class__ is dict and "function" not in call:
        return ToolCall(call_id, text_of(custom, "name"), text_of(custom, "input"), custom=True)
    function = call.get("function")
    function = function if function.__class__ is dict else call
    return ToolCall(call_id, text_of(function, "name"), arguments_of(function))


def new_id(answer_id: str, place: int) -> str:
    return f"call_{answer_id}_{place}" if answer_id else f"call_{place}"


def arguments_of(function: Json) -> str:
    """The arguments of a call: some servers send the object, and not its JSON as a text."""
    told = function.get("arguments")
    if told is None or told.__class__ is str:
        return told or ""
    return write_json(told).decode()


# -- sources -----------------------------------------------------------------------------------------------


def citation_of(annotation: Any) -> Json | None:
    """An annotation as Messages cites; what is no page of the web is kept as it is. None: it is none."""
    if annotation.__class__ is not dict:
        return None
    page = annotation.get("url_citation")
    if page.__class__ is not dict:
        return {name: value for name, value in annotation.items() if name != "index"}
    told: Json = {"type": "web_search_result_location", "url": text_of(page, "url")}
    title = page.get("title")
    told["title"] = title if isinstance(title, str) and title else None
    return {**told, "cited_text": "", "encrypted_index": ""}


def citations_of(annotations: Any) -> list[Json]:
    told = annotations[:CITATIONS_MAX] if annotations.__class__ is list else ()
    return [citation for citation in map(citation_of, told) if citation is not None]


def cited(text: str, annotations: Any) -> list[Block]:
    """`text` in blocks, each with the sources of what it says. A source that names no place in it, or one
    within another's, goes to the block before."""
    told = annotations[:CITATIONS_MAX] if annotations.__class__ is list else ()
    placed = [(*_place(one, len(text)), citation) for one in told if (citation := citation_of(one))]
    blocks: list[Block] = []
    at = 0
    for start, end, citation in sorted(placed, key=lambda one: one[:2]):
        if start >= at and start < end:
            if text[at:start].strip():
                blocks.append(Text(text[at:start]))
                at = start
            blocks.append(Text(text[at:end], None, (citation,)))
            at = end
    rest = text[at:]
    if rest.strip() or not blocks:
        blocks += [Text(rest)] if rest else []
    elif rest:
        last = blocks.pop()
        assert isinstance(last, Text)
        blocks.append(Text(last.text + rest, None, last.citations))
    used = {id(one) for block in blocks if isinstance(block, Text) for one in block.citations}
    _cite_last(blocks, [citation for _, _, citation in placed if id(citation) not in used])
    return blocks


def _place(annotation: Json, chars: int) -> tuple[int, int]:
    """Start and end of what is said after a source; both 0: it is not told."""
    page = annotation.get("url_citation")
    start: Any = page.get("start_index") if page.__class__ is dict else None
    end: Any = page.get("end_index") if page.__class__ is dict else None
    good = start.__class__ is int and end.__class__ is int and 0 <= start < end <= chars
    return (start, end) if good else (0, 0)


def _cite_last(blocks: list[Block], citations: list[Json]) -> None:
    """Put `citations` on the last text."""
    for at in range(len(blocks) - 1, -1, -1) if citations else ():
        block = blocks[at]
        if isinstance(block, Text):
            blocks[at] = Text(block.text, block.cache, (*block.citations, *citations), block.extras)
            return


def tokens_of(choice: Json) -> list[Json]:
    """The tokens of the text of a choice, or of a piece of it, with their probabilities."""
    told = choice.get("logprobs")
    tokens = told.get("content") if told.__class__ is dict else None
    return [one for one in tokens if one.__class__ is dict] if tokens.__class__ is list else []


def tokens_in(body: bytes) -> list[Json]:
    """As `tokens_of`, of a whole answer."""
    value = any_json(body)
    return tokens_of(_first(value.get("choices"))) if isinstance(value, dict) else []


# -- what it used ------------------------------------------------------------------------------------------


def usage_in(value: Json, choice: Json) -> Usage | None:
    """What a completion, or a chunk of one, says that was used: at the top, beside the finish (Kimi) or in
    Groq's own place. None: nothing is counted."""
    groq = value.get("x_groq")
    places = (value, choice, groq if groq.__class__ is dict else {})
    told = next((place["usage"] for place in places if place.get("usage") is not None), None)
    if told is None:
        return None
    tier = value.get("service_tier")
    return read_usage(write_json(told), service_tier=tier if isinstance(tier, str) else None)


def text_of(fields: Json, name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""
