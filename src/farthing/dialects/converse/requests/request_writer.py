"""A conversation as the body of `POST /model/{id}/converse`.

What Converse cannot say is named, never left out in silence: `unsaid` has the client's fields that ask for
something this form has no word for, `yielded` what had to give way. What a model takes of the form, `models`
knows.

No tool can be called where none is offered: Converse wants the tools of all calls in the history to be told,
and has no choice of none. Where the client offers no tools, or wants none called, calls and results are told
as texts.

Sources: the service model of AWS's SDK (`ConverseRequest`); docs: "Carry out a conversation with Converse".
"""

import re
from typing import Any

from farthing.dialects.chat.requests.lowering import BUDGETS, GIVES_WAY
from farthing.dialects.conversation import (
    Conversation,
    CustomTool,
    FunctionTool,
    Tool,
    ToolChoice,
)
from farthing.dialects.converse.requests.notes import Notes
from farthing.dialects.converse.requests.schemas import of_arguments
from farthing.dialects.converse.requests.turns import TurnWriter
from farthing.dialects.messages.requests.schemas import held
from farthing.dialects.responses import fields as responses
from farthing.dialects.written import Written
from farthing.text.lenient_json import write_json
from farthing.types import Json

PASSED = frozenset({
    "additionalModelRequestFields", "additionalModelResponseFieldPaths", "guardrailConfig", "outputConfig",
    "performanceConfig", "projectIdentifier", "promptVariables", "requestMetadata", "serviceTier",
})  # fmt: skip
"""Fields of Converse that a client of another dialect may send: they go up as they came."""
EFFORTS = ("low", "medium", "high", "xhigh", "max")
STOPS_MAX = 2_500
_TIERS = {
    "auto": "",
    "default": "",
    "standard": "",
    "standard_only": "",
    "flex": "flex",
    "priority": "priority",
    "reserved": "reserved",
}
_METADATA = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{1,256}", re.ASCII).fullmatch
_UNSAID = {
    "choices": "Converse gives one answer; send the request that often",
    "seed": "Converse has no seed; leave it out",
    "frequency_penalty": "Converse has no penalties; leave it out",
    "presence_penalty": "Converse has no penalties; leave it out",
    "logit_bias": "Converse has no bias of tokens; leave it out",
    "logprobs": "Converse tells no probabilities; ask a target of kind openai",
}
"""Fields of a conversation that Converse has no word for, and what helps."""


def translate(
    conversation: Conversation, *, model: str, provider: str = "", files: tuple[str, ...] = ()
) -> Written:
    """`files`: how addresses begin that may be read with the gateway's own rights. `provider` is the name of
    the one it is for, which gets back the reasoning that it made. Never raises on what a reader gives."""
    return _Writer(conversation, model, provider, files).write()


