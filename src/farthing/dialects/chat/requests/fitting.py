"""A request of chat completions, made to fit a host or a model that does not take all of it.

Only what loses nothing is changed: names of fields that mean the same, roles, ids of calls, values that ask
for nothing. What would be lost is named, by the client's words: `unsaid` changes what the client gets,
`gave_way` does not, or not so that it would mind.
"""

import operator
import re
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any, Literal

from msgspec import Struct

from farthing.dialects.chat.models import Abilities, abilities
from farthing.dialects.chat.requests.strict import StrictFit, signs, with_proof, with_thoughts
from farthing.dialects.written import Written
from farthing.types import NOTHING_SAID, Features, Json

LIMITS = ("max_tokens", "max_completion_tokens")
"""Both names of the limit of output."""
LimitName = Literal["max_tokens", "max_completion_tokens"]
SAMPLING = frozenset({"temperature", "top_p"})
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "n": (1,),
    "parallel_tool_calls": (True,),
    "service_tier": ("auto", "default"),
    "stop": ("", []),
    "store": (False,),
    "temperature": (1,),
    "top_p": (1,),
    "tool_choice": ("auto",),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "metadata": ({},),
}
"""Values that ask for what comes without the field. So does null."""
GIVES_WAY = frozenset({
    "metadata", "prediction", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "store",
    "stream_options", "user",
})  # fmt: skip
"""Fields that do not change what the client gets, or not so that it would mind."""
OF_OPENAI = frozenset({
    "audio", "modalities", "prediction", "prompt_cache_retention", "safety_identifier", "store", "verbosity",
    "web_search_options",
})  # fmt: skip
"""Fields of OpenAI's that hosts which refuse unknown ones do not know."""
PLACEHOLDER = "."
"""What is said where an answer is wanted between what a tool gave and the user's words."""
CALL_ID_CHARS = 9
_CALL_ID = re.compile(r"[a-zA-Z0-9]{9}")


class Quirks(Struct, frozen=True, kw_only=True):
    """What one host wants otherwise than OpenAI, by its documentation."""

    limit: LimitName | None = None
    """The only name it knows of the limit of output; None: both, or that is its models' matter."""
    renamed: Mapping[str, str] = {}
    """Fields that it knows by another name, with the same values."""
    refused: frozenset[str] = frozenset()
    """Fields that it refuses, or takes without heeding them."""
    refused_by: tuple[tuple[str, frozenset[str]], ...] = ()
    """As `refused`, of models whose names match a pattern."""
    demands: bool = True
    """`tool_choice` may demand a call."""
    schemas: bool = True
    """`response_format` may be a `json_schema`."""
    names: bool = True
    """Messages may have a `name`."""
    developer: bool = True
    """It knows the role `developer`; else that is `system`."""
    short_call_ids: bool = False
    """Ids of calls are nine letters and digits."""
    stream_options: bool = True
    """It takes `stream_options`; else it tells the usage of a stream unasked."""
    strict: bool = False
    """It refuses fields of messages, parts, calls and tools that it does not know."""
    thoughts: Literal["reasoning_content", "reasoning", ""] = "reasoning_content"
    """What it calls what was thought before an answer; empty: it takes that of nobody."""
    user_behind_tools: bool = True
    """A user may speak right behind what a tool gave."""
    proofs: bool = False
    """It refuses calls of the history without the proof that its newer models give with them."""

    @property
    def any(self) -> bool:
        """Whether there are any but for `stream_options`, which is not the client's matter."""
        return self not in (NO_QUIRKS, _NO_STREAM_OPTIONS)

    def refuses(self, model: str) -> frozenset[str]:
        """The fields that it does not take for that model."""
        found = self.refused
        for pattern, names in self.refused_by:
            if re.search(pattern, model):
                found |= names
        return found


NO_QUIRKS = Quirks()
_NO_STREAM_OPTIONS = Quirks(stream_options=False)


class Learnt(Struct, frozen=True):
    """What one target said of itself in a refusal."""

    limit: LimitName | None = None
    refused: frozenset[str] = frozenset()
    values: frozenset[tuple[str, str]] = frozenset()
    """Fields with a value that is refused, where others may be taken."""
    betas: frozenset[frozenset[str]] = frozenset()
    """Betas of Messages of which one is refused: a refusal may name none."""


NOTHING_LEARNT = Learnt()


