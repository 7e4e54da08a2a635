"""What providers say in the cases of Messages: whole answers and streams, in both dialects."""

from typing import Any, Final

from tests.faults.exact import DONE, Exact, chunk, counted, event, streamed, whole, whole_of

Json = dict[str, Any]
LIMIT: Final = 256
USED: Final[Json] = {"input_tokens": 40, "output_tokens": 8}
SIGNED: Final = "c2lnbmVkLWJ5LW5vYm9keQ=="
HIDDEN: Final = "aGlkZGVuLWZyb20tYWxs"
PNG: Final = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PDF: Final = "JVBERi0xLjcKJSBvZiBub2JvZHkK"
SCHEMA: Final[Json] = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL: Final[Json] = {"name": "weather", "description": "of a town", "input_schema": SCHEMA}
FUNCTION: Final[Json] = {
    "type": "function",
    "function": {"name": "weather", "description": "of a town", "parameters": SCHEMA},
}


# -- requests ----------------------------------------------------------------------------------------


def asked(content: Any = "hello", **fields: Any) -> Json:
    """A request to Messages of one user message, or of all that a list of messages holds."""
    return {"max_tokens": LIMIT, **chatted(content, **fields)}


def chatted(content: Any = "hello", **fields: Any) -> Json:
    """A request to chat completions."""
    messages = content if _is_messages(content) else [{"role": "user", "content": content}]
    return {"messages": messages, **fields}


def _is_messages(content: Any) -> bool:
    return isinstance(content, list) and bool(content) and "role" in content[0]


def user(content: Any) -> Json:
    return {"role": "user", "content": content}


def assistant(content: Any, **fields: Any) -> Json:
    return {"role": "assistant", "content": content, **fields}


def system(content: Any) -> Json:
    return {"role": "system", "content": content}


def text(words: str, **fields: Any) -> Json:
    return {"type": "text", "text": words, **fields}


def used(call_id: str, city: str = "Oslo") -> Json:
    """A block of Messages: a call of the tool."""
    return {"type": "tool_use", "id": call_id, "name": "weather", "input": {"city": city}}


def result(call_id: str, content: Any = "4 degrees", **fields: Any) -> Json:
    return {"type": "tool_result", "tool_use_id": call_id, "content": content, **fields}


def called(call_id: str, arguments: str = '{"city": "Oslo"}') -> Json:
    """The same call as chat has it."""
    return {"id": call_id, "type": "function", "function": {"name": "weather", "arguments": arguments}}


def answered(call_id: str, content: Any = "4 degrees", **fields: Any) -> Json:
    return {"role": "tool", "tool_call_id": call_id, "content": content, **fields}


def base64_of(media_type: str, data: str) -> Json:
    return {"type": "base64", "media_type": media_type, "data": data}


# -- chat completions --------------------------------------------------------------------------------


def completion(message: Any = "fine", finish: Any = "stop", usage: Any = None, **choice: Any) -> Exact:
    """A whole one; further fields stand in its choice."""
    counts = {"prompt_tokens": 40, "completion_tokens": 8, "total_tokens": 48} if usage is None else usage
    if isinstance(message, dict):
        message = {"role": "assistant", "content": None, "refusal": None, **message}
    body = whole_of(message, finish, counts or None)
    body["choices"][0] |= choice
    return whole(body)


def chunks(*deltas: Json, finish: Any = "stop", usage: Any = None, **choice: Any) -> Exact:
    """A stream of these deltas."""
    ending = chunk({}, finish)
    ending["choices"][0] |= choice
    counts = {"prompt_tokens": 40, "completion_tokens": 8, "total_tokens": 48} if usage is None else usage
    last = [counted(counts)] if counts else []
    return streamed(chunk({"role": "assistant"}), *map(chunk, deltas), ending, *last, DONE)


def calling(index: int, **fields: Any) -> Json:
    """A piece of a call: `id`, `name`, `arguments`."""
    function = {name: fields[name] for name in ("name", "arguments") if name in fields}
    kind = {"id": fields["id"], "type": "function"} if "id" in fields else {}
    return {"index": index, **kind, "function": function}


# -- Messages ----------------------------------------------------------------------------------------


def message(*blocks: Json, stop: Any = "end_turn", usage: Any = None, **fields: Any) -> Json:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": list(blocks),
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": USED if usage is None else usage,
        **fields,
    }


def claude(*blocks: Json, **fields: Any) -> Exact:
    """A whole answer; `ok` where no block is given."""
    said = message(*(blocks or (text("ok"),)), **fields)
    return whole(said, headers={"request-id": "req_of_nobody"})


def named(kind: str, **fields: Any) -> bytes:
    """One event of a Messages stream."""
    return event({"type": kind, **fields}, b"event: " + kind.encode())


def opening(**usage: Any) -> bytes:
    return named("message_start", message=message(stop=None, usage={**USED, "output_tokens": 1, **usage}))


def block(index: int, start: Json, *deltas: Json) -> list[bytes]:
    """A block with all its deltas."""
    pieces = [named("content_block_delta", index=index, delta=delta) for delta in deltas]
    begun = named("content_block_start", index=index, content_block=start)
    return [begun, *pieces, named("content_block_stop", index=index)]


def words(index: int, *pieces: str) -> list[bytes]:
    return block(index, text(""), *({"type": "text_delta", "text": piece} for piece in pieces))


def thought(index: int, said: str, signature: str = SIGNED) -> list[bytes]:
    start = {"type": "thinking", "thinking": "", "signature": ""}
    proof = {"type": "signature_delta", "signature": signature}
    return block(index, start, {"type": "thinking_delta", "thinking": said}, proof)


def use(index: int, call_id: str, *pieces: str) -> list[bytes]:
    start = {"type": "tool_use", "id": call_id, "name": "weather", "input": {}}
    return block(index, start, *({"type": "input_json_delta", "partial_json": piece} for piece in pieces))


def closing(stop: str = "end_turn", usage: Any = None, **delta: Any) -> list[bytes]:
    told = {"stop_reason": stop, "stop_sequence": None, **delta}
    counts = {"output_tokens": 8, **(usage or {})}
    return [named("message_delta", delta=told, usage=counts), named("message_stop")]


def claude_stream(*parts: bytes | list[bytes], **options: Any) -> Exact:
    flat = [one for part in parts for one in (part if isinstance(part, list) else [part])]
    return streamed(*flat, **options)


def failure(kind: str = "overloaded_error", words: str = "Overloaded", **more: Any) -> bytes:
    return named("error", error={"type": kind, "message": words}, **more)
