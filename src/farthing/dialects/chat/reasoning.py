"""The reasoning of an earlier answer in a chat message, in the forms that clients send it back in.

`thinking_blocks` is the whole of it (ours and LiteLLM's form, of Anthropic's blocks); `reasoning_details` is
OpenRouter's; `reasoning_content` and `reasoning` are text alone, which no provider takes for its own.
"""

from typing import Any

from farthing.dialects.conversation import Reasoning
from farthing.types import Json

MAKERS = {"anthropic-claude-v1": "messages", "openai-responses-v1": "responses", "google-gemini-v1": "gemini"}
"""OpenRouter's names for whose opaque data it is, and the dialects that it is opaque to all but."""

BY_NAME = "chat"
"""The maker of a thought that a server of chat told as `reasoning_content`, so that it knows that field."""
Placed = tuple[int, Reasoning]
"""How many other blocks stood before it, all text counted as one."""


def reasoning_of(message: Json) -> list[Placed]:
    """What was thought, in order; of several forms the one that tells most. Odd entries are left out."""
    blocks = message.get("thinking_blocks")
    if blocks.__class__ is list and blocks:
        return [_block(block) for block in blocks if block.__class__ is dict]
    details = message.get("reasoning_details")
    if details.__class__ is list and details:
        return [(0, _detail(detail)) for detail in details if detail.__class__ is dict]
    for name in ("reasoning_content", "reasoning"):
        text = message.get(name)
        if text.__class__ is str and text:
            return [(0, Reasoning(text))]
    return []


def _block(block: Json) -> Placed:
    at = block.get("at")
    place = at if at.__class__ is int and 0 <= at < 10_000 else 0
    signature, redacted = _str(block.get("signature")), _str(block.get("data"))
    return place, Reasoning(_str(block.get("thinking")), signature, redacted, "messages")


def _detail(detail: Json) -> Reasoning:
    signature, redacted = _str(detail.get("signature")), _str(detail.get("data"))
    maker = MAKERS.get(_str(detail.get("format")), "") if signature or redacted else ""
    text = _str(detail.get("text")) or _str(detail.get("summary"))
    return Reasoning(text, signature, redacted, maker, detail)


def _str(value: Any) -> str:
    return value if isinstance(value, str) else ""
