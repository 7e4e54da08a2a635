"""The tools of a conversation, and how it is to be answered, as fields of `generateContent`."""

from typing import Any

from farthing.dialects.chat.requests.lowering import GIVES_WAY, further_of_tool
from farthing.dialects.conversation import CustomTool, FunctionTool, Tool
from farthing.dialects.gemini.requests.notes import Notes
from farthing.dialects.gemini.requests.schemas import of_arguments, plain
from farthing.dialects.gemini.requests.turns import TurnWriter
from farthing.dialects.responses import fields as responses
from farthing.types import Json

STOPS_MAX = 5  # the provider's own
BUDGETS = {"minimal": 1_024, "low": 2_048, "medium": 8_192, "high": 24_576, "xhigh": 32_768, "max": 32_768}
"""Tokens of thinking for an effort, on models that take a budget."""
LEVELS = ((2_048, "low"), (8_192, "medium"))
"""The level that a budget comes to, by the most tokens of it; above them it is `high`."""
HIGHER = ("xhigh", "max")
"""Efforts above all levels."""
TIERS = {"auto": "", "default": "standard", "standard": "standard", "standard_only": "standard",
         "flex": "flex", "priority": "priority"}  # fmt: skip
OWN_TOOLS = {
    "google_search": "googleSearch",
    "googleSearch": "googleSearch",
    "google_maps": "googleMaps",
    "googleMaps": "googleMaps",
    "url_context": "urlContext",
    "urlContext": "urlContext",
    "code_execution": "codeExecution",
    "codeExecution": "codeExecution",
}
"""Tools that Gemini runs, by the names that a client may ask for them."""
OWN_FIELDS = {
    "cached_content": "cachedContent",
    "cachedContent": "cachedContent",
    "labels": "labels",
    "safety_settings": "safetySettings",
    "safetySettings": "safetySettings",
    "retrieval_config": "retrievalConfig",
    "retrievalConfig": "retrievalConfig",
    "generation_config": "generationConfig",
    "generationConfig": "generationConfig",
    "thinking_config": "thinkingConfig",
    "thinkingConfig": "thinkingConfig",
    "response_modalities": "responseModalities",
    "responseModalities": "responseModalities",
    "media_resolution": "mediaResolution",
    "mediaResolution": "mediaResolution",
    "image_config": "imageConfig",
    "imageConfig": "imageConfig",
    "speech_config": "speechConfig",
    "speechConfig": "speechConfig",
}
"""Fields of Gemini that any client may send, beside its own or in `extra_body.google`."""
LIMITED = frozenset({"candidateCount", "maxOutputTokens"})
"""Of `generationConfig`: what limits what an answer may cost, which clients say by their own fields."""
AT_THE_TOP = frozenset({"cachedContent", "labels", "safetySettings"})
"""Those of them that stand beside `contents`; all others are in `generationConfig`."""
_UNSAID = {
    "choices": "Gemini's answers are read one at a time; send the request that often",
    "logit_bias": "Gemini has no bias of tokens; leave it out",
    "logprobs": "the probabilities of tokens are not translated; ask a target of kind openai",
}
"""Fields of a conversation that are not told, and what helps."""


