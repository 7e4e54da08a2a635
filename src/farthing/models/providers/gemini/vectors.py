"""Embeddings of Gemini (`batchEmbedContents`) for clients of OpenAI's."""

import struct
from base64 import b64encode
from typing import Any

from farthing.dialects.gemini.usage import read_usage
from farthing.dialects.written import Written
from farthing.errors import ProviderUnavailable
from farthing.text.lenient_json import NotJson, read_json, write_json
from farthing.types import Json

INPUTS_MAX = 100  # of one call, the provider's own
_SAME = {"task_type": "taskType", "taskType": "taskType", "title": "title"}
"""Fields of Gemini that a client may send beside those of OpenAI."""


def translate(body: Json, name: str) -> Written:
    """A request for embeddings of the model whose resource is called `name`."""
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given if isinstance(given, list) else []
    unsaid: list[str] = []
    reasons: dict[str, str] = {}
    if not texts or not all(isinstance(one, str) for one in texts):
        unsaid.append("input")
        reasons["input"] = "Gemini takes texts, not ids of tokens; send texts"
        texts = []
    more: Json = {}
    for field, value in body.items():
        if field in ("model", "input", "user", "encoding_format") or value is None:
            continue
        if field == "dimensions":
            more["outputDimensionality"] = value
        elif field in _SAME:
            more[_SAME[field]] = value
        else:
            unsaid.append(field)
    requests = [{"model": name, "content": {"parts": [{"text": text}]}, **more} for text in texts]
    yielded = ("user",) if body.get("user") else ()
    return Written({"requests": requests}, tuple(unsaid), yielded, reasons)


def answer(body: bytes, asked: Json) -> bytes:
    """The reply in OpenAI's form, which it has already where it was put together from those to parts.

    Raises:
        ProviderUnavailable: it has no vectors.
    """
    try:
        value = read_json(body)
    except NotJson as error:
        raise ProviderUnavailable(f"the reply is no answer: {error}") from None
    if isinstance(value, dict) and isinstance(value.get("data"), list):
        return body
    told = value.get("embeddings") if isinstance(value, dict) else None
    listed: list[Any] = told if isinstance(told, list) else []
    vectors: list[Any] = [one.get("values") for one in listed if isinstance(one, dict)]
    if not vectors or not all(isinstance(one, list) for one in vectors):
        raise ProviderUnavailable("the reply is no answer: there are no `embeddings`")
    packed = asked.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": at, "embedding": _packed(one) if packed else one}
        for at, one in enumerate(vectors)
    ]
    found: Json = {"object": "list", "data": data, "model": asked.get("model")}
    usage = read_usage(value.get("usageMetadata"))
    if usage is not None:
        found["usage"] = {"prompt_tokens": usage.input_tokens, "total_tokens": usage.input_tokens}
    return write_json(found)


def _packed(vector: list[Any]) -> str:
    """As OpenAI packs a vector: floats of four bytes, the lowest first.

    Raises:
        ProviderUnavailable: it has something else than numbers.
    """
    try:
        return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    except (struct.error, OverflowError):
        raise ProviderUnavailable("the reply is no answer: a vector is not of numbers") from None
