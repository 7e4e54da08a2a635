"""A whole answer as a chat completion.

What chat has no place for goes beside it under the names other gateways use: `reasoning_content` is the text
that was thought, `thinking_blocks` the same with its signatures. A client that sends the message back as it
came sends them with it, and the provider gets its own reasoning again.
"""

from farthing.dialects.conversation import (
    Block,
    Image,
    Inline,
    Link,
    Message,
    Reasoning,
    Refusal,
    Stop,
    Text,
    ToolCall,
)
from farthing.text.lenient_json import write_json
from farthing.types import Json, Usage

PROOF = "extra_content"
"""What stands beside a call, for its provider alone, as Google's own endpoint for chat completions tells it:
clients send it back."""
TIER = "service_tier"
"""What of the further fields of an answer stands in a completion too: the tier that ran."""
FINISHES: dict[Stop, str] = {
    "end": "stop",
    "stop_sequence": "stop",
    "tool_calls": "tool_calls",
    "length": "length",
    "context": "length",
    "pause": "length",
    "refusal": "content_filter",
    "filter": "content_filter",
    "unknown": "length",
}
"""What is not known to be whole is told as cut: nobody takes it for the whole answer, and it is not kept."""


def write(
    message: Message, *, request_id: str, created: int, legacy_functions: bool = False, model: str = ""
) -> bytes:
    """The body of a `chat.completion`. `created` is in seconds since 1970; `model` takes the place of the one
    in `message`; `legacy_functions`: the client told its tools as `functions`, so it expects `function_call`.
    """
    told = message_of(message, legacy_functions)
    called = next((name for name in ("tool_calls", "function_call") if name in told), "")
    finish = finish_of(message.stop, message.stop_said, called, message.stop_sequence)
    body: Json = {
        "id": request_id,
        "object": "chat.completion",
        "created": created,
        "model": model or message.model,
        "choices": [{"index": 0, "message": told, "logprobs": None, **finish}],
    }
    if message.usage is not None:
        body["usage"] = usage_of(message.usage)
    if TIER in message.extras:
        body[TIER] = message.extras[TIER]
    return write_json(body)


def message_of(message: Message, legacy_functions: bool = False) -> Json:
    """The assistant message of an answer."""
    blocks = message.blocks
    texts = [block for block in blocks if isinstance(block, Text)]
    refusals = [block.text for block in blocks if isinstance(block, Refusal)]
    calls = [call_of(block) for block in blocks if isinstance(block, ToolCall)]
    content: str | None = None
    if texts or (message.stop == "end" and not (calls or refusals)):
        content = "".join([block.text for block in texts])
    refusal = "".join(refusals) or message.refused_why or None
    told: Json = {"role": "assistant", "content": content, "refusal": refusal}
    if len(texts) + len(calls) < len(blocks):
        _add_reasoning(told, blocks)
    if calls:
        if legacy_functions and len(calls) == 1 and "function" in calls[0]:
            told["function_call"] = calls[0]["function"]
        else:
            told["tool_calls"] = calls
    images = [image for block in blocks if isinstance(block, Image) and (image := image_of(block))]
    if images:
        told["images"] = images
    if any(block.citations for block in texts):
        told["annotations"] = _annotations(texts)
    return told


def _add_reasoning(told: Json, blocks: tuple[Block, ...]) -> None:
    thoughts = [block for block in blocks if isinstance(block, Reasoning)]
    text = "".join([thought.text for thought in thoughts])
    if text:
        told["reasoning_content"] = text
    if not thoughts:
        return
    thinking = []
    texts = calls = 0
    for block in blocks:
        if isinstance(block, Text):
            texts = 1
        elif isinstance(block, ToolCall):
            calls += 1
        elif isinstance(block, Reasoning):
            thinking.append(thinking_block(block, texts + calls))
    told["thinking_blocks"] = thinking


