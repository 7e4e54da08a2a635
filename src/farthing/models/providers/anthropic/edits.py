"""What has to change in a request of Messages that goes up as its client sent it. All else stays, byte for
byte (`splice`): a prefix that was cached is found again only by the same bytes."""

from typing import Any

from farthing.dialects.messages.citations import without_unsigned
from farthing.dialects.messages.models import abilities
from farthing.dialects.messages.requests.marking import with_marks
from farthing.dialects.messages.requests.settings import BUDGET_TOKENS_MIN, BUDGETS, without_thinking
from farthing.dialects.proofs import is_signed
from farthing.dialects.splice import REMOVED, Changes
from farthing.models.providers.anthropic import elsewhere
from farthing.models.providers.anthropic.elsewhere import ANTHROPIC, Cloud
from farthing.types import Json, Prompt, Sent

UNCOUNTED = frozenset({
    "container", "inference_geo", "max_tokens", "metadata", "service_tier", "stop_sequences", "stream",
    "temperature", "top_k", "top_p",
})  # fmt: skip
"""Fields of a request that its counting refuses."""
THINKING, CITATIONS = "messages.thinking", "messages.citations"
"""What gives way of earlier answers."""


def changes(prompt: Prompt, sent: Sent, model: str, cloud: Cloud = ANTHROPIC) -> Changes:
    """The values that this call has other than its client's."""
    changed = fitted(sent, model)
    body = {**sent.body, **changed} if changed else sent.body
    if body.get("model") != model:
        changed["model"] = model
    if _is_lowered(prompt, body):
        changed["max_tokens"] = prompt.output_tokens_max
        thinking = _thinking(prompt, body)
        if thinking is not None:
            changed["thinking"] = thinking
    if prompt.stream != (body.get("stream") is True):
        changed["stream"] = prompt.stream
    return elsewhere.changes(body, changed | _without_unsigned(sent, body, model), model, cloud)


def _without_unsigned(sent: Sent, body: Json, model: str) -> dict[str, object]:
    """What changes in `body` where what another provider thought and cited is left out."""
    if not _drops_unsigned(sent, model):
        return {}
    messages, gone = _signed(body["messages"])
    changed: dict[str, object] = {"messages": messages}
    if THINKING in gone and _goes_on_without_thinking(body, messages):
        changed["thinking"] = {"type": "disabled"}
        managed = without_thinking(body.get("context_management"))
        if managed is not None:
            changed["context_management"] = managed
    return changed


def marked(raw: bytes, prompt: Prompt, model: str) -> bytes:
    """The body that goes up with our marks for the prompt cache, all its other bytes as they were. On a model
    whose thinking is bound to what came before it, no value takes another form for a mark."""
    marks, sent = prompt.marks, prompt.sent
    if marks is None:
        return raw
    said = None if sent is None or _drops_unsigned(sent, model) else sent.body.get("messages")
    return with_marks(raw, marks, reshape=not abilities(model).binds, said=said)


def fit(body: Json, prompt: Prompt) -> None:
    """Fit the thinking that `body`, which was written anew, asks for below a limit of ours."""
    thinking = _thinking(prompt, {**body, "max_tokens": None})
    if thinking is not None:
        body["thinking"] = thinking


def gave_way(prompt: Prompt, sent: Sent, model: str, cloud: Cloud = ANTHROPIC) -> tuple[str, ...]:
    """Names of fields that give way to a limit of ours, or to what the model takes."""
    older = fitted(sent, model)
    body = {**sent.body, **older} if older else sent.body
    told = _thinking(prompt, body)
    names: tuple[str, ...] = ()
    if told is not None:
        names = ("thinking.budget_tokens",) if "budget_tokens" in told else ("thinking",)
    if _drops_unsigned(sent, model):
        messages, gone = _signed(body["messages"])
        names = (*names, *gone)
        off = THINKING in gone and _goes_on_without_thinking(body, messages)
        if off and "thinking" not in names:
            names = (*(name for name in names if name != "thinking.budget_tokens"), "thinking")
    if older.get("thinking") is REMOVED:
        names = (*(name for name in names if not name.startswith("thinking")), "thinking")
    elif "output_config" in older and "thinking" not in older:
        names = (*names, "output_config.effort")
    return names if cloud is ANTHROPIC else (*names, *elsewhere.fitted(body, model, cloud).gave_way)


