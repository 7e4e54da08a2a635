"""The operations that are passed through, as data: what each takes, answers, and what its output is."""

from collections.abc import Collection, Iterator
from typing import Any, Literal

from msgspec import Struct

from farthing.types import Json, Operation, Prompt

Family = Literal["moderations", "images", "audio", "rerank"]
"""Several operations by one name, as the configuration writes them."""
DATA_URL = "data:"


class Passing(Struct, frozen=True, kw_only=True):
    """One operation that is passed through."""

    operation: Operation
    texts: tuple[str, ...]
    """Fields whose texts a model reads, for guardrails and rules."""
    forms: bool = False
    """Its body may be a form (`multipart/form-data`)."""
    model: str = ""
    """The model that providers take where the client names none; empty: it has to name one."""
    streamed: Literal["never", "asked", "always"] = "never"
    """Whether the answer is sent on as it comes: where `stream` asks for events, or in any case."""
    output: Literal["text", "image", "audio"] = "text"
    """What its tokens of output are."""

    @property
    def path(self) -> str:
        """Below the base URL, of clients and of providers."""
        return f"/{self.operation}"

    @property
    def family(self) -> str:
        return self.operation.partition("/")[0]


COMPLETIONS = Passing(operation="completions", texts=("prompt", "suffix"), streamed="asked")
"""OpenAI's completions of before chat, at providers that are said to have them; for others they are chats."""
_TABLE = (
    Passing(operation="moderations", texts=("input",), model="omni-moderation-latest"),
    Passing(
        operation="images/generations", texts=("prompt",), model="dall-e-2", streamed="asked", output="image"
    ),
    Passing(
        operation="images/edits",
        texts=("prompt",),
        forms=True,
        model="dall-e-2",
        streamed="asked",
        output="image",
    ),
    Passing(operation="images/variations", texts=(), forms=True, model="dall-e-2", output="image"),
    Passing(operation="audio/speech", texts=("input", "instructions"), streamed="always", output="audio"),
    Passing(operation="audio/transcriptions", texts=("prompt",), forms=True, streamed="asked"),
    Passing(operation="audio/translations", texts=("prompt",), forms=True),
    Passing(operation="rerank", texts=("query", "documents")),
)
DOORS: dict[Operation, Passing] = {one.operation: one for one in _TABLE}
"""What has a door of its own."""
PASSING: dict[Operation, Passing] = {**DOORS, "completions": COMPLETIONS}


def operations_of(names: Collection[str]) -> frozenset[Operation]:
    """The operations that `names` mean, each one or a family of them."""
    return frozenset(one.operation for one in _TABLE if one.operation in names or one.family in names)


def wants_events(passing: Passing, body: Json) -> bool:
    """Whether the client asks for server-sent events."""
    if passing.streamed == "always":
        return body.get("stream_format") == "sse"
    return passing.streamed == "asked" and body.get("stream") in (True, "true", "True", "1")


def texts_of(passing: Passing, body: Json) -> Iterator[str]:
    """Every text in `body` that a model reads, in its order; no encoded data."""
    for name in passing.texts:
        yield from _texts_in(body.get(name))


def _texts_in(value: Any) -> Iterator[str]:
    rest = [value]
    while rest:
        one = rest.pop()
        if isinstance(one, str):
            if not one.startswith(DATA_URL):
                yield one
        elif isinstance(one, list):
            rest.extend(reversed(one))
        elif isinstance(one, dict):
            rest.extend([item for name, item in reversed(one.items()) if name != "type"])


def passing_of(prompt: Prompt) -> Passing | None:
    """What is passed through; None: `prompt` is no such request."""
    sent = prompt.sent
    return None if sent is None or not sent.operation else PASSING.get(sent.operation)
