"""What has to change in a request of Responses that goes up as its client sent it. All else stays, byte for
byte (`splice`): a prefix that was cached is found again only by the same bytes."""

from typing import Any

from msgspec import Struct

from farthing.dialects import proofs
from farthing.dialects.responses import envelopes
from farthing.dialects.responses.requests.compaction import told_summary
from farthing.dialects.splice import REMOVED, Changes
from farthing.models.providers.responses.makers import Makers
from farthing.protocols import ALL_SAID, Unsaid
from farthing.types import Json, Prompt, Sent

REASONING = "input.reasoning"
COMPACTIONS = frozenset({"compaction", "compaction_summary"})
COUNTED = frozenset({
    "model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text",
    "truncation",
})  # fmt: skip
"""Fields of a request that its counting takes."""
_THEIRS = "another provider made it and no other can read it; ask that one, or begin a new conversation"


class Input(Struct, frozen=True):
    """The items of a request as one provider may get them."""

    items: list[Any] | None = None
    """None: as they were sent."""
    unsaid: Unsaid = ALL_SAID


AS_SENT = Input()


def read_input(sent: Sent, provider: str, makers: Makers) -> Input:
    """Encrypted content goes to the provider that made it, or to one of which nothing else is known. What
    this gateway wrapped for the client is opened. Reasoning that cannot go is left out; a conversation that
    was compacted is not there without its compaction."""
    if not (sent.unsigned or sent.sealed):
        return AS_SENT
    items: list[Any] = []
    gone: dict[str, None] = {}
    lost = False
    changed = False
    for item in sent.body["input"]:
        held = item.get("encrypted_content") if item.__class__ is dict else None
        if held.__class__ is not str or not held:
            items.append(item)
            continue
        kept = _opened(item, held, provider) if envelopes.is_ours(held) else item
        if kept is item and makers.maker_of(held) not in ("", provider):
            kept = None
        if kept is not item:
            changed = True
        if kept is not None:
            items.append(kept)
        elif item.get("type") in COMPACTIONS:
            lost = True
        else:
            gone[REASONING] = None
    if not changed:
        return AS_SENT
    if lost:
        return Input(items, Unsaid(("input.compaction",), tuple(gone), {"input.compaction": _THEIRS}))
    return Input(items, Unsaid(gave_way=tuple(gone)) if gone else ALL_SAID)


def _opened(item: Json, held: str, provider: str) -> Json | None:
    """What an item of ours stands for; None: nothing that this provider takes."""
    if item.get("type") in COMPACTIONS:
        summary = envelopes.summary_of(held)
        return None if summary is None else {"role": "user", "content": told_summary(summary).text}
    thought = envelopes.reasoning_of(held)
    return None if thought is None else proofs.item_of(thought.signature, provider)


def changes(prompt: Prompt, sent: Sent, model: str, told: Input) -> Changes:
    """The values that this call has other than its client's."""
    body = sent.body
    changed: dict[str, object] = {}
    if body.get("model") != model:
        changed["model"] = model
    if told.items is not None:
        changed["input"] = told.items
    if sent.compacts == "path":  # it has neither a limit nor a stream
        return changed
    if _is_lowered(prompt, body):
        changed["max_output_tokens"] = prompt.output_tokens_max
    if prompt.stream != (body.get("stream") is True):
        changed["stream"] = prompt.stream
        if not prompt.stream and "stream_options" in body:
            changed["stream_options"] = REMOVED
    return changed


def counted(sent: Sent, model: str, told: Input) -> Changes:
    """As `changes`, for a call that counts the tokens of the request."""
    changed: dict[str, object] = {name: REMOVED for name in sent.body if name not in COUNTED}
    if sent.body.get("model") != model:
        changed["model"] = model
    if told.items is not None:
        changed["input"] = told.items
    return changed


def _is_lowered(prompt: Prompt, body: Json) -> bool:
    """Whether a limit of ours is lower than the client's own."""
    cap, said = prompt.output_tokens_max, body.get("max_output_tokens")
    if prompt.capped_by is None or cap is None:
        return False
    return not (isinstance(said, int) and said <= cap)