def _annotations(texts: list[Text]) -> list[Json]:
    found = []
    start = 0
    for block in texts:
        end = start + len(block.text)
        found += [annotation_of(citation, start, end) for citation in block.citations]
        start = end
    return [annotation for annotation in found if annotation is not None]


def call_of(call: ToolCall, without: str = "{}") -> Json:
    """A call as chat has it. `without`: what stands for arguments where there are none."""
    if call.custom:
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    function = {"name": call.name, "arguments": call.arguments or without}
    told: Json = {"id": call.id, "type": "function", "function": function}
    if PROOF in call.extras:
        told[PROOF] = call.extras[PROOF]
    return told


def image_of(image: Image) -> Json | None:
    """An image that the model made, as other gateways tell it beside the text; None: it is only named."""
    match image.source:
        case Inline(media_type=media_type, data=data):
            url = f"data:{media_type};base64,{data}"
        case Link(url=url):
            pass
        case _:
            return None
    return {"type": "image_url", "image_url": {"url": url}}


def thinking_block(block: Reasoning, at: int) -> Json:
    """Reasoning as it has to come back. `at`: how many blocks stood before it, all text counted as one; told
    only where there were some."""
    told: Json
    if block.redacted:
        told = {"type": "redacted_thinking", "data": block.redacted}
    else:
        told = {"type": "thinking", "thinking": block.text, "signature": block.signature}
    if at:
        told["at"] = at
    return told


def annotation_of(citation: Json, start: int, end: int) -> Json | None:
    """A page that was found on the web, for what `content[start:end]` says, or a part of that which the page
    is told with; None: it is another source."""
    url = citation.get("url")
    if not isinstance(url, str) or not url:
        return None
    title, first, last = citation.get("title"), citation.get("start_index"), citation.get("end_index")
    if first.__class__ is int and last.__class__ is int and 0 <= first <= last <= end - start:
        start, end = start + first, start + last
    cited = {"start_index": start, "end_index": end, "url": url}
    return {
        "type": "url_citation",
        "url_citation": {**cited, "title": title if isinstance(title, str) else ""},
    }


def finish_of(stop: Stop, said: str, called: str, sequence: str | None = None) -> Json:
    """The fields of a choice that say why it ended. `called` is how calls were told, `tool_calls` or
    `function_call`; empty: there are none. The provider's own word stands beside ours where ours tells less,
    and the stop sequence that was found under the name that vLLM gives it.
    """
    finish = FINISHES[stop]
    if finish == "tool_calls" or (called and finish == "stop"):  # some servers tell a forced call as an end
        finish = called or "stop"
    told: Json = {"finish_reason": finish}
    if said and stop in ("stop_sequence", "context", "pause", "refusal", "filter", "unknown"):
        told["native_finish_reason"] = said
    if stop == "stop_sequence" and sequence:
        told["stop_reason"] = sequence
    return told


def usage_of(usage: Usage) -> Json:
    """Usage in OpenAI's form, in which the prompt holds what went by the prefix cache, with Anthropic's own
    names beside it where the cache was used."""
    written = (
        usage.cache_write_5m_tokens
        + usage.cache_write_30m_tokens
        + usage.cache_write_1h_tokens
        + usage.cache_write_12h_tokens
    )
    details: Json = {"cached_tokens": usage.cached_tokens}
    told: Json = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": details,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
    if written or usage.cached_tokens:
        details["cache_write_tokens"] = written
        told["cache_read_input_tokens"] = usage.cached_tokens
        told["cache_creation_input_tokens"] = written
        told["cache_creation"] = {
            "ephemeral_5m_input_tokens": usage.cache_write_5m_tokens,
            "ephemeral_1h_input_tokens": usage.cache_write_1h_tokens,
        }
    if usage.tier:
        told["service_tier"] = usage.tier
    if usage.region:
        told["inference_geo"] = usage.region.removeprefix("inference_geo_")
    if usage.fees:
        told["server_tool_use"] = {f"{name}_requests": count for name, count in usage.fees.items()}
    return told
