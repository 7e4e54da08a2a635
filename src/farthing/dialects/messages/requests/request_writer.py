"""A conversation as the body of `POST /v1/messages`.

What Messages cannot say is named, never left out in silence: `unsaid` has the client's fields that ask for
something this form has no word for, `yielded` what had to give way in this one request (thinking beside a
demanded call). Where a model decides how something is said, `models` knows. Values that make the provider's
prefix cache (`cache_control`) or prove its own reasoning (signatures) are the very values that were read.

Sources: the types of Anthropic's SDK; docs: "Extended thinking", "Tool use", "Structured outputs".
"""

from typing import Any

from farthing.dialects.conversation import (
    Conversation,
)
from farthing.dialects.messages.requests.notes import Notes
from farthing.dialects.messages.requests.own_settings import write_settings
from farthing.dialects.messages.requests.settings import SettingsWriter, goes_on_unsigned, without_thinking
from farthing.dialects.messages.requests.turns import TurnWriter
from farthing.dialects.written import Written as Written
from farthing.types import NOTHING_SAID, Features, Json

_PLAIN_FIELDS = ("choices", "seed", "frequency_penalty", "presence_penalty", "logit_bias", "logprobs")
"""Fields of a conversation that Messages has no word for."""


def translate(
    conversation: Conversation,
    *,
    model: str,
    output_tokens_max: int | None,
    stream: bool = False,
    listed: Features = NOTHING_SAID,
) -> Written:
    """`output_tokens_max` is the limit where the client names none; None: a cautious one of the model's
    generation. `listed` is what the catalogue says of the model. Never raises."""
    notes = Notes(conversation, model, listed)
    said, turns = conversation, TurnWriter(notes)
    limit = said.output_tokens_max
    if limit is None:
        limit = output_tokens_max or notes.abilities.output_tokens_max
    body: Json = {"model": model, "max_tokens": limit}
    system = turns.system(said.system)
    if system:
        body["system"] = system
    body["messages"] = messages = turns.messages(said.turns)
    if said.dialect == "messages":
        write_settings(body, said)
        if "messages.thinking" in notes.yielded:
            _think_no_more(body, notes, messages)
    else:
        _settings(body, notes, messages)
    if stream:
        body["stream"] = True
    return notes.written(body)


def _think_no_more(body: Json, notes: Notes, messages: list[Json]) -> None:
    """Ask for no thinking where thoughts that were left out would have to begin it, nor for what is to become
    of thoughts."""
    told: Any = body.get("thinking")
    if not isinstance(told, dict) or told.get("type") != "enabled" or not goes_on_unsigned(messages):
        return
    body["thinking"] = {"type": "disabled"}
    notes.yielded.append("thinking")
    managed = without_thinking(body.get("context_management"))
    if managed is not None:
        body["context_management"] = managed


def _settings(body: Json, notes: Notes, messages: list[Json]) -> None:
    said, settings = notes.said, SettingsWriter(notes, messages)
    if said.tools:
        settings.write_tools(body)
    for field in _PLAIN_FIELDS:
        if getattr(said, field) is not None:
            notes.unsaid.append(said.name_of(field))
    if said.choices is not None:
        notes.reasons[said.name_of("choices")] = "Messages gives one answer; send the request that often"
    settings.write(body)


def write(conversation: Conversation, *, model: str, output_tokens_max: int | None, stream: bool) -> Json:
    """The body alone, without what is unsaid. The values in it are the conversation's own: change none."""
    return translate(conversation, model=model, output_tokens_max=output_tokens_max, stream=stream).body


def unsaid(conversation: Conversation, *, model: str = "") -> tuple[str, ...]:
    """Names of the client's fields, as it wrote them, that ask for what Messages cannot say to this model."""
    return translate(conversation, model=model, output_tokens_max=None).unsaid
