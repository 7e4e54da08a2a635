"""The pipeline's form of a request of Messages or Responses, as a plain server of chat may get it.

The form is chat already, so this is a filter: what only the other dialect knows is taken out or said in the
words of chat, and what has no such words is named, as the client calls it. `unsaid` changes what the client
gets and is refused unless the provider's `drop` lists it; `yielded` may go and is noted. A service tier
`auto` and the like are left out without a word: they ask for nothing.
"""

from hashlib import blake2b
from typing import Any

from farthing.dialects.chat.fields import BILLING
from farthing.dialects.chat.models import Abilities, abilities
from farthing.dialects.chat.requests.lowered_messages import MessageLowering
from farthing.dialects.chat.requests.lowering_notes import LoweringNotes
from farthing.dialects.responses import fields as responses
from farthing.dialects.tool_names import CHARS_MAX as NAME_CHARS_MAX
from farthing.dialects.tool_names import short_name
from farthing.dialects.written import Written
from farthing.types import NOTHING_SAID, Dialect, Features, Json

MORE_THAN_CHAT: frozenset[Dialect] = frozenset({"messages", "responses"})
"""The dialects whose requests are lowered."""
BUDGETS = ((2_048, "low"), (8_192, "medium"))
"""The effort that a budget of thinking comes to, by the most tokens of it; above them it is `high`."""
SAME = frozenset({"model", "stream", "temperature", "top_p", "stop", "max_tokens"})
"""Fields that mean the same."""
GIVES_WAY: dict[str, frozenset[str]] = {
    "messages": frozenset({
        "billing_policy", "cache_control", "context_management", "diagnostics", "metadata", "speed",
        "user_profile_id", BILLING,
    }),
    "responses": responses.GIVES_WAY,
}  # fmt: skip
"""Fields of each dialect that do not change what the client gets, or not so that it would mind."""
NAMES = frozenset({
    "container", "document", "document.citations", "document.source.file_id", "document.source.url",
    "fallbacks", "image", "image.source.file_id", "inference_geo", "max_tokens", "mcp_servers",
    "output_config.format", "prefill", "temperature", "thread", "top_k", "top_p",
}) | responses.LACKED  # fmt: skip
"""What may be named as unsaid, beside tools and blocks by their types, and fields that nobody knows."""
SAMPLING = frozenset({"temperature", "top_k", "top_p"})
"""Those of `NAMES` that a client can do without."""
CHANGES = NAMES - SAMPLING
"""Those that it cannot do without noticing."""
USER_CHARS_MAX = 64
"""Of the client's name for who asks, at OpenAI. Anthropic's own agent sends some 150."""
_NO_PARAMETERS: Json = {"type": "object", "properties": {}}
_OPEN = frozenset({"$ref", "allOf", "anyOf", "oneOf"})
"""Words of a schema that may say what its own properties do not."""
_TOOL = frozenset({"type", "function", "cache_control"})
_DIRECT = {"allowed_callers": (["direct"],)}
_NO_FIELDS: frozenset[str] = frozenset()


def lowered(
    body: Json, *, model: str = "", dialect: Dialect = "messages", listed: Features = NOTHING_SAID
) -> Written:
    """`body`, which is the form of a request of `dialect`, for `model` at a server of chat completions, of
    which the catalogue says `listed`. It is not changed, and parts of it are in the result. Never raises on
    what `request_writer.inner` gives."""
    return _Lowering(abilities(model, listed), dialect).write(body)


