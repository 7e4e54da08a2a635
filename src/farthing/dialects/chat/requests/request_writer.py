"""A conversation as a chat completion request: the form that the pipeline reads (`inner`).

It is what a client of chat completions would send, and where chat has no word it has fields of its own, so
that `request_reader.read` finds all that was said:

    message.thinking_blocks   what was thought, in the blocks of Messages, signatures included
    entry.place               of a call or a thought that stands elsewhere than usual: its place among all
                              blocks of its message. Usual is: thoughts, texts and other parts, calls
    part.type = "document"    a document that is text (`text`), or made of parts (`content`)
    x-anthropic-billing-header   the block of instructions of that name, which is no instruction
    cache_control, citations, is_error, and every field without a name here, as they were sent; of a turn
                              that is results alone in the field `turn` of the last one

What is for the steps to read is where they look for it: text in `text`, calls in `tool_calls`, results in
messages of the role `tool`. Said in one way only: results stand before what else a turn says.

`lowered` is that form as a plain server of chat completions may get it.
"""

from typing import Any

from farthing.dialects.chat.fields import BILLING, is_billing
from farthing.dialects.chat.requests.lowering import lowered as lowered
from farthing.dialects.conversation import (
    Audio,
    Block,
    Composed,
    Conversation,
    Document,
    Format,
    FunctionTool,
    Image,
    Inline,
    Link,
    Opaque,
    Plain,
    Reasoning,
    Refusal,
    ServerTool,
    Source,
    Stored,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from farthing.types import Json

FORMAT_NAME = "answer"
"""Of a schema that has no name, which chat completions want."""


def inner(conversation: Conversation) -> Json:
    """The form of the pipeline, without `stream`. `conversation` must be of Messages or of Responses. The
    values in it are the conversation's own: change none. Never raises."""
    said = conversation
    body: Json = {"model": said.model}
    messages: list[Json] = []
    for turn in _without_billing(said.system, body):
        _write(turn, messages)
    for turn in said.turns:
        _write(turn, messages)
    body["messages"] = messages
    if said.tools:
        body["tools"] = [_tool(tool) for tool in said.tools]
    choice = said.choice
    if choice.mode:
        body["tool_choice"] = _choice(choice)
    if choice.parallel is not None:
        body["parallel_tool_calls"] = choice.parallel
    _settings(said, body)
    return body


def _without_billing(system: tuple[Turn, ...], body: Json) -> tuple[Turn, ...]:
    """The instructions that are some; the block that is none goes into `body`."""
    if not system or not system[0].blocks:
        return system
    first, rest = system[0].blocks[0], system[0].blocks[1:]
    if not isinstance(first, Text) or not is_billing(first.text):
        return system
    body[BILLING] = _part(first)
    return (Turn(system[0].role, rest, "", system[0].extras), *system[1:]) if rest else system[1:]


def _settings(said: Conversation, body: Json) -> None:
    if said.format is not None:
        body["response_format"] = _format(said.format)
    thinking = said.thinking
    if thinking.value is not None:
        body["thinking"] = thinking.value
    if thinking.effort:
        body["reasoning_effort"] = thinking.effort
    if said.output_tokens_max is not None:
        body["max_tokens"] = said.output_tokens_max
    if said.stop:
        body["stop"] = list(said.stop)
    if said.logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": said.logprobs} if said.logprobs else {"logprobs": True}
    for name in ("temperature", "top_p", "top_k", "user", "service_tier"):
        value = getattr(said, name)
        if value is not None:
            body[name] = value
    if said.cache is not None:
        body["cache_control"] = said.cache
    if said.extras:
        body.update(said.extras)


def _write(turn: Turn, messages: list[Json]) -> None:
    blocks = turn.blocks
    if len(blocks) == 1 and not turn.extras:
        block = blocks[0]
        if block.__class__ is Text and _is_plain(block):  # the usual message
            messages.append({"role": turn.role, "content": block.text})
            return
    if turn.role == "assistant":
        message = _assistant(blocks)
    else:
        others = []
        for block in blocks:
            if block.__class__ is ToolResult:
                messages.append(_result(block))
            else:
                others.append(block)
        if not others and blocks:
            if turn.extras:
                messages[-1]["turn"] = turn.extras
            return
        message = {"role": turn.role, "content": _content(others)}
    messages.append({**turn.extras, **message} if turn.extras else message)


def _is_plain(text: Any) -> bool:
    return text.cache is None and not text.citations and not text.extras


def _content(blocks: "list[Block] | tuple[Block, ...]") -> Any:
    if len(blocks) == 1:
        block = blocks[0]
        if block.__class__ is Text and _is_plain(block):
            return block.text
    return [_part(block) for block in blocks]


def _assistant(blocks: tuple[Block, ...]) -> Json:
    """A message of the model. Thoughts and calls are apart from the rest, with their places where those are
    not the usual ones."""
    thoughts: list[Json] = []
    calls: list[Json] = []
    others: list[Block] = []
    usual, places = True, []
    for place, block in enumerate(blocks):
        kind = block.__class__
        if kind is ToolCall:
            entry = _call(block)  # type: ignore[arg-type]
            calls.append(entry)
        elif kind is Reasoning:
            usual = usual and not calls and not others
            entry = _thought(block)  # type: ignore[arg-type]
            thoughts.append(entry)
        else:
            usual = usual and not calls
            others.append(block)
            continue
        places.append((entry, place))
    if not usual:
        for entry, place in places:
            entry["place"] = place
    message: Json = {"role": "assistant", "content": _content(others) if others else None}
    if thoughts:
        message["thinking_blocks"] = thoughts
    if calls:
        message["tool_calls"] = calls
    return message


def _thought(block: Reasoning) -> Json:
    if block.redacted:
        written: Json = {"type": "redacted_thinking", "data": block.redacted}
        if block.text:
            written["thinking"] = block.text
    else:
        written = {"type": "thinking", "thinking": block.text, "signature": block.signature}
    if block.maker != "messages":
        written["maker"] = block.maker
    return {**block.extras, **written} if block.extras else written


def _call(call: ToolCall) -> Json:
    function = {"name": call.name, "arguments": call.arguments}
    written: Json = {"id": call.id, "type": "function", "function": function}
    if call.cache is not None:
        written["cache_control"] = call.cache
    return {**call.extras, **written} if call.extras else written


def _result(result: ToolResult) -> Json:
    blocks = result.blocks
    content: Any
    if result.plain and len(blocks) == 1 and blocks[0].__class__ is Text:
        content = blocks[0].text
    else:
        content = [_part(block) for block in blocks]
    written: Json = {"role": "tool", "tool_call_id": result.call_id, "content": content}
    if result.is_error:
        written["is_error"] = True
    if result.cache is not None:
        written["cache_control"] = result.cache
    return {**result.extras, **written} if result.extras else written


def _part(block: Block) -> Json:
    if block.__class__ is Opaque:
        return block.value  # type: ignore[no-any-return]
    match block:
        case Text():
            written: Json = {"type": "text", "text": block.text}
            if block.citations:
                written["citations"] = list(block.citations)
        case Image():
            written = {"type": "image_url", "image_url": _image(block)}
        case Document():
            written = _document(block)
        case Refusal():
            return {"type": "refusal", "refusal": block.text}
        case Audio(source=Inline(data=data)):
            held = {"data": data, "format": block.format}
            written = {"type": "input_audio", "input_audio": held}
        case _:  # no reader of these dialects gives another one here
            written = {"type": "text", "text": ""}
            return written
    if block.cache is not None:
        written["cache_control"] = block.cache
    return {**block.extras, **written} if block.extras else written


def _image(block: Image) -> Json:
    source = block.source
    told = {"file_id": source.id} if isinstance(source, Stored) else {"url": _url(source)}
    return {**told, "detail": block.detail} if block.detail else told


def _url(source: Source) -> str:
    match source:
        case Inline():
            return f"data:{source.media_type};base64,{source.data}"
        case Link():
            return source.url
        case _:
            return ""


def _document(block: Document) -> Json:
    source = block.source
    if isinstance(source, Plain | Composed):
        written: Json = {"type": "document"}
        if isinstance(source, Plain):
            written["text"] = source.text
        else:
            written["content"] = [_part(inner_block) for inner_block in source.blocks]
        if block.name:
            written["title"] = block.name
        return written
    held: Json = {"filename": block.name} if block.name else {}
    if isinstance(source, Stored):
        held["file_id"] = source.id
    else:
        held["file_data" if isinstance(source, Inline) else "file_url"] = _url(source)
    return {"type": "file", "file": held}


def _tool(tool: Tool) -> Json:
    if isinstance(tool, ServerTool):
        return tool.value
    if not isinstance(tool, FunctionTool):  # no reader of these dialects gives one
        return {"type": "custom", "custom": {"name": tool.name}}
    function: Json = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.parameters is not None:
        function["parameters"] = tool.parameters
    if tool.strict is not None:
        function["strict"] = tool.strict
    written: Json = {"type": "function", "function": function}
    if tool.cache is not None:
        written["cache_control"] = tool.cache
    return {**tool.extras, **written} if tool.extras else written


def _choice(choice: ToolChoice) -> Any:
    if choice.mode == "named":
        return {**choice.extras, "type": "function", "function": {"name": choice.names[0]}}
    if choice.mode == "allowed":
        told = {
            "mode": "required" if choice.must else "auto",
            "tools": [{"type": "function", "function": {"name": name}} for name in choice.names],
        }
        return {"type": "allowed_tools", "allowed_tools": told}
    return {**choice.extras, "type": choice.mode} if choice.extras else choice.mode


def _format(form: Format) -> Any:
    if form.kind == "json_schema":
        told = {"name": form.name or FORMAT_NAME, "schema": form.schema}
        if form.description:
            told["description"] = form.description
        if form.strict is not None:
            told["strict"] = form.strict
        return {"type": "json_schema", "json_schema": told}
    return form.value