def counted(sent: Sent, model: str, cloud: Cloud = ANTHROPIC) -> Changes:
    """As `changes`, for a call that counts the tokens of the request."""
    changed: dict[str, object] = {name: REMOVED for name in UNCOUNTED if name in sent.body}
    if sent.body.get("model") != model:
        changed["model"] = model
    older = fitted(sent, model)
    told = changed | older | _without_unsigned(sent, {**sent.body, **older}, model)
    return elsewhere.changes(sent.body, told, model, cloud)


def fitted(sent: Sent, model: str) -> dict[str, object]:
    """What changes where the gateway has chosen a model that is older than its client can know: agents that
    do not know the name ask as of the newest, to think at its own measure and with instructions among the
    turns. A model that the client has named is asked in its own words."""
    body, can = sent.body, abilities(model)
    asked = body.get("model")
    if can.system_in_place or not can.signs or asked == model or str(asked).endswith(f"/{model}"):
        return {}
    changed: dict[str, object] = {}
    told, config = body.get("thinking"), body.get("output_config")
    effort = config.get("effort") if isinstance(config, dict) else None
    if isinstance(told, dict) and told.get("type") == "adaptive" and can.thinking != "adaptive":
        budget = min(BUDGETS.get(str(effort), BUDGETS["high"]), _output_max(body) * 4 // 5)
        if can.thinking == "none" or budget < BUDGET_TOKENS_MIN:
            managed = without_thinking(body.get("context_management"))
            changed = {"thinking": REMOVED} | ({} if managed is None else {"context_management": managed})
        else:
            changed["thinking"] = {**told, "type": "enabled", "budget_tokens": budget}
    if isinstance(config, dict) and effort is not None and effort not in can.effort:
        kept = {name: value for name, value in config.items() if name != "effort"}
        changed["output_config"] = kept or REMOVED
    if any(message["role"] == "system" for message in body["messages"]):
        changed["messages"] = [
            _by_the_user(message) if message["role"] == "system" else message for message in body["messages"]
        ]
    return changed


def _output_max(body: Json) -> int:
    told = body.get("max_tokens")
    return told if isinstance(told, int) else 0


def _by_the_user(message: Json) -> Json:
    """Instructions among the turns for a model that knows none there: in their place all the same."""
    content = message["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    told = [
        {**block, "text": f"<system>\n{block['text']}\n</system>"} if "text" in block else block
        for block in blocks
    ]
    return {"role": "user", "content": told}


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


def _drops_unsigned(sent: Sent, model: str) -> bool:
    """Whether what another provider thought and cited is left out: this model refuses what it
    has not signed."""
    return sent.unsigned and abilities(model).signs


def _signed(messages: list[Any]) -> tuple[list[Any], tuple[str, ...]]:
    """`messages` without thinking and citations that nobody has signed, and the names of what is gone; a turn
    that was nothing else goes too. The same history gives the same messages each time, so that a prefix stays
    what it was."""
    found: list[Any] = []
    gone: dict[str, None] = {}
    for message in messages:
        content = message["content"]
        if message["role"] == "assistant" and content.__class__ is list:
            kept = [block for block in content if block.get("type") != "thinking" or _is_signed(block)]
            if len(kept) != len(content):
                gone[THINKING] = None
            cited = [_with_signed_citations(block) for block in kept]
            if cited != kept:
                gone[CITATIONS] = None
            if cited != content:
                if cited:
                    found.append({**message, "content": cited})
                continue
        found.append(message)
    return found, tuple(gone)


def _with_signed_citations(block: Json) -> Json:
    cited = block.get("citations")
    if block.get("type") != "text" or cited.__class__ is not list or not cited:
        return block
    kept = without_unsigned(cited)
    if len(kept) == len(cited):
        return block
    if kept:
        return {**block, "citations": kept}
    return {name: value for name, value in block.items() if name != "citations"}


def _is_signed(block: Json) -> bool:
    return is_signed(block.get("signature") or "")


def _goes_on_without_thinking(body: Json, messages: list[Any]) -> bool:
    """Whether results of tools come last, and the turn that called them does not begin with thinking. A model
    with a budget for thinking does not take that."""
    told: Any = body.get("thinking")
    if not isinstance(told, dict) or told.get("type") != "enabled":
        return False
    last = next((one["content"] for one in reversed(messages) if one["role"] == "assistant"), None)
    if last.__class__ is not list or not any(block.get("type") == "tool_use" for block in last):
        return False
    return last[0].get("type") not in ("thinking", "redacted_thinking")