class _Writer:
    __slots__ = ("_body", "_notes", "_provider", "_said")

    def __init__(self, said: Conversation, model: str, provider: str, files: tuple[str, ...]) -> None:
        self._said = said
        self._provider = provider
        self._notes = Notes(said, model, files)
        self._body: Json = {}

    def write(self) -> Written:
        said, body, notes = self._said, self._body, self._notes
        tools = self._tools()
        turns = TurnWriter(notes, self._provider, told=not tools)
        apart = notes.abilities.instructs
        system = turns.system(said.system) if apart else []
        body["messages"] = turns.messages(said.turns if apart else (*said.system, *said.turns))
        if said.cache is not None:
            notes.mark(body["messages"][-1]["content"], said.cache)
        if system:
            body["system"] = system
        if tools:
            body["toolConfig"] = {"tools": tools}
            self._choose(said.choice)
        self._infer()
        for name, value in said.extras.items():
            self._extra(name, value)
        if said.user:
            self._user(said.user)
        self._think()
        self._format()
        self._tier()
        for field, why in _UNSAID.items():
            if getattr(said, field) is not None:
                notes.lacks(field, why)
        return notes.written(body)

    # -- tools -----------------------------------------------------------------------------------------

    def _tools(self) -> list[Json]:
        """The tools that may be called; empty: none may."""
        said, written = self._said, []
        only = frozenset(said.choice.names) if said.choice.mode == "allowed" else None
        if said.choice.mode == "none":
            return []
        for tool in said.tools:
            if only is not None and isinstance(tool, FunctionTool) and tool.name not in only:
                continue
            told = self._tool(tool)
            if told is not None:
                written.append(told)
                cache = tool.cache if isinstance(tool, FunctionTool) else None
                self._notes.mark(written, cache, tools=True)
        if written and not self._notes.abilities.tools:
            self._notes.lacks("tools", f"{self._notes.model} calls no tools; name another model")
            return []
        return written

    def _tool(self, tool: Tool) -> Json | None:
        notes = self._notes
        if isinstance(tool, FunctionTool):
            parameters, loosened = of_arguments(tool.parameters, plain=notes.abilities.plain_schemas)
            if loosened:
                notes.yielded.append("tools.parameters")
            spec: Json = {"name": notes.tool_name(tool.name)}
            if tool.description and not tool.description.isspace():
                spec["description"] = tool.description
            if tool.strict and notes.abilities.formats:
                holding = held({"properties": {}, **parameters})
                if holding.open:
                    notes.yielded.append("tools.strict")
                else:
                    if holding.loosened:
                        notes.yielded.append("tools.parameters")
                    parameters, spec["strict"] = holding.schema, True
            elif tool.strict:
                notes.yielded.append("tools.strict")
            notes.yielded += [f"tools.{name}" for name in tool.extras]
            return {"toolSpec": {**spec, "inputSchema": {"json": parameters}}}
        if isinstance(tool, CustomTool):
            notes.unsaid.append("tools.custom")
        elif responses.is_offered_unasked(tool.value, self._said.extras.get("client_metadata")):
            notes.yielded.append(f"tools.{tool.kind}")
        else:
            notes.unsaid.append(f"tools.{tool.kind}")
            notes.reasons[f"tools.{tool.kind}"] = (
                "only providers that speak the client's own dialect have this tool; leave it out, or name a "
                "model of one of them"
            )
        return None

    def _choose(self, choice: ToolChoice) -> None:
        notes, can = self._notes, self._notes.abilities.choices
        if choice.parallel is False:
            name = "parallel_tool_calls"
            if self._said.dialect == "messages":
                name = "tool_choice.disable_parallel_tool_use"
            notes.unsaid.append(name)
            notes.reasons[name] = (
                "Converse cannot forbid parallel calls; leave it out, and take the calls one by one"
            )
        named = choice.mode == "named" or (
            choice.mode == "allowed" and choice.must and len(choice.names) == 1
        )
        must = named or choice.mode == "required" or (choice.mode == "allowed" and choice.must)
        if not must:
            return
        wanted = "tool" if named else "any"
        if named and wanted not in can and "any" in can:
            self._only(choice.names[0])
            wanted = "any"
        if wanted not in can:
            notes.lacks(
                "choice", f'{notes.model} does not take a demanded tool call; send tool_choice "auto"'
            )
            return
        told: Json = {"tool": {"name": notes.tool_name(choice.names[0])}} if wanted == "tool" else {"any": {}}
        self._body["toolConfig"]["toolChoice"] = told

    def _only(self, name: str) -> None:
        """Offer one tool alone: any that is called is it then."""
        config = self._body["toolConfig"]
        kept = [
            one
            for one in config["tools"]
            if one.get("toolSpec", {}).get("name") == self._notes.tool_name(name)
        ]
        config["tools"] = kept or config["tools"]

    # -- how it is to be answered ----------------------------------------------------------------------

    def _infer(self) -> None:
        said, notes = self._said, self._notes
        told: Json = {}
        if said.output_tokens_max:
            told["maxTokens"] = said.output_tokens_max
        elif said.output_tokens_max == 0:
            notes.lacks("max_tokens", "0 fills a prefix cache, which Converse cannot do alone; send more")
        if said.temperature is not None:
            if 0 <= said.temperature <= 1:
                told["temperature"] = said.temperature
            else:
                notes.lacks("temperature", "Converse takes 0 to 1")
        if said.top_p is not None:
            if 0 <= said.top_p <= 1:
                told["topP"] = said.top_p
            else:
                notes.lacks("top_p", "Converse takes 0 to 1")
        if said.stop:
            told["stopSequences"] = list(said.stop[:STOPS_MAX])
            if len(said.stop) > STOPS_MAX:
                notes.lacks("stop", f"Converse takes {STOPS_MAX}; send fewer")
        if told:
            self._body["inferenceConfig"] = told
        if said.top_k is not None:
            path = notes.abilities.top_k
            if path:
                self._own_field(path, said.top_k)
            else:
                notes.lacks("top_k", f"{notes.model} has no top_k; leave it out")

    def _own_field(self, path: tuple[str, ...], value: Any) -> None:
        """Set a field that only models of one maker have."""
        at = self._body.setdefault("additionalModelRequestFields", {})
        for name in path[:-1]:
            at = at.setdefault(name, {})
        at[path[-1]] = value

    def _extra(self, name: str, value: Any) -> None:
        said, notes = self._said, self._notes
        if name == "additionalModelRequestFields" and isinstance(value, dict):
            own = self._body.get(name, {})
            self._body[name] = {**own, **value}  # the client's own word goes first
        elif name == "additionalModelRequestFields":
            notes.unsaid.append(said.name_of(name))
        elif name in PASSED:
            self._body[name] = value
        elif said.dialect == "messages" and name == "output_config" and isinstance(value, dict):
            notes.yielded += [f"output_config.{inner}" for inner in value]
        elif name in GIVES_WAY.get(said.dialect, ()):
            notes.yielded.append(said.name_of(name))
        elif name != "stream_options":
            notes.unsaid.append(said.name_of(name))

    def _user(self, user: str) -> None:
        """Who asks is told among what the account's logs are searched by."""
        if _METADATA(user):
            told = self._body.get("requestMetadata")
            self._body["requestMetadata"] = {"user": user, **(told if isinstance(told, dict) else {})}
        else:
            self._notes.yielded.append(self._said.name_of("user"))

    def _think(self) -> None:
        """How much is to be thought: the client's word for it, else what its budget comes to."""
        told, can = self._said.thinking, self._notes.abilities.effort
        kind = told.value.get("type") if isinstance(told.value, dict) else None
        effort = told.effort
        if kind == "disabled" or (not effort and told.budget_tokens is None and told.value is None):
            return
        if not effort and told.budget_tokens is not None:
            effort = next((word for tokens, word in BUDGETS if told.budget_tokens <= tokens), "high")
        effort = {"minimal": "low", "": "medium"}.get(effort, effort)
        if effort == "none":
            return
        if can != "none" and effort in EFFORTS:
            self._effort(effort)
        elif can != "none":
            self._notes.lacks("thinking", f"Converse takes {', '.join(EFFORTS)}; send one of them")
        elif self._said.thinks_by_habit:
            self._notes.yielded.append(self._said.name_of("thinking"))
        else:
            self._notes.lacks(
                "thinking",
                f"{self._notes.model} cannot be asked to think; leave it out, or name another model",
            )

    def _effort(self, effort: str) -> None:
        """Say it where the model looks for it."""
        can = self._notes.abilities.effort
        if can == "field":
            config = self._body.get("outputConfig")
            self._body["outputConfig"] = {"effort": effort, **(config if isinstance(config, dict) else {})}
            return
        effort = "high" if effort in ("xhigh", "max") else effort
        if can == "gpt":
            self._own_field(("reasoning_effort",), effort)
            return
        if effort == "high" and self._said.output_tokens_max:  # Nova refuses a limit beside that
            self._notes.yielded.append(self._said.name_of("thinking"))
            effort = "medium"
        self._own_field(("reasoningConfig",), {"type": "enabled", "maxReasoningEffort": effort})
        config = self._body.get("inferenceConfig", {})
        for field, name in (("temperature", "temperature"), ("topP", "top_p")):
            if effort == "high" and config.pop(field, None) is not None:
                self._notes.yielded.append(self._said.name_of(name))
        if not config:
            self._body.pop("inferenceConfig", None)

    def _format(self) -> None:
        form, notes = self._said.format, self._notes
        if form is None:
            return
        if not notes.abilities.formats:
            notes.lacks("format", f"{notes.model} holds no answer to a form; name another model")
        elif form.kind != "json_schema" or not isinstance(form.schema, dict):
            notes.lacks("format", "Converse takes type json_schema with a schema; send that")
        else:
            holding = held(form.schema)
            if holding.open:
                notes.lacks("format", "Converse takes no object of any names; list its properties")
                return
            if holding.loosened:
                notes.yielded.append(f"{self._said.name_of('format')}.schema")
            schema: Json = {"schema": write_json(holding.schema).decode()}
            if form.name:
                schema["name"] = form.name
            if form.description:
                schema["description"] = form.description
            told = self._body.get("outputConfig")
            text = {"type": "json_schema", "structure": {"jsonSchema": schema}}
            self._body["outputConfig"] = {"textFormat": text, **(told if isinstance(told, dict) else {})}

    def _tier(self) -> None:
        said = self._said.service_tier
        if said is None:
            return
        tier = _TIERS.get(said)
        if tier is None:
            self._notes.lacks("service_tier", f"Bedrock takes {', '.join(_TIERS)}; send one of them")
        elif tier:
            self._body.setdefault("serviceTier", {"type": tier})