class _Lowering:
    __slots__ = ("_body", "_can", "_gives_way", "_notes", "_of_messages")

    def __init__(self, can: Abilities, dialect: Dialect) -> None:
        self._can = can
        self._of_messages = dialect == "messages"
        self._gives_way = GIVES_WAY.get(dialect, _NO_FIELDS)
        self._notes = LoweringNotes(responses.NAMES) if dialect == "responses" else LoweringNotes()
        self._body: Json = {}

    def write(self, body: Json) -> Written:
        notes, written = self._notes, self._body
        for name, value in body.items():
            if name in SAME:
                written[name] = value
            elif name == "messages":
                goes_on = self._of_messages
                written["messages"] = MessageLowering(notes, self._can, goes_on=goes_on).write(value)
            elif name == "tools":
                self._tools(value, body.get("client_metadata"))
            else:
                self._other(name, value)
        if "tools" in written:
            self._choice(body)
        self._effort(body)
        if self._can.reasons:
            self._sampling()
        if body.get("max_tokens") == 0:
            del written["max_tokens"]
            notes.lacks(
                "max_tokens", "0 fills a prefix cache, which chat servers do by themselves; send more"
            )
        return notes.written(written)

    def _other(self, name: str, value: Any) -> None:
        notes = self._notes
        match name:
            case "tool_choice" | "parallel_tool_calls" | "thinking" | "reasoning_effort":
                pass
            case "user":
                self._body["user"] = short_user(value)
            case "response_format":
                self._format(value)
            case "top_k":
                notes.lacks("top_k", "chat completions have no top_k; leave it out")
            case "service_tier":
                if not self._of_messages:
                    self._body[name] = value
                elif value != "auto":
                    notes.yielded.append(name)
            case "logprobs" | "top_logprobs":
                self._body[name] = value
            case "prompt_cache_key" | "prompt_cache_retention" if self._can.openai:
                self._body[name] = value
            case "verbosity" if self._can.verbosity:
                self._body[name] = value
            case "output_config":
                notes.yielded += [f"output_config.{inner}" for inner in value]
            case _:
                (notes.yielded if name in self._gives_way else notes.unsaid).append(name)

    def _format(self, form: Json) -> None:
        kind = form.get("type")
        any_json = kind == "json_object" and not self._of_messages
        if any_json or (kind == "json_schema" and isinstance(form.get("json_schema"), dict)):
            self._body["response_format"] = form
        elif kind == "json_schema" and isinstance(form.get("schema"), dict):
            told = {"name": "answer", "schema": form["schema"], "strict": True}
            self._body["response_format"] = {"type": "json_schema", "json_schema": told}
        else:
            self._notes.lacks("output_config.format", "chat completions take a json_schema; send that")

    def _tools(self, tools: list[Any], client_metadata: Any) -> None:
        written = []
        for tool in tools:
            if responses.is_offered_unasked(tool, client_metadata):
                self._notes.yielded.append(f"tools.{tool['type']}")
                continue
            made = self._tool(tool)
            if made is not None:
                written.append(made)
        if written:
            self._body["tools"] = written

    def _tool(self, tool: Json) -> Json | None:
        kind = tool["type"]
        if kind != "function":
            self._notes.lacks(
                f"tools.{kind}",
                "only providers that speak the client's own dialect have this tool; leave it out, or name a "
                "model of one of them",
            )
            return None
        function = tool["function"]
        parameters = function.get("parameters")
        if parameters is None or not _is_full(parameters):
            function = {**function, "parameters": whole_schema(parameters)}
        elif len(tool) == 2 and len(function["name"]) <= NAME_CHARS_MAX:
            return tool
        if "cache_control" in tool:
            self._notes.marked = True
        self._notes.yielded += further_of_tool(tool)
        return {"type": "function", "function": {**function, "name": short_name(function["name"])}}

    def _choice(self, body: Json) -> None:
        choice, parallel = body.get("tool_choice"), body.get("parallel_tool_calls")
        if choice.__class__ is dict and choice["type"] == "allowed_tools":
            choice = self._allowed(choice["allowed_tools"])
        elif choice.__class__ is dict:
            for name in choice:
                if name not in ("type", "function"):
                    self._notes.unsaid.append(f"tool_choice.{name}")
            function = choice.get("function")
            if function is None:
                choice = choice["type"]
            else:
                named = {**function, "name": short_name(function["name"])}
                choice = {"type": "function", "function": named}
        if choice is not None:
            self._body["tool_choice"] = choice
        if parallel is not None:
            self._body["parallel_tool_calls"] = parallel

    def _allowed(self, told: Json) -> Any:
        """Leave the tools that are allowed, since few servers know this choice."""
        names = {short_name(tool["function"]["name"]) for tool in told["tools"]}
        tools = [tool for tool in self._body["tools"] if tool["function"]["name"] in names]
        if not tools:
            return "none"
        self._body["tools"] = tools
        return told["mode"]

    def _effort(self, body: Json) -> None:
        """How much is to be thought: the client's word for it, else what its budget comes to."""
        effort, thinking = body.get("reasoning_effort"), body.get("thinking") or {}
        kind, budget = thinking.get("type"), thinking.get("budget_tokens")
        field = "output_config.effort"
        if kind == "disabled":
            if self._can.effort:
                self._notes.yielded.append("thinking")
            if effort:
                self._notes.yielded.append(field)
            return
        if effort is None:
            if budget is None:
                if kind is not None and not self._can.reasons:  # one that reasons does so unasked
                    self._notes.yielded.append("thinking")
                return
            field = "thinking"
            effort = next((word for tokens, word in BUDGETS if budget <= tokens), "high")
        if not self._can.effort:
            self._notes.yielded.append(field)
            return
        least = self._can.at_most(effort)
        if least != effort:
            self._notes.yielded.append(field)
        self._body["reasoning_effort"] = least

    def _sampling(self) -> None:
        for name in ("temperature", "top_p"):
            value = self._body.pop(name, None)
            if value is not None and value != 1:
                self._notes.lacks(name, f"a model that reasons takes no {name}; leave it out")


def further_of_tool(tool: Json) -> list[str]:
    """The names of what a tool of Messages has beside its function, but for what asks for nothing."""
    return [
        f"tools.{name}"
        for name, value in tool.items()
        if name not in _TOOL and value is not False and value not in _DIRECT.get(name, ())
    ]


def whole_schema(parameters: Json | None) -> Json:
    """The parameters of a function as servers want them: those of none have a type and properties too."""
    if parameters is None:
        return _NO_PARAMETERS
    return parameters if _is_full(parameters) else {**_NO_PARAMETERS, **parameters}


def _is_full(schema: Json) -> bool:
    """Whether a schema says all that servers want of the parameters of a function."""
    return ("properties" in schema and "type" in schema) or not _OPEN.isdisjoint(schema)


def short_user(user: str) -> str:
    """The same each time, and no other user's."""
    if len(user) <= USER_CHARS_MAX:
        return user
    return blake2b(user.encode("utf-8", "surrogatepass"), digest_size=USER_CHARS_MAX // 2).hexdigest()