def fitted(
    body: Json,
    model: str,
    host: Quirks = NO_QUIRKS,
    learnt: Learnt = NOTHING_LEARNT,
    listed: Features = NOTHING_SAID,
) -> Written:
    """`body` for `model` at a host. It is not changed, and parts of it are in the result. `listed`: what the
    catalogue says of the model there."""
    can = abilities(model, listed)
    written = dict(body)
    unsaid: list[str] = []
    gave_way: list[str] = []
    refused = host.refuses(model) | learnt.refused
    values = _Values(learnt.values)
    if can.fixed_sampling:
        refused |= SAMPLING
    for name, value in body.items():
        if name not in refused and (name, value) not in values:
            continue
        del written[name]
        if not _asks_nothing(name, value):
            (gave_way if name in GIVES_WAY else unsaid).append(name)
    for name, other in host.renamed.items():
        if name in written:
            written[other] = written.pop(name)
    if not host.stream_options:
        written.pop("stream_options", None)
    _choice(written, host, unsaid)
    name_limit(written, _limit_of(can, host, learnt))
    _messages(written, host, model, can, gave_way)
    return Written(written, tuple(unsaid), tuple(gave_way))


class _Values(frozenset[tuple[str, str]]):
    """Pairs of fields and values, of which any may be asked for."""

    def __contains__(self, pair: Any) -> bool:
        return bool(self) and isinstance(pair[1], str) and super().__contains__(pair)


def _asks_nothing(name: str, value: Any) -> bool:
    return value is None or value in NEUTRAL.get(name, ())


def _limit_of(can: Abilities, host: Quirks, learnt: Learnt) -> LimitName | None:
    return learnt.limit or host.limit or ("max_completion_tokens" if can.reasons else None)


def name_limit(body: Json, name: LimitName | None) -> None:
    """Write the limit of output under the one name that is known, in place: the lower of two. None: it stays
    as it is."""
    if name is None:
        return
    other = LIMITS[1 - LIMITS.index(name)]
    if other not in body:
        return
    limit, own = body.pop(other), body.get(name)
    if own is None or (isinstance(own, int) and isinstance(limit, int) and limit < own):
        body[name] = limit


def _choice(body: Json, host: Quirks, unsaid: list[str]) -> None:
    choice = body.get("tool_choice")
    if not host.demands and choice is not None and choice not in ("auto", "none"):
        del body["tool_choice"]
        unsaid.append("tool_choice")
    form = body.get("response_format")
    if not host.schemas and isinstance(form, dict) and form.get("type") == "json_schema":
        del body["response_format"]
        unsaid.append("response_format")


# -- messages ------------------------------------------------------------------------------------------


def _messages(body: Json, host: Quirks, model: str, can: Abilities, gave_way: list[str]) -> None:
    completes: Callable[[Json], Json] | None = None
    if host.proofs and signs(model):
        completes = with_proof
    elif can.thinks_on and host.thoughts == "reasoning_content":
        completes = with_thoughts
    plain = host.developer and host.names and not host.short_call_ids
    if plain and host.user_behind_tools and not host.strict and completes is None:
        return
    messages = body.get("messages")
    if not isinstance(messages, list):
        return
    fit = StrictFit(host.thoughts, gave_way) if host.strict else None
    made: list[Any] = []
    for one in messages:
        new = one
        if isinstance(one, dict):
            if fit is not None:
                new = fit.message(one)
            new = _message(new, host, gave_way)
            if completes is not None and new.get("tool_calls"):
                new = completes(new)
            if not host.user_behind_tools and new.get("role") == "user" and _is_of_tool(made):
                made.append({"role": "assistant", "content": PLACEHOLDER})
        made.append(new)
    changed = len(made) > len(messages) or any(map(operator.is_not, made, messages))
    body["messages"] = made if changed else messages
    if fit is not None and isinstance(tools := body.get("tools"), list):
        body["tools"] = fit.tools(tools)


def _is_of_tool(messages: list[Any]) -> bool:
    return bool(messages) and isinstance(messages[-1], dict) and messages[-1].get("role") == "tool"


def _message(message: Json, host: Quirks, gave_way: list[str]) -> Json:
    changed: Json = {}
    if not host.developer and message.get("role") == "developer":
        changed["role"] = "system"
    if host.short_call_ids:
        call_id = message.get("tool_call_id")
        if isinstance(call_id, str):
            changed["tool_call_id"] = short_call_id(call_id)
        calls = message.get("tool_calls")
        if isinstance(calls, list):
            changed["tool_calls"] = [_call(one) for one in calls]
    if not changed and (host.names or "name" not in message):
        return message
    new = {**message, **changed}
    named = not host.names and new.get("role") != "tool" and new.pop("name", None) is not None
    if named and "messages.name" not in gave_way:
        gave_way.append("messages.name")
    return new


def _call(call: Any) -> Any:
    call_id = call.get("id") if isinstance(call, dict) else None
    return {**call, "id": short_call_id(call_id)} if isinstance(call_id, str) else call


def short_call_id(call_id: str) -> str:
    """An id of nine letters and digits, the same for the same one: as it is if it is one already."""
    if _CALL_ID.fullmatch(call_id):
        return call_id
    return blake2b(call_id.encode(errors="replace"), digest_size=8).hexdigest()[:CALL_ID_CHARS]
