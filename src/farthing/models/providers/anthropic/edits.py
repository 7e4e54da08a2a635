"""What has to change in a request of Messages that goes up as its client sent it. All else stays, byte for
byte (`splice`): a prefix that was cached is found again only by the same bytes."""

from typing import Any

from farthing.dialects.messages.requests.settings import BUDGET_TOKENS_MIN
from farthing.dialects.splice import REMOVED, Changes, spliced
from farthing.text.lenient_json import write_json
from farthing.types import Json, Prompt, Sent

UNCOUNTED = frozenset({
    "container", "inference_geo", "max_tokens", "metadata", "service_tier", "stop_sequences", "stream",
    "temperature", "top_k", "top_p",
})  # fmt: skip
"""Fields of a request that its counting refuses."""


def changes(prompt: Prompt, sent: Sent, model: str) -> Changes:
    """The values that this call has other than its client's."""
    body = sent.body
    changed: dict[str, object] = {}
    if body.get("model") != model:
        changed["model"] = model
    if _is_lowered(prompt, body):
        changed["max_tokens"] = prompt.output_tokens_max
        thinking = _thinking(prompt, body)
        if thinking is not None:
            changed["thinking"] = thinking
    if prompt.stream != (body.get("stream") is True):
        changed["stream"] = prompt.stream
    return changed


def gave_way(prompt: Prompt, sent: Sent) -> tuple[str, ...]:
    """Names of fields that give way to a limit of ours."""
    told = _thinking(prompt, sent.body)
    if told is None:
        return ()
    return ("thinking.budget_tokens",) if "budget_tokens" in told else ("thinking",)


def counted(sent: Sent, model: str) -> Changes:
    """As `changes`, for a call that counts the tokens of the request."""
    changed: dict[str, object] = {name: REMOVED for name in UNCOUNTED if name in sent.body}
    if sent.body.get("model") != model:
        changed["model"] = model
    return changed


def written(sent: Sent, changed: Changes) -> bytes:
    """The body that goes up. One that two parsers may read as two requests is written anew from what was
    checked."""
    if sent.exact:
        if not changed:
            return sent.raw
        raw = spliced(sent.raw, changed, sent.body)
        if raw is not None:
            return raw
    body = {**sent.body, **changed}
    return write_json({name: value for name, value in body.items() if value is not REMOVED})


def _is_lowered(prompt: Prompt, body: Json) -> bool:
    """Whether a limit of ours is lower than the client's own. None of output at all, by which a prefix is
    cached and nothing said, is the lowest."""
    cap, said = prompt.output_tokens_max, body.get("max_tokens")
    return prompt.capped_by is not None and not (isinstance(said, int) and cap is not None and said <= cap)


def _thinking(prompt: Prompt, body: Json) -> Json | None:
    """`thinking` as it fits below a limit of ours; None: it does. Thinking has a least budget, and where not
    even that fits there is none."""
    told: Any = body.get("thinking")
    cap = prompt.output_tokens_max
    if cap is None or not _is_lowered(prompt, body) or not isinstance(told, dict):
        return None
    budget = told.get("budget_tokens")
    if told.get("type") != "enabled" or not isinstance(budget, int) or budget < cap:
        return None
    fitting = max(BUDGET_TOKENS_MIN, cap * 4 // 5)
    return {**told, "budget_tokens": fitting} if fitting < cap else {"type": "disabled"}
