"""What Gemini signs of its thoughts, in the forms in which clients carry it.

A signature stands beside the call, or the text, that it proves, and Gemini 3 refuses a call in a history
without one. Clients of chat keep it at the call, as Google's own endpoint for chat completions tells it
(`extra_content`); for clients of Messages and Responses it travels as that of a thought before the call
(`dialects.proofs`). A signature of a text is one of a thought behind it.
"""

from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from farthing.dialects import proofs
from farthing.dialects.conversation import Reasoning
from farthing.types import Json

EXTRA = "extra_content"
ANY = "skip_thought_signature_validator"
"""What Google's documentation names for calls that another model made."""
_MAKERS = ("google", "vertex")
"""Names that Google's two endpoints give their own fields."""


Note = Callable[[str, str, str], None]
"""Takes the id of a call, the name of its function and its signature; of a text its key and no name."""
Known = Callable[[str, str], str]
"""The signature of a call by its id and the name of its function, or of a text by its key and no name; empty:
it is not known."""


def forget(call_id: str, name: str, signature: str) -> None:
    """Note nothing."""


def unknown(call_id: str, name: str) -> str:
    """Know nothing."""
    return ""


class Proof:
    """What one block of a history proves."""

    __slots__ = ("call_id", "signature", "text")

    def __init__(self, signature: str, call_id: str = "", text: bool = False) -> None:
        self.signature = signature
        self.call_id = call_id
        """Of the call that it belongs to; empty: the next one."""
        self.text = text
        """It belongs to the text before it."""


def told_at_call(signature: str) -> Json:
    """The fields of a call that carry its signature."""
    return {EXTRA: {"google": {"thought_signature": signature}}}


def at(extras: Json) -> str:
    """The signature that the fields of a call or of a message carry; empty: none."""
    extra: Any = extras.get(EXTRA)
    for maker in _MAKERS if isinstance(extra, dict) else ():
        told = extra.get(maker)
        signature = told.get("thought_signature") if isinstance(told, dict) else None
        if isinstance(signature, str) and signature:
            return signature
    return ""


def of_text(signature: str) -> Reasoning:
    """The thought that carries the signature of the text before it."""
    return Reasoning("", carried(signature), "", "messages")


def key_of_text(text: str) -> str:
    """What the signature of a text is remembered by, in the place of the id of a call."""
    return blake2b(text.strip().encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def carried(signature: str) -> str:
    """`signature` as that of a thought that any client sends back."""
    return proofs.carried({"thought_signature": signature})


def proof_of(thought: Reasoning) -> Proof | None:
    """What `thought` proves to Gemini; None: nothing."""
    if thought.maker == proofs.MAKER:
        return _of_detail(thought.extras)
    if not proofs.is_proof(thought.signature):
        return None
    told = proofs.opened(thought.signature)
    text = told.get("thought_signature")
    if isinstance(text, str) and text:
        return Proof(text, text=True)
    detail = told.get("detail")
    if isinstance(detail, dict):
        return _of_detail(detail)
    signature = at(told)
    return Proof(signature, _str(told.get("id"))) if signature else None


def _of_detail(detail: Json) -> Proof | None:
    """OpenRouter's form."""
    signature = _str(detail.get("data")) or _str(detail.get("signature"))
    return Proof(signature, _str(detail.get("id"))) if signature else None


def _str(value: Any) -> str:
    return value if isinstance(value, str) else ""
