"""A conversation as the body of `POST /v1/responses`.

What Responses cannot say is named, never left out in silence: `unsaid` has the client's fields that ask for
something this form has no word for, `yielded` what had to give way. Instructions stay in their places, with
their roles: at the head they would change the prefix of every later request.

Nothing is stored: a model that reasons is asked for its reasoning in encrypted form, which comes back with
the history, and only to the provider that made it (`proofs.item_of`).

Sources: the types of OpenAI's SDK (`responses.ResponseCreateParams`); docs: "Reasoning models", "Migrate to
the Responses API".
"""

from typing import Any

from farthing.dialects.chat.fields import BILLING, is_billing
from farthing.dialects.chat.models import abilities
from farthing.dialects.chat.requests.lowering import (
    BUDGETS,
    GIVES_WAY,
    further_of_tool,
    short_user,
    whole_schema,
)
from farthing.dialects.conversation import (
    Conversation,
    CustomTool,
    Format,
    FunctionTool,
    Text,
    Tool,
    ToolChoice,
    Turn,
)
from farthing.dialects.responses.requests.item_writer import ItemWriter
from farthing.dialects.tool_names import short_name
from farthing.dialects.written import Notes, Written
from farthing.types import NOTHING_SAID, Features, Json, replace

FORMAT_NAME = "answer"
"""Of a schema that has no name, which Responses wants."""
SAME = frozenset({
    "context_management", "include", "max_tool_calls", "metadata", "prompt_cache_key", "prompt_cache_options",
    "prompt_cache_retention", "truncation",
})  # fmt: skip
"""Fields of Responses that a client of chat may send as well: they go up as they came."""
HOSTED = frozenset({
    "apply_patch", "code_interpreter", "computer", "computer_use_preview", "file_search", "image_generation",
    "local_shell", "mcp", "shell", "tool_search", "web_search", "web_search_preview",
})  # fmt: skip
"""Tools that a client may ask for by the names of Responses."""
ENCRYPTED = "reasoning.encrypted_content"
_UNSAID = {
    "choices": "Responses gives one answer; send the request that often",
    "seed": "Responses has no seed; leave it out",
    "frequency_penalty": "Responses has no penalties; leave it out",
    "presence_penalty": "Responses has no penalties; leave it out",
    "logit_bias": "Responses has no bias of tokens; leave it out",
    "logprobs": "the probabilities of tokens are not translated; ask a target of kind openai",
    "top_k": "Responses has no top_k; leave it out",
}
"""Fields of a conversation that Responses has no word for, and what helps."""


def translate(
    conversation: Conversation,
    *,
    model: str,
    provider: str = "",
    stream: bool = False,
    listed: Features = NOTHING_SAID,
) -> Written:
    """`provider` is the name of the one it is for, which gets back the reasoning that it made, and `listed`
    what the catalogue says of its model. Never raises on what a reader gives."""
    return _Writer(conversation, model, provider, listed).write(stream)


