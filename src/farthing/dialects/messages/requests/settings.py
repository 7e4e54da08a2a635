"""The tools of a conversation, and how it is to be answered, as fields of Messages."""

import re
from typing import Any

from farthing.dialects.conversation import (
    CustomTool,
    FunctionTool,
    Tool,
)
from farthing.dialects.messages.requests.notes import Notes, marked
from farthing.dialects.messages.requests.schemas import has_unions, held, of_object, without_unions
from farthing.dialects.responses import fields as responses
from farthing.types import Json

BUDGETS = {"minimal": 1_024, "low": 2_048, "medium": 8_192, "high": 24_576, "xhigh": 32_000, "max": 32_000}
"""Tokens of thinking for an effort, on models that take a budget."""
BUDGET_TOKENS_MIN = 1_024  # the provider's own
USER_CHARS_MAX = 256  # the provider's own
PASSED = frozenset({
    "cache_control", "container", "context_management", "diagnostics", "fallbacks", "inference_geo",
    "mcp_servers", "output_config", "speed", "stop_sequences", "user_profile_id",
})  # fmt: skip
"""Fields of Messages that a client of another dialect may send: they go up as they came."""
_TIERS = {"auto": "auto", "priority": "auto", "default": "standard_only", "standard_only": "standard_only"}
_OWN_TOOL = re.compile(r"_\d{8}$")
_NO_INPUT: Json = {"type": "object", "properties": {}}


