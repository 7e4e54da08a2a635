"""Signatures of thinking: proof that a block is the provider's own, and of what stood before it."""

import base64
import hashlib
import hmac
from typing import Final

from tests.faults.messages_prompt import blocks_in, joined, plain
from tests.faults.said import Json

KEY: Final = b"of every provider of the tests: what one signs another knows"
MAC_BYTES: Final = 32


def before(body: Json, messages: int) -> str:
    """What a block of the answer to the first so many `messages` is bound to: their values, and those of
    system and tools. Neighbours of one role are one turn."""
    turns = [[role, blocks] for role, _, blocks in joined(body["messages"][:messages])]
    return plain([list(blocks_in(body.get("system") or ())), body.get("tools") or [], turns])


def sign(thought: str, bound_to: str) -> str:
    return base64.b64encode(_mac("thought", thought) + _mac("bound", bound_to)).decode()


def is_own(thought: str, signature: str) -> bool:
    return hmac.compare_digest(_decoded(signature)[:MAC_BYTES], _mac("thought", thought))


def is_bound(signature: str, bound_to: str) -> bool:
    return hmac.compare_digest(_decoded(signature)[MAC_BYTES:], _mac("bound", bound_to))


def hide(thought: str) -> str:
    """The data of a redacted block."""
    given = thought.encode("utf-8", "surrogatepass")
    return base64.b64encode(_mac("hidden", thought) + given).decode()


def is_hidden(data: str) -> bool:
    given = _decoded(data)
    thought = given[MAC_BYTES:].decode("utf-8", "surrogatepass")
    return hmac.compare_digest(given[:MAC_BYTES], _mac("hidden", thought))


def _mac(purpose: str, value: str) -> bytes:
    return hmac.digest(KEY, f"{purpose} {value}".encode("utf-8", "surrogatepass"), hashlib.sha256)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""
