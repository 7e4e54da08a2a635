"""What travels with a client of Responses unread, in the `encrypted_content` of an item.

Clients keep nothing of a reasoning item but that field, and send it back. So there go the blocks of reasoning
that another dialect needs back as they were: the text of a chat server's, the signature of Claude's. And the
summary of a conversation that was compacted. Nothing of it is secret from the client, who could have asked in
the other dialect and been told; the prefix tells it from what OpenAI encrypts.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

from farthing.dialects.conversation import Reasoning
from farthing.text.lenient_json import any_json, write_json
from farthing.types import Json

PREFIX = "fth1."


def is_ours(encrypted: str) -> bool:
    return encrypted.startswith(PREFIX)


def of_reasoning(block: Reasoning) -> str:
    """`block` as `encrypted_content`."""
    told = {"t": block.text, "s": block.signature, "r": block.redacted, "m": block.maker, "x": block.extras}
    return _wrapped({name: value for name, value in told.items() if value})


def reasoning_of(encrypted: str) -> Reasoning | None:
    """The block that `of_reasoning` put there; None: there is none, or a client has changed it."""
    told = _opened(encrypted)
    text, signature, redacted, maker = (told.get(name, "") for name in "tsrm")
    extras = told.get("x", {})
    texts = (text, signature, redacted, maker)
    if (
        not told
        or "c" in told
        or not isinstance(extras, dict)
        or any(one.__class__ is not str for one in texts)
    ):
        return None
    return Reasoning(text, signature, redacted, maker, extras)


def of_summary(text: str) -> str:
    """The summary of a compacted conversation as `encrypted_content`."""
    return _wrapped({"c": text})


def summary_of(encrypted: str) -> str | None:
    """What `of_summary` put there; None: there is none, or a client has changed it."""
    text = _opened(encrypted).get("c")
    return text if isinstance(text, str) else None


def _wrapped(value: Json) -> str:
    return PREFIX + urlsafe_b64encode(write_json(value)).decode()


def _opened(encrypted: str) -> Json:
    if not is_ours(encrypted):
        return {}
    try:
        value: Any = any_json(urlsafe_b64decode(encrypted.removeprefix(PREFIX).encode()))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
