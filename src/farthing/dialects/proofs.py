"""Proofs of Gemini's thoughts, as a client of Messages carries them.

Gemini proves what it thought before a call in a field beside the call (`extra_content`), or at OpenRouter in
`reasoning_details`, and refuses the call in a history without it. Messages has one place that clients send
back unread, the signature of a `thinking` block: there the proof travels, under a name that tells it from a
signature of Claude's.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

from farthing.dialects.conversation import Reasoning
from farthing.text.lenient_json import any_json, write_json
from farthing.types import Json

PREFIX = "gemini-proof."
MAKER = "gemini"


def of_call(call: Json, call_id: str) -> Reasoning | None:
    """The thought whose proof stands at `call`, of which the client knows `call_id`. None: there is none."""
    extra = call.get("extra_content")
    if extra.__class__ is not dict or not extra:
        return None
    return Reasoning("", _carried({"id": call_id, "extra_content": extra}), "", "messages")


def of_thought(thought: Reasoning) -> Reasoning:
    """`thought` with its proof as a client of Messages can carry it, if it is Gemini's and has one."""
    if thought.maker != MAKER or not (thought.redacted or thought.signature):
        return thought
    return Reasoning(thought.text, _carried({"detail": dict(thought.extras)}), "", "messages")


def is_proof(signature: str) -> bool:
    return signature.startswith(PREFIX)


def is_signed(signature: str) -> bool:
    """Whether it is a signature, and one of a model that speaks Messages."""
    return bool(signature) and not signature.startswith(PREFIX)


def opened(signature: str) -> Json:
    """What `of_call` or `of_thought` has put in `signature`; empty where a client has changed it."""
    try:
        raw = urlsafe_b64decode(signature.removeprefix(PREFIX))
    except ValueError:
        return {}
    value: Any = any_json(raw)
    return value if isinstance(value, dict) else {}


def _carried(value: Json) -> str:
    return PREFIX + urlsafe_b64encode(write_json(value)).decode()
