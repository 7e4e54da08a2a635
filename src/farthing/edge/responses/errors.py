"""Errors for clients of Responses. Pure functions.

Over HTTP they are OpenAI's error objects; those of a provider that speaks this dialect go out byte for byte.
Within a stream they are the `error` of a failed response.
"""

from farthing.edge import openai
from farthing.edge.overflow import CODES as OVERFLOWS
from farthing.edge.overflow import overflows
from farthing.errors import FarthingError, NoProviderLeft, ProviderError, StreamBroken
from farthing.text.lenient_json import write_json
from farthing.types import Json

TOO_LONG = "context_length_exceeded"
"""Codex shortens its conversation when it reads this code, and gives up otherwise."""
CODES = frozenset(
    {
        "server_error", "rate_limit_exceeded", "invalid_prompt", "data_residency_mismatch", "bio_policy",
        "misalignment_policy_violation", "vector_store_timeout", "invalid_image", "invalid_image_format",
        "invalid_base64_image", "invalid_image_url", "image_too_large", "image_too_small",
        "image_parse_error", "image_content_policy_violation", "invalid_image_mode", "image_file_too_large",
        "unsupported_image_media_type", "empty_image_file", "failed_to_download_image",
        "image_file_not_found",
        "insufficient_quota", "usage_not_included", "server_is_overloaded", "slow_down", "cyber_policy",
    }
)  # fmt: skip
"""Codes of a failed response: those in OpenAI's SDK, and those that Codex knows besides."""


def failed(error: FarthingError) -> tuple[int, bytes]:
    """Status and body of a request that failed."""
    one = own(error)
    if one is not None and one.own is not None:
        return error.status, one.own
    told = openai.error_object(error)
    status = error.status
    if overflows(error):
        status = 400
        told = {**told, "type": "invalid_request_error", "code": TOO_LONG}
    return status, write_json({"error": told})


def own(error: FarthingError) -> ProviderError | None:
    """The error of a provider that goes out as the provider wrote it; None: there is none, or it is to be
    written in this dialect."""
    one = error.passed_on if isinstance(error, NoProviderLeft) else None
    return one if one is not None and one.own else None


def own_event(error: FarthingError) -> bytes | None:
    """The event with which a provider ended its stream, unchanged."""
    return error.own if isinstance(error, StreamBroken) else None


def code_and_words(error: FarthingError) -> tuple[str, str]:
    """Code and message in a response that failed."""
    told = openai.error_object(error)
    message = told.get("message")
    words = message if isinstance(message, str) and message else error.in_full
    if overflows(error) or not OVERFLOWS.isdisjoint(_names(told)):
        return TOO_LONG, words
    code = next((name for name in _names(told) if name in CODES), "")
    if not code:
        code = "rate_limit_exceeded" if error.status == 429 else "server_error"
    return code, words


def event(error: FarthingError) -> bytes:
    """The event that ends a stream when nothing else is known of it."""
    code, words = code_and_words(error)
    told = {"type": "error", "sequence_number": 0, "code": code, "message": words, "param": None}
    return b"event: error\ndata: %b\n\n" % write_json(told)


def _names(told: Json) -> list[str]:
    return [name for name in (told.get("code"), told.get("type")) if isinstance(name, str)]
