"""Proofs of what other models thought, as a client of Messages or of chat carries them.

Gemini proves what it thought before a call in a field beside the call (`extra_content`), or at OpenRouter in
`reasoning_details`, and refuses the call in a history without it. Messages has one place that clients send
back unread, the signature of a `thinking` block: there the proof travels, under a name that tells it from a
signature of Claude's.

A provider that speaks Responses wants its reasoning items back, encrypted content and all. They travel the
same way.

What is carried names the provider that made it, where the gateway knows that: each refuses what another
project or account has made, be it of the same model. A signature of Claude's names nobody: Anthropic, Bedrock
and Vertex take each other's.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

from farthing.dialects.conversation import Reasoning
from farthing.text.lenient_json import any_json, write_json
from farthing.types import Json

PREFIX = "gemini-proof."
MAKER = "gemini"
ITEM_PREFIX = "responses-item."
_MAKER = "provider"


def of_call(call: Json, call_id: str) -> Reasoning | None:
    """The thought whose proof stands at `call`, of which the client knows `call_id`. None: there is none."""
    extra = call.get("extra_content")
    if extra.__class__ is not dict or not extra:
        return None
    return Reasoning("", carried({"id": call_id, "extra_content": extra}), "", "messages")


def of_thought(thought: Reasoning) -> Reasoning:
    """`thought` with its proof as a client of Messages can carry it, if it is Gemini's and has one."""
    if thought.maker != MAKER or not (thought.redacted or thought.signature):
        return thought
    return Reasoning(thought.text, carried({"detail": dict(thought.extras)}), "", "messages")


def is_proof(signature: str) -> bool:
    return signature.startswith(PREFIX)


def is_of_text(signature: str) -> bool:
    """Whether it proves the text before it (`gemini.signatures.of_text`)."""
    return is_proof(signature) and "thought_signature" in opened(signature)


def is_signed(signature: str) -> bool:
    """Whether it is a signature, and one of a model that speaks Messages."""
    return bool(signature) and not signature.startswith((PREFIX, ITEM_PREFIX))


def of_item(item: Json, provider: str) -> str:
    """The signature that carries a reasoning item of `provider`, whole."""
    return carried({"item": item}, provider, ITEM_PREFIX)


def item_of(signature: str, provider: str) -> Json | None:
    """The reasoning item in a signature, for the `provider` that made it; None: there is none, or it is
    another's. An item of another kind is none: it would go up unread by the guardrails."""
    if not signature.startswith(ITEM_PREFIX):
        return None
    told = _opened(signature, ITEM_PREFIX)
    item = told.get("item")
    if maker_of(told) != provider or not isinstance(item, dict):
        return None
    return item if item.get("type") == "reasoning" else None


def opened(signature: str) -> Json:
    """What `of_call` or `of_thought` has put in `signature`; empty where a client has changed it."""
    return _opened(signature, PREFIX)


def maker_of(told: Json) -> str:
    """The provider that made what is carried; empty: nobody says who did."""
    maker = told.get(_MAKER)
    return maker if isinstance(maker, str) else ""


def _opened(signature: str, prefix: str) -> Json:
    try:
        raw = urlsafe_b64decode(signature.removeprefix(prefix))
    except ValueError:
        return {}
    value: Any = any_json(raw)
    return value if isinstance(value, dict) else {}


def carried(value: Json, provider: str = "", prefix: str = PREFIX) -> str:
    """The signature that carries `value`, which `provider` has made; empty: that is not known."""
    if provider:
        value = {_MAKER: provider, **value}
    return prefix + urlsafe_b64encode(write_json(value)).decode()
