"""What Gemini signs of its thoughts, in the forms in which clients carry it.

A signature stands beside the call, or the text, that it proves, and Gemini 3 refuses a call in a history
without one. Clients of chat keep it at the call, as Google's own endpoint for chat completions tells it
(`extra_content`); for clients of Messages and Responses it travels as that of a thought before the call
(`dialects.proofs`). A signature of a text is one of a thought behind it.

Google refuses a signature that was given out in another project, or by the other of its two interfaces:
each is carried with the name of the provider that gave it out, and goes back to that one alone. One that
names nobody, as one that its client has from elsewhere, goes up as it is.
"""

from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from farthing.dialects import proofs
from farthing.dialects.conversation import Reasoning
from farthing.types import Json

EXTRA = "extra_content"
OURS = "farthing"
"""Beside Google's fields in `extra_content`: what we say of them."""
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


def told_at_call(signature: str, provider: str = "") -> Json:
    """The fields of a call that carry its signature, which `provider` gave out; empty: that is not known."""
    told: Json = {"google": {"thought_signature": signature}}
    return {EXTRA: {**told, OURS: {"provider": provider}} if provider else told}


def is_anothers(extras: Json, provider: str) -> bool:
    """Whether the fields of a call or of a message carry a signature that is not for `provider`."""
    extra: Any = extras.get(EXTRA)
    ours = extra.get(OURS) if isinstance(extra, dict) else None
    return isinstance(ours, dict) and proofs.maker_of(ours) not in ("", provider)


def unnamed(extra: Any) -> Any:
    """`extra_content` for who gave out no signature with a name: the documented one in place of another's."""
    return {"google": {"thought_signature": ANY}} if extra.__class__ is dict and OURS in extra else extra


def unnamed_in(messages: Any) -> Any:
    """Messages of chat as `unnamed`; the same list where no call carries a name."""
    if messages.__class__ is not list:
        return messages
    told = [_unnamed_message(message) for message in messages]
    return told if any(new is not old for new, old in zip(told, messages, strict=True)) else messages


def _unnamed_message(message: Any) -> Any:
    calls = message.get("tool_calls") if message.__class__ is dict else None
    if calls.__class__ is not list:
        return message
    extras = [call.get(EXTRA) if call.__class__ is dict else None for call in calls]
    told = [unnamed(extra) for extra in extras]
    if all(new is old for new, old in zip(told, extras, strict=True)):
        return message
    calls = [
        call if new is old else {**call, EXTRA: new}
        for call, new, old in zip(calls, told, extras, strict=True)
    ]
    return {**message, "tool_calls": calls}


def at(extras: Json, provider: str = "") -> str:
    """The signature for `provider` that the fields of a call or of a message carry; empty: none."""
    extra: Any = extras.get(EXTRA)
    if is_anothers(extras, provider):
        return ""
    for maker in _MAKERS if isinstance(extra, dict) else ():
        told = extra.get(maker)
        signature = told.get("thought_signature") if isinstance(told, dict) else None
        if isinstance(signature, str) and signature:
            return signature
    return ""


def of_text(signature: str, provider: str) -> Reasoning:
    """The thought that carries the signature of the text before it."""
    return Reasoning("", carried(signature, provider), "", "messages")


def key_of_text(text: str) -> str:
    """What the signature of a text is remembered by, in the place of the id of a call."""
    return blake2b(text.strip().encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def carried(signature: str, provider: str) -> str:
    """`signature`, which `provider` gave out, as that of a thought that any client sends back."""
    return proofs.carried({"thought_signature": signature}, provider)


def proof_of(thought: Reasoning, provider: str = "") -> Proof | None:
    """What `thought` proves to Gemini at `provider`; None: nothing."""
    if thought.maker == proofs.MAKER:
        return _of_detail(thought.extras)
    if not proofs.is_proof(thought.signature):
        return None
    told = proofs.opened(thought.signature)
    if proofs.maker_of(told) not in ("", provider):
        return None
    text = told.get("thought_signature")
    if isinstance(text, str) and text:
        return Proof(text, text=True)
    detail = told.get("detail")
    if isinstance(detail, dict):
        return _of_detail(detail)
    signature = at(told, provider)
    return Proof(signature, _str(told.get("id"))) if signature else None


def _of_detail(detail: Json) -> Proof | None:
    """OpenRouter's form."""
    signature = _str(detail.get("data")) or _str(detail.get("signature"))
    return Proof(signature, _str(detail.get("id"))) if signature else None


def _str(value: Any) -> str:
    return value if isinstance(value, str) else ""
