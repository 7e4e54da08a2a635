"""The tokens of a whole chat prompt: what the messages hold, and what the chat format adds.

OpenAI has published the overhead for plain messages (its cookbook, "How to count tokens"); how tools
are rendered is not published. What a provider reports as usage is the truth, and replaces this.
"""

import msgspec

from farthing.protocols import TokenCounter
from farthing.text.media import Measure
from farthing.text.media_rules import rules_of
from farthing.types import Json

MESSAGE_TOKENS = 3
_COUNTED = frozenset({
    "cache_control", "content", "name", "refusal", "role", "tool_call_id", "tool_calls", "type",
})  # fmt: skip
"""Fields of a message that are counted by themselves, or are not text."""
NAME_TOKENS = 1
REPLY_TOKENS = 3  # every reply is primed with an assistant header
TOOLS_TOKENS = 9  # the wrapping of a tool list, where there is one


def count_chat(counter: TokenCounter, body: Json, model: str) -> int:
    """About how many input tokens the chat request `body` has for `model`.

    Exact for plain text messages when `counter` is. Images, audio and files count as `media` estimates them,
    tools as their compact JSON. Fields of unexpected types count nothing; checking them is not done here.
    """
    found = Measure(rules_of(model), [])
    return count_text(counter, body, model, found) + found.media_tokens


def count_text(counter: TokenCounter, body: Json, model: str, found: Measure) -> int:
    """As `count_chat`, of the text alone; `found`, which collects texts, gets the parts that are none."""
    messages = body.get("messages")
    total = REPLY_TOKENS
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict):
            total += _message_tokens(counter, message, model, found)
    total += sum(counter.count(text, model) for text in found.texts or ())
    tools = body.get("tools")
    if isinstance(tools, list) and tools:
        total += TOOLS_TOKENS + counter.count(msgspec.json.encode(tools).decode(), model)
    for name in ("functions", "response_format"):
        if body.get(name):
            total += counter.count(msgspec.json.encode(body[name]).decode(), model)
    return total


def _message_tokens(counter: TokenCounter, message: Json, model: str, found: Measure) -> int:
    total = MESSAGE_TOKENS
    if isinstance(message.get("name"), str):
        total += NAME_TOKENS
    for key in ("role", "name", "tool_call_id", "refusal"):
        value = message.get(key)
        if isinstance(value, str):
            total += counter.count(value, model)
    content = message.get("content")
    if isinstance(content, str):
        total += counter.count(content, model)
    elif isinstance(content, list):
        found.add(content)
    for key, value in message.items():  # function_call, reasoning_content, what a day to come has
        if key not in _COUNTED:
            found.add({key: value})
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        total += MESSAGE_TOKENS
        found.add(call if function is None else function)
    return total
