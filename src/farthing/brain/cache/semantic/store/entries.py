"""The types that the semantic cache stores, and how a stored question is asked again."""

from typing import Literal

import msgspec
from msgspec import Struct

from farthing.brain.cache.keys import SAME_ANSWER, reduced
from farthing.brain.cache.semantic.scope import with_question
from farthing.text.media import measure
from farthing.types import CacheHit, Dialect, Endpoint, Json, Request, Tenant, edited, output_tokens_said

RECIPE_BYTES_MAX = 65_536  # background jobs cannot ask a longer prompt again

Trust = Literal["fresh", "doubted"]
"""`doubted`: not served until a fresh answer agrees."""


class Entry(Struct, frozen=True, kw_only=True):
    """An answer with its question, on its way into the store."""

    partition: bytes
    question: str
    normalised: str
    vector: bytes
    """The unit vector of the question in half precision."""
    answer: CacheHit
    endpoint: str
    tenant: str
    language: str = "unknown"
    target: str = ""
    policy: str = ""
    embedder: str = ""
    documents_version: str = ""
    documents: tuple[tuple[str, str], ...] = ()
    """Id and version of each document of the answer; the version may be empty."""
    tags: tuple[str, ...] = ()
    created_unix_s: float
    expires_unix_s: float
    request_id: str = ""
    """The request whose answer this is."""
    user: str = ""
    """Digest of the user who asked."""


class Head(Struct, frozen=True, kw_only=True):
    """The part of a candidate that is read before one is chosen."""

    key: int
    question: str
    normalised: str
    vector: bytes
    trust: Trust
    documents: tuple[tuple[str, str], ...]


class RequestTemplate(Struct, frozen=True, kw_only=True):
    """Everything of a request except the question's words; together they can be asked again as before."""

    tenant: Tenant
    endpoint: str
    model: str
    body: Json
    """As the client sent it, with an empty last question and without fields that cannot change an answer."""
    tier: str | None = None
    task_type: str | None = None
    language: str | None = None
    retrieval: bool = False
    context_tokens: int = 0
    documents: tuple[str, ...] = ()
    passed: tuple[tuple[str, str], ...] = ()
    dialect: Dialect = "chat"
    """The one that its client spoke, of whose fields there may be some in `body`."""


class Doubted(Struct, frozen=True, kw_only=True):
    """An entry that waits for a fresh answer."""

    entry: str
    question: str
    recipe: RequestTemplate
    cost_nusd: int | None
    hits: int


_encode = msgspec.msgpack.Encoder().encode
_decode_recipe = msgspec.msgpack.Decoder(RequestTemplate).decode


def entry_id(key: int) -> str:
    """The id of an entry, as receipts and people use it."""
    return f"e{key}"


def entry_key(entry: str) -> int | None:
    """The number of an entry; None if `entry` is not an id."""
    number = entry.removeprefix("e")
    return int(number) if number.isdecimal() and len(number) < 19 and entry.startswith("e") else None


def recipe_of(request: Request) -> bytes | None:
    """The encoded template of a request that has a scope; None if it is too long to keep."""
    if request.prompt_chars > RECIPE_BYTES_MAX:
        return None
    body = reduced(request.body)
    recipe = RequestTemplate(
        tenant=request.tenant,
        endpoint=request.endpoint.name,
        model=request.model,
        body=with_question(body, ""),
        tier=request.tier,
        task_type=request.task_type,
        language=request.language,
        retrieval=request.retrieval,
        context_tokens=request.context_tokens,
        documents=request.documents,
        passed=tuple(pair for pair in request.passed if pair[0] not in SAME_ANSWER),
        dialect="chat" if request.sent is None else request.sent.dialect,
    )
    encoded = _encode(recipe)
    return encoded if len(encoded) <= RECIPE_BYTES_MAX else None


def read_recipe(encoded: bytes) -> RequestTemplate | None:
    """None: it was written by another version."""
    try:
        return _decode_recipe(encoded)
    except msgspec.MsgspecError:
        return None


def request_of(
    recipe: RequestTemplate, question: str, *, request_id: str, endpoint: Endpoint, received_s: float
) -> Request:
    """The question as a request of the same tenant, under the terms of `endpoint`. It lies in the same
    partition as long as the policy, the embedder and the endpoint's documents are unchanged."""
    body = with_question(recipe.body, question)
    found = measure(body)
    tokens_max = body.get("max_completion_tokens") or body.get("max_tokens")
    return Request(
        id=request_id,
        tenant=recipe.tenant,
        endpoint=endpoint,
        operation="chat",
        model=recipe.model,
        body=body,
        text=question,
        prompt_chars=found.chars,
        media_tokens=found.media_tokens,
        output_tokens_max=output_tokens_said(tokens_max),
        tier=recipe.tier,
        task_type=recipe.task_type,
        language=recipe.language,
        retrieval=recipe.retrieval,
        context_tokens=recipe.context_tokens,
        documents=recipe.documents,
        passed=recipe.passed,
        received_s=received_s,
        sent=None if recipe.dialect == "chat" else edited(recipe.dialect),
    )