class _Writer:
    __slots__ = ("_body", "_can", "_items", "_notes", "_said")

    def __init__(self, said: Conversation, model: str, provider: str, listed: Features) -> None:
        self._said = said
        self._can = abilities(model, listed)
        self._notes = Notes(said)
        self._items = ItemWriter(self._notes, provider)
        self._body: Json = {"model": model}

    def write(self, stream: bool) -> Written:
        said, body, notes = self._said, self._body, self._notes
        body["input"] = self._items.write((*self._system(), *said.turns))
        self._tools()
        self._format()
        self._thinking()
        self._sampling()
        for field, why in _UNSAID.items():
            if getattr(said, field) is not None:
                notes.lacks(said.name_of(field), why)
        if said.stop:
            notes.lacks(said.name_of("stop"), "Responses has no stop sequences; leave them out")
        if said.dialect == "messages":
            self._of_messages()
        if said.output_tokens_max:
            body["max_output_tokens"] = said.output_tokens_max
        if said.user:
            body["user"] = short_user(said.user) if said.dialect == "messages" else said.user
        if said.service_tier is not None:
            self._tier(said.service_tier)
        if said.cache is not None:
            notes.yielded.append("cache_control")
        for name, value in said.extras.items():
            self._extra(name, value)
        body["store"] = False
        if stream:
            body["stream"] = True
        return notes.written(body)

    def _system(self) -> tuple[Turn, ...]:
        """The instructions that are some: a note for Anthropic's billing is none, and differs each time."""
        system = self._said.system
        blocks = system[0].blocks if system else ()
        if self._said.dialect != "messages" or not blocks:
            return system
        first = blocks[0]
        if not isinstance(first, Text) or not is_billing(first.text):
            return system
        self._notes.yielded.append(BILLING)
        return (replace(system[0], blocks=blocks[1:]), *system[1:])

    def _of_messages(self) -> None:
        """Name what only Messages has beside its fields."""
        said, notes = self._said, self._notes
        if said.turns and said.turns[-1].role == "assistant":
            notes.lacks(
                "prefill",
                "Responses does not go on with an answer that is begun; end `messages` with the user",
            )
        if said.output_tokens_max == 0:
            notes.lacks("max_tokens", "0 fills a prefix cache, which this provider does by itself; send more")

    def _tier(self, tier: str) -> None:
        if self._said.dialect != "messages":
            self._body["service_tier"] = tier
        elif tier != "auto":
            self._notes.yielded.append("service_tier")

    def _extra(self, name: str, value: Any) -> None:
        said, notes = self._said, self._notes
        if said.dialect == "messages":
            if name == "output_config" and isinstance(value, dict):
                notes.yielded += [f"output_config.{inner}" for inner in value]
            else:
                (notes.yielded if name in GIVES_WAY["messages"] else notes.unsaid).append(name)
        elif name in SAME:
            if name == "include" and isinstance(value, list):
                value = list(dict.fromkeys((*self._body.get("include", ()), *map(str, value))))
            self._body[name] = value
        elif name == "verbosity":
            self._text()["verbosity"] = value
        elif name == "stream_options":
            pass
        else:
            notes.unsaid.append(name)

    # -- tools -----------------------------------------------------------------------------------------

    def _tools(self) -> None:
        said = self._said
        tools = [written for written in map(self._tool, said.tools) if written is not None]
        if not tools:
            return
        self._body["tools"] = tools
        choice = self._choice(said.choice)
        if choice is not None:
            self._body["tool_choice"] = choice
        if said.choice.parallel is not None:
            self._body["parallel_tool_calls"] = said.choice.parallel

    def _tool(self, tool: Tool) -> Json | None:
        """A function says whether it is strict: Responses takes silence for yes where it can, chat for no."""
        if isinstance(tool, FunctionTool):
            written: Json = {"type": "function", "name": self._name(tool.name)}
            if tool.description is not None:
                written["description"] = tool.description
            written["parameters"] = whole_schema(tool.parameters)
            written["strict"] = bool(tool.strict)
            self._marked(tool.cache)
            if self._said.dialect == "messages":
                self._notes.yielded += further_of_tool(tool.extras)
            return written
        if isinstance(tool, CustomTool):
            written = {"type": "custom", "name": tool.name}
            if tool.description is not None:
                written["description"] = tool.description
            if tool.format is not None:
                written["format"] = _flat_format(tool.format)
            self._marked(tool.cache)
            return written
        if self._said.dialect == "responses" or (self._said.dialect == "chat" and tool.kind in HOSTED):
            return tool.value
        self._notes.lacks(f"tools.{tool.kind}", "Responses has no such tool; leave it out")
        return None

    def _name(self, name: str) -> str:
        """Clients of Messages have longer names, and know them again by the short one."""
        return short_name(name) if self._said.dialect == "messages" else name

    def _marked(self, mark: Any) -> None:
        if mark is not None:
            self._notes.yielded.append("cache_control")

    def _choice(self, choice: ToolChoice) -> Any:
        if choice.extras:
            self._notes.unsaid += [f"{self._said.name_of('choice')}.{name}" for name in choice.extras]
        if choice.mode == "named":
            return self._named(choice.names[0])
        if choice.mode == "allowed":
            tools = [self._named(name) for name in choice.names]
            return {"type": "allowed_tools", "mode": "required" if choice.must else "auto", "tools": tools}
        return choice.mode or None

    def _named(self, name: str) -> Json:
        custom = any(isinstance(tool, CustomTool) and tool.name == name for tool in self._said.tools)
        return {"type": "custom" if custom else "function", "name": self._name(name)}

    # -- how it is to be answered ----------------------------------------------------------------------

    def _text(self) -> Json:
        text: Json = self._body.setdefault("text", {})
        return text

    def _format(self) -> None:
        form = self._said.format
        if form is None:
            return
        if form.kind == "json_object":
            self._text()["format"] = {"type": "json_object"}
        elif form.kind == "json_schema" and isinstance(form.schema, dict):
            self._text()["format"] = _schema_format(form, self._said.dialect == "messages")
        else:
            self._notes.lacks(
                self._said.name_of("format"), "Responses takes json_object, or json_schema with a schema"
            )

    def _thinking(self) -> None:
        effort = self._effort()
        if effort:
            self._body["reasoning"] = {"effort": effort}
        if effort != "none" and (effort or self._can.reasons):
            self._body["include"] = [ENCRYPTED]

    def _effort(self) -> str:
        """How much is to be thought: the client's word for it, else what its budget comes to."""
        told = self._said.thinking
        effort, budget, field = told.effort, told.budget_tokens, self._said.name_of("thinking")
        kind = told.value.get("type") if isinstance(told.value, dict) else None
        if kind == "disabled":
            if effort or self._can.reasons:
                self._notes.yielded.append(field)
            return ""
        if not effort and budget is not None:
            effort = next((word for tokens, word in BUDGETS if budget <= tokens), "high")
        if not effort:
            if kind is not None and not self._can.reasons:  # one that reasons does so unasked
                self._notes.yielded.append(field)
            return ""
        if not self._can.effort:
            if effort != "none":
                self._notes.yielded.append(field)
            return ""
        least = self._can.at_most(effort) if self._said.dialect == "messages" else effort
        if least != effort:
            self._notes.yielded.append(field)
        return least

    def _sampling(self) -> None:
        for name in ("temperature", "top_p"):
            value = getattr(self._said, name)
            if value is None:
                continue
            if not self._can.reasons:
                self._body[name] = value
            elif value != 1:
                self._notes.lacks(name, f"a model that reasons takes no {name}; leave it out")


def _schema_format(form: Format, strict: bool) -> Json:
    written: Json = {"type": "json_schema", "name": form.name or FORMAT_NAME, "schema": form.schema}
    if form.description:
        written["description"] = form.description
    if strict or form.strict is not None:
        written["strict"] = strict or form.strict
    return written


def _flat_format(told: Any) -> Any:
    """The form of a custom tool's input: a grammar is an object of its own in chat, and none here."""
    grammar = told.get("grammar") if isinstance(told, dict) else None
    if not isinstance(grammar, dict):
        return told
    return {**{name: value for name, value in told.items() if name != "grammar"}, **grammar}