class SettingsWriter:
    """Writes them into a body."""

    __slots__ = ("_messages", "_notes")

    def __init__(self, notes: Notes, messages: list[Json]) -> None:
        """`messages` are those that were written."""
        self._notes = notes
        self._messages = messages

    def write(self, body: Json) -> None:
        """Add to `body` what is said of how it is to be answered."""
        said = self._notes.said
        if said.extras:
            self._extras(body)
        self._settings(body)
        if said.format is not None:
            self._format(body)
        self._thinking(body)
        self._sampling(body)

    def write_tools(self, body: Json) -> None:
        tools = []
        for tool in self._notes.said.tools:
            written = self._tool(tool)
            if written is not None:
                tools.append(written)
        if not tools:
            return
        body["tools"] = tools
        choice = self._choice()
        if choice is not None:
            body["tool_choice"] = choice

    def _tool(self, tool: Tool) -> Json | None:
        if isinstance(tool, FunctionTool):
            parameters = tool.parameters
            if parameters is None:
                parameters = _NO_INPUT
            elif has_unions(parameters):
                self._notes.yielded.append("tools.parameters")
                parameters = without_unions(parameters)
            else:
                parameters = of_object(parameters)
            written: Json = {"name": tool.name, "input_schema": parameters}
            if tool.description:
                written["description"] = tool.description
            if tool.strict and self._notes.abilities.formats:
                self._strict(written)
            if tool.extras:
                self._notes.yielded += [f"tools.{name}" for name in tool.extras]
            return marked(written, tool.cache)
        if isinstance(tool, CustomTool):
            self._notes.unsaid.append("tools.custom")
            return None
        if self._notes.said.dialect == "messages" or _OWN_TOOL.search(tool.kind):
            return tool.value
        unasked = responses.is_offered_unasked(tool.value, self._notes.said.extras.get("client_metadata"))
        if unasked:
            self._notes.yielded.append(f"tools.{tool.kind}")
        else:
            self._notes.lacks(
                f"tools.{tool.kind}",
                "only providers that speak the client's own dialect have this tool; leave it out, or name a "
                "model of one of them",
            )
        return None

    def _strict(self, written: Json) -> None:
        """Hold the calls of a tool to its schema, if the provider can."""
        holding = held({"properties": {}, **written["input_schema"]})
        if holding.open:
            self._notes.yielded.append("tools.strict")
            return
        if holding.loosened:
            self._notes.yielded.append("tools.parameters")
        written["input_schema"] = holding.schema
        written["strict"] = True

    def _choice(self) -> Json | None:
        choice = self._notes.said.choice
        mode, names = choice.mode, choice.names
        if mode == "allowed":
            every = {tool.name for tool in self._notes.said.tools if isinstance(tool, FunctionTool)}
            if len(names) == 1 and choice.must:
                mode = "named"
            elif set(names) >= every:
                mode = "required" if choice.must else "auto"
            else:
                self._notes.lacks(
                    self._notes.said.name_of("choice"),
                    "Messages has no choice among some of the tools; send only those in tools",
                )
                mode = "required" if choice.must else "auto"
        if mode == "none":
            return {"type": "none"}
        if mode in ("required", "named") and not self._notes.abilities.forced_choice:
            self._notes.lacks(
                self._notes.said.name_of("choice"),
                f"{self._notes.model} does not take a demanded tool call; name one before Claude 5.1, "
                'such as claude-sonnet-5, or send tool_choice "auto"',
            )
            mode = "auto"
        written: Json
        if mode == "named":
            written = {"type": "tool", "name": names[0]}
        elif mode == "required":
            written = {"type": "any"}
        elif mode == "auto" or choice.parallel is False:
            written = {"type": "auto"}
        else:
            return None
        if choice.parallel is False:
            written["disable_parallel_tool_use"] = True
        return written

    def _extras(self, body: Json) -> None:
        said = self._notes.said
        for name, value in said.extras.items():
            if said.dialect == "responses" and name in responses.GIVES_WAY:
                self._notes.yielded.append(said.name_of(name))
            elif name in PASSED:
                body[name] = value
            elif name == "metadata" and isinstance(value, dict) and set(value) == {"user_id"}:
                body["metadata"] = value
            else:
                self._notes.unsaid.append(said.name_of(name))

    def _settings(self, body: Json) -> None:
        said = self._notes.said
        if said.cache is not None:
            body["cache_control"] = said.cache
        if said.stop:
            words = [one for one in said.stop if not one.isspace()]
            if len(words) < len(said.stop):
                self._notes.lacks(
                    said.name_of("stop"), "Messages takes no stop of white space alone; remove that one"
                )
            if words:
                body["stop_sequences"] = words
        if said.user:
            if len(said.user) > USER_CHARS_MAX:
                self._notes.lacks(
                    said.name_of("user"), f"it is longer than {USER_CHARS_MAX} characters; send a shorter one"
                )
            else:
                body.setdefault("metadata", {"user_id": said.user})
        if said.service_tier is not None:
            tier = _TIERS.get(said.service_tier)
            if tier is None:
                self._notes.lacks(
                    said.name_of("service_tier"), f"Messages takes {', '.join(_TIERS)}; send one of them"
                )
            else:
                body["service_tier"] = tier

    def _format(self, body: Json) -> None:
        form, name = self._notes.said.format, self._notes.said.name_of("format")
        if form is not None and form.kind == "json_schema" and form.schema and self._notes.abilities.formats:
            holding = held(form.schema)
            if holding.open:
                self._notes.lacks(name, "Messages takes no object of any names; list its properties")
                return
            if holding.loosened:
                self._notes.yielded.append(f"{name}.schema")
            self._output_config(body, "format", {"type": "json_schema", "schema": holding.schema})
            return
        if not self._notes.abilities.formats:
            why = f"{self._notes.model} holds no answer to a form; name a newer model such as claude-sonnet-5"
        elif form is not None and form.kind == "json_object":
            why = f"{self._notes.model} takes no json_object; send a json_schema, which it takes"
        else:
            why = "Messages takes type json_schema with a schema; send that"
        self._notes.lacks(name, why)

    def _output_config(self, body: Json, name: str, value: Any) -> None:
        """The client's own word in `output_config` goes first."""
        told = body.get("output_config")
        body["output_config"] = {name: value, **(told if isinstance(told, dict) else {})}

    def _thinking(self, body: Json) -> None:
        told = self._notes.said.thinking
        wanted = self._wanted(body)
        if wanted is None:
            return
        if wanted["type"] != "disabled":
            choice = body.get("tool_choice", {}).get("type")
            unsigned = self._notes.abilities.thinking == "budget" and goes_on_unsigned(self._messages)
            if choice == "any" or choice == "tool" or unsigned:
                if told.value is not None or self._notes.abilities.thinking == "budget":
                    self._notes.yielded.append(self._notes.said.name_of("thinking"))
                return
        body["thinking"] = wanted

    def _wanted(self, body: Json) -> Json | None:
        """The field `thinking` as the client asked for it; None: nothing, or nothing that can be had."""
        told, can = self._notes.said.thinking, self._notes.abilities
        effort, value, budget = told.effort, told.value, told.budget_tokens
        name = self._notes.said.name_of("thinking")
        if not effort and value is None and budget is None:
            return None
        kind = value.get("type") if isinstance(value, dict) else None
        if kind == "disabled" or (value is None and effort == "none"):
            told_off = can.thinking == "adaptive" or (can.thinking == "budget" and value is not None)
            return {"type": "disabled"} if told_off else None
        if can.thinking == "none" and self._notes.said.thinks_by_habit:
            self._notes.yielded.append(name)
            return None
        if can.thinking == "none":
            self._notes.lacks(
                name, f"{self._notes.model} does not think; name a newer model such as claude-sonnet-5"
            )
            return None
        if can.thinking == "adaptive":
            self._effort(body)
            if value is None:
                return {"type": "adaptive"}
            if kind is not None and kind != "enabled":
                return value  # type: ignore[no-any-return]
            self._notes.yielded.append("thinking.budget_tokens")
            kept = value.items() if isinstance(value, dict) else ()
            return {key: inner for key, inner in kept if key != "budget_tokens"} | {"type": "adaptive"}
        if kind is not None and kind != "adaptive":
            return value  # type: ignore[no-any-return]
        fitting = min(budget or BUDGETS.get(effort, BUDGETS["medium"]), body["max_tokens"] * 4 // 5)
        fitting = max(fitting, BUDGET_TOKENS_MIN)
        if fitting >= body["max_tokens"]:
            self._notes.yielded.append(name)
            return None
        return {"type": "enabled", "budget_tokens": fitting}

    def _effort(self, body: Json) -> None:
        told, can = self._notes.said.thinking, self._notes.abilities.effort
        effort = told.effort
        if not effort and told.budget_tokens is not None and told.value is None:
            effort = next((e for e in ("low", "medium", "high") if told.budget_tokens <= BUDGETS[e]), "high")
        if effort == "minimal":
            effort = "low"
        if effort and effort not in can:
            effort = "high" if effort == "xhigh" else ""
            if not effort:
                self._notes.lacks(
                    self._notes.said.name_of("thinking"),
                    f"{self._notes.model} takes {', '.join(can)}; send one of them",
                )
        if effort:
            self._output_config(body, "effort", effort)

    def _sampling(self, body: Json) -> None:
        said, can = self._notes.said, self._notes.abilities
        thinks = body.get("thinking", {}).get("type") in ("enabled", "adaptive")
        free = can.sampling and not thinks
        temperature = said.temperature if said.temperature != 1 else None
        if temperature is not None:
            if free and 0 <= temperature <= 1:
                body["temperature"] = temperature
            else:
                self._notes.lacks("temperature", self._why_no("temperature", free, "Messages takes 0 to 1"))
        top_p = said.top_p if said.top_p != 1 else None
        if top_p is not None:
            together = can.both_samplings or "temperature" not in body
            if can.sampling and together and (not thinks or top_p >= 0.95):
                body["top_p"] = top_p
            else:
                beside = f"{self._notes.model} takes temperature or top_p; send one of them"
                self._notes.lacks(
                    "top_p", self._why_no("top_p", can.sampling and not (together and thinks), beside)
                )
        if said.top_k is not None:
            if free:
                body["top_k"] = said.top_k
            else:
                self._notes.lacks("top_k", self._why_no("top_k", free, ""))

    def _why_no(self, name: str, free: bool, otherwise: str) -> str:
        if free:
            return otherwise
        if not self._notes.abilities.sampling:
            return f"{self._notes.model} takes no {name}; leave it out, or name a model before Claude 4.7"
        return f"a model that thinks takes no such {name}; leave one of the two out"


def goes_on_unsigned(messages: list[Json]) -> bool:
    """Whether the model is to go on with an answer whose reasoning is not there, since its client knows of
    none or another model thought it. Models with a budget refuse to think then."""
    last: Json | None = None
    for message in reversed(messages):
        if message["role"] == "assistant":
            last = message
            break
        if message["role"] == "user" and message["content"][0]["type"] != "tool_result":
            return False
    return last is not None and last["content"][0]["type"] not in ("thinking", "redacted_thinking")


def without_thinking(managed: Any) -> Json | None:
    """`context_management` without what is to become of thoughts, which is refused where none are asked for;
    None: it says nothing of them."""
    told = managed.get("edits") if isinstance(managed, dict) else None
    if not isinstance(told, list):
        return None
    kept = [edit for edit in told if not _clears_thinking(edit)]
    return None if len(kept) == len(told) else {**managed, "edits": kept}


def _clears_thinking(edit: Any) -> bool:
    return isinstance(edit, dict) and str(edit.get("type")).startswith("clear_thinking")
