"""A response object but for what the model said: what each one of a request has in common.

It echoes the request as OpenAI does: fields as the client sent them, those that were not sent with OpenAI's
defaults. Source: the types of OpenAI's SDK (`responses.Response`).
"""

from typing import Any, Literal

from msgspec import Raw

from farthing.text.lenient_json import write_json
from farthing.types import Json, Usage

Status = Literal["in_progress", "completed", "incomplete", "failed"]

DEFAULTS: Json = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "metadata": {},
    "user": None,
}
OPTIONAL = ("prompt", "prompt_cache_retention", "prompt_cache_options")
"""What is echoed where it was sent, and otherwise not there."""
PLAIN: Json = {"type": "text"}
OF_AN_END = frozenset({
    "completed_at", "error", "incomplete_details", "output", "output_text", "service_tier", "status", "usage",
})  # fmt: skip
"""What a response says of how it ended, and of all that was said."""
TIERS = frozenset({"auto", "default", "flex", "scale", "priority", "fast", "ultrafast"})
"""Names of service tiers that clients know; others are told by the receipt alone."""
SEARCH = "web_search"
NO_IMAGES: Json = {
    "input_tokens": 0,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
    "output_tokens": 0,
    "total_tokens": 0,
}


class Frame:
    """The response objects of one request."""

    __slots__ = ("_asked", "_asked_tier", "_created_s", "_echo", "_model", "_theirs", "id")

    def __init__(self, asked: Json, *, id: str, model: str, created_s: int) -> None:
        """`asked`: the request as its client sent it. `model` stands for that of the answer as long as it is
        not known."""
        self.id = id
        self._model = model
        self._created_s = created_s
        tier = asked.get("service_tier")
        self._asked_tier = tier if isinstance(tier, str) and tier in TIERS else "auto"
        self._asked = asked
        self._echo: Json | None = None
        """The fields of the request, encoded; None: none was wanted yet, as a provider may write its own."""
        self._theirs: Json = {}
        """The response as a provider began it; empty: we did."""

    def follow(self, theirs: Json) -> None:
        """From now on, tell the response that a provider has begun as `theirs`."""
        self._theirs = theirs
        said = theirs.get("id")
        if isinstance(said, str):
            self.id = said

    def response(
        self,
        status: Status,
        output: list[Json],
        *,
        model: str = "",
        usage: Usage | None = None,
        incomplete: str = "",
        error: Json | None = None,
        ended_s: int | None = None,
    ) -> Raw:
        """The JSON of a response. `incomplete`: why it is, where it is; `ended_s`: when it was complete."""
        if self._echo is None:
            self._echo = _echo(self._asked)
        over = status != "in_progress"
        told: Json = {
            "id": self.id,
            "object": "response",
            "created_at": self._created_s,
            "status": status,
            "background": False,
            "completed_at": ended_s if status == "completed" else None,
            "error": error,
            "incomplete_details": {"reason": incomplete} if incomplete else None,
            "model": model or self._model,
            "output": output,
            **self._echo,
            "service_tier": _tier(usage) if over else self._asked_tier,
            "usage": None if usage is None else usage_of(usage),
        }
        if self._theirs:
            told |= {name: value for name, value in self._theirs.items() if name not in OF_AN_END}
        if usage is not None and usage.fees and usage.fees.get(SEARCH):
            told["tool_usage"] = {
                "image_gen": NO_IMAGES,
                "web_search": {"num_requests": usage.fees[SEARCH]},
            }
        return Raw(write_json(told))

    def compaction(self, item: Json, usage: Usage | None) -> bytes:
        """The answer to who asks for a conversation to be compacted, and for nothing else."""
        told = {
            "id": self.id,
            "object": "response.compaction",
            "created_at": self._created_s,
            "output": [item],
            "usage": usage_of(Usage() if usage is None else usage),
        }
        return write_json(told)


def _echo(asked: Json) -> Json:
    """The request in its response; values are encoded once."""
    told: Json = {name: _said(asked.get(name), default) for name, default in DEFAULTS.items()}
    told |= {name: asked[name] for name in OPTIONAL if asked.get(name) is not None}
    text, reasoning = asked.get("text"), asked.get("reasoning")
    told["text"] = {"format": PLAIN, **_filled(text)}
    told["reasoning"] = {"effort": None, "summary": None, **_filled(reasoning)}
    told["store"] = False  # whoever keeps it says so
    return {name: Raw(write_json(value)) for name, value in told.items()}


def _said(value: Any, default: Any) -> Any:
    return default if value is None else value


def _filled(value: Any) -> Json:
    """The fields of an object that were said."""
    if not isinstance(value, dict):
        return {}
    return {name: inner for name, inner in value.items() if inner is not None}


def _tier(usage: Usage | None) -> str:
    """The service tier that ran. What is not known to be another is the standard one."""
    tier = "" if usage is None else usage.tier
    return tier if tier in TIERS else "default"


def usage_of(usage: Usage) -> Json:
    """Usage as Responses counts: what went by the prefix cache is a part of `input_tokens`."""
    written_30m = usage.cache_write_30m_tokens
    written_12h = usage.cache_write_12h_tokens
    written = usage.cache_write_5m_tokens + usage.cache_write_1h_tokens + written_30m + written_12h
    told: Json = {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": written},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
    if written_30m or written_12h:
        told["input_tokens_details"]["cache_write_tokens_details"] = {
            "ttl_30m_tokens": written_30m,
            "ttl_12h_tokens": written_12h,
        }
    return told