class SettingsWriter:
    """Writes them into a body."""

    __slots__ = ("_config", "_notes", "_own")

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._config: Json = {}
        self._own: Json = {}
        """Fields of Gemini's own that the client has sent: its own word goes first."""

    def write(self, body: Json, turns: TurnWriter) -> None:
        """Add to `body` the tools, and what is said of how it is to be answered."""
        said, notes = self._notes.said, self._notes
        for name, value in said.extras.items():
            self._extra(name, value, body)
        if said.tools:
            self._tools(body, turns)
        for field, why in _UNSAID.items():
            if getattr(said, field) is not None:
                notes.lacks(said.name_of(field), why)
        self._limits()
        self._sampling()
        if said.format is not None:
            self._format()
        self._thinking()
        if said.user:
            notes.give_way(said.name_of("user"))
        notes.marked(said.cache)
        if said.service_tier is not None:
            self._tier(said.service_tier, body)
        self._merge(body)

    # -- tools -------------------------------------------------------------------------------------------

    def _tools(self, body: Json, turns: TurnWriter) -> None:
        functions: list[Json] = []
        others: list[Json] = []
        for tool in self._notes.said.tools:
            if isinstance(tool, FunctionTool):
                functions.append(self._function(tool, turns))
            else:
                other = self._other_tool(tool)
                if other is not None:
                    others.append(other)
        tools = [{"functionDeclarations": functions}, *others] if functions else others
        if tools:
            body["tools"] = [*body.get("tools", ()), *tools]
        if functions:
            choice = self._choice(turns)
            if choice is not None:
                body["toolConfig"] = {"functionCallingConfig": choice}

    def _function(self, tool: FunctionTool, turns: TurnWriter) -> Json:
        written: Json = {"name": turns.name(tool.name)}
        if tool.description:
            written["description"] = tool.description
        parameters = of_arguments(tool.parameters)
        if parameters is not None:
            written["parametersJsonSchema"] = parameters
        notes = self._notes
        if tool.strict:
            notes.give_way("tools.strict")
        notes.marked(tool.cache)
        if tool.extras:
            notes.yielded += further_of_tool(tool.extras)
        return written

    def _other_tool(self, tool: Tool) -> Json | None:
        notes = self._notes
        if isinstance(tool, CustomTool):
            notes.unsaid.append("tools.custom")
            return None
        assert not isinstance(tool, FunctionTool)
        if tool.kind in OWN_TOOLS and notes.said.dialect == "chat":
            name = OWN_TOOLS[tool.kind]
            told = tool.value.get(tool.kind, tool.value.get(name))
            return {name: told if isinstance(told, dict) else {}}
        if responses.is_offered_unasked(tool.value, notes.said.extras.get("client_metadata")):
            notes.give_way(f"tools.{tool.kind}")
        else:
            notes.lacks(
                f"tools.{tool.kind}",
                "only providers that speak the client's own dialect have this tool; leave it out, or name a "
                "model of one of them",
            )
        return None

    def _choice(self, turns: TurnWriter) -> Json | None:
        said = self._notes.said
        choice = said.choice
        if choice.parallel is False:
            name = "parallel_tool_calls"
            if said.dialect == "messages":
                name = "tool_choice.disable_parallel_tool_use"
            self._notes.lacks(name, "Gemini cannot be held to one call at a time; leave it out")
        if choice.extras:
            self._notes.unsaid += [f"{said.name_of('choice')}.{name}" for name in choice.extras]
        names = [turns.name(name) for name in choice.names]
        match choice.mode:
            case "none":
                return {"mode": "NONE"}
            case "auto":
                return {"mode": "AUTO"}
            case "required":
                return {"mode": "ANY"}
            case "named":
                return {"mode": "ANY", "allowedFunctionNames": names}
            case "allowed":
                return {"mode": "ANY" if choice.must else "VALIDATED", "allowedFunctionNames": names}
            case _:
                return None

    # -- how it is to be answered --------------------------------------------------------------------------

    def _limits(self) -> None:
        said, notes = self._notes.said, self._notes
        if said.output_tokens_max:
            self._config["maxOutputTokens"] = said.output_tokens_max
        elif said.output_tokens_max == 0:
            notes.lacks(
                said.name_of("output_tokens_max"),
                "0 fills a prefix cache, which Gemini does by itself; send more",
            )
        if len(said.stop) > STOPS_MAX:
            notes.lacks(said.name_of("stop"), f"Gemini takes {STOPS_MAX} stops at most; send fewer")
        elif said.stop:
            self._config["stopSequences"] = list(said.stop)

    def _sampling(self) -> None:
        said, config = self._notes.said, self._config
        for name, value in (
            ("temperature", said.temperature),
            ("topP", said.top_p),
            ("topK", said.top_k),
            ("seed", said.seed),
            ("frequencyPenalty", said.frequency_penalty),
            ("presencePenalty", said.presence_penalty),
        ):
            if value is not None:
                config[name] = value

    def _format(self) -> None:
        form, notes = self._notes.said.format, self._notes
        assert form is not None
        name = notes.said.name_of("format")
        functions = any(isinstance(tool, FunctionTool) for tool in notes.said.tools)
        if functions and not notes.abilities.forms_beside_tools:
            notes.lacks(
                name, f"{notes.model} holds no answer to a form beside tools; name a model since Gemini 3"
            )
        elif form.kind == "json_object":
            self._config["responseMimeType"] = "application/json"
        elif form.kind == "json_schema" and isinstance(form.schema, dict):
            self._config["responseMimeType"] = "application/json"
            if form.schema:
                self._config["responseJsonSchema"] = plain(form.schema)
        else:
            notes.lacks(name, "Gemini takes any JSON, or JSON of a schema; send one of them")

    def _thinking(self) -> None:
        told, can, notes = self._notes.said.thinking, self._notes.abilities, self._notes
        value, effort, budget = told.value, told.effort, told.budget_tokens
        kind = value.get("type") if isinstance(value, dict) else None
        if not effort and value is None and budget is None:
            return
        name = notes.said.name_of("thinking")
        off = kind == "disabled" or (value is None and effort == "none") or budget == 0
        if can.thinking == "none":
            if not off and notes.said.thinks_by_habit:
                notes.give_way(name)
            elif not off:
                notes.lacks(name, f"{notes.model} does not think; name a model since Gemini 2.5")
            return
        if off and can.thinks_always:
            notes.give_way(name)  # it thinks as little as it can
        config: Json = {}
        if can.thinking == "level":
            level = self._level(effort, budget, off=off, name=name)
            if level:
                config["thinkingLevel"] = level.upper()
        elif off:
            config["thinkingBudget"] = can.budget_tokens_min if can.thinks_always else 0
        else:
            tokens = budget if budget is not None else BUDGETS.get(effort)
            if tokens is not None:
                config["thinkingBudget"] = min(max(tokens, can.budget_tokens_min), can.budget_tokens_max)
        shown = value.get("display") if isinstance(value, dict) else None
        if not off and shown != "omitted":
            config["includeThoughts"] = True
        if config:
            self._config["thinkingConfig"] = config

    def _level(self, effort: str, budget: int | None, *, off: bool, name: str) -> str:
        """The level that a client asks for in its own words; empty: it leaves that to the model."""
        levels, notes = self._notes.abilities.levels, self._notes
        if off:
            return levels[0]
        if not effort and budget is not None:
            effort = next((word for tokens, word in LEVELS if budget <= tokens), "high")
        if not effort:
            return ""
        if effort in levels:
            return effort
        if effort in HIGHER:
            notes.give_way(name)
            return levels[-1]
        if effort == "minimal":
            return levels[0]
        if effort == "medium":
            return "high"
        notes.lacks(name, f"{notes.model} takes {', '.join(levels)}; send one of them")
        return ""

    def _tier(self, tier: str, body: Json) -> None:
        known = TIERS.get(tier)
        if known is None:
            name = self._notes.said.name_of("service_tier")
            self._notes.lacks(name, f"Gemini takes {', '.join(TIERS)}; send one of them")
        elif known:
            body["serviceTier"] = known

    # -- further fields ------------------------------------------------------------------------------------

    def _extra(self, name: str, value: Any, body: Json) -> None:
        said, notes = self._notes.said, self._notes
        if name in OWN_FIELDS and said.dialect != "responses":
            self._own[OWN_FIELDS[name]] = value
        elif name == "extra_body" and isinstance(value, dict) and value.keys() <= {"google"}:
            self._of_google(value.get("google"))
        elif name == "web_search_options" and said.dialect == "chat":
            body["tools"] = [{"googleSearch": {}}]
            if isinstance(value, dict):
                notes.yielded += [f"{name}.{inner}" for inner in value]
        elif name == "modalities" and _modalities(value):
            self._config["responseModalities"] = _modalities(value)
        elif name == "metadata" and said.dialect == "messages":
            notes.give_way(name)
        elif name == "output_config" and said.dialect == "messages" and isinstance(value, dict):
            notes.yielded += [f"output_config.{inner}" for inner in value]
        elif name in GIVES_WAY.get(said.dialect, ()):
            notes.give_way(said.name_of(name))
        else:
            notes.unsaid.append(said.name_of(name))

    def _of_google(self, told: Any) -> None:
        """What the clients of Google's own endpoint for chat completions send."""
        for name, value in told.items() if isinstance(told, dict) else ():
            if name in OWN_FIELDS:
                self._own[OWN_FIELDS[name]] = value
            else:
                self._notes.unsaid.append(f"extra_body.google.{name}")

    def _merge(self, body: Json) -> None:
        """Put what was said together: the client's words in Gemini's own names go first."""
        own, config = self._own, self._config
        for name in AT_THE_TOP & own.keys():
            body[name] = own.pop(name)
        retrieval = own.pop("retrievalConfig", None)
        if retrieval is not None:
            body["toolConfig"] = {**body.get("toolConfig", {}), "retrievalConfig": retrieval}
        whole = own.pop("generationConfig", None)
        config |= own
        if isinstance(whole, dict):
            self._notes.unsaid += [f"generationConfig.{name}" for name in LIMITED if name in whole]
            config |= {name: value for name, value in whole.items() if name not in LIMITED}
        if config:
            body["generationConfig"] = config


def _modalities(value: Any) -> list[str]:
    """The kinds of an answer that Gemini's models have beside text; empty: there are others."""
    if not isinstance(value, list) or not value or not all(one in ("text", "image") for one in value):
        return []
    return [str(one).upper() for one in value]
