"""The pipeline's form of a request of Messages, as a server of plain chat completions may get it.

The form is chat already, so this is a filter: what only Messages knows is taken out or said in the words of
chat, and what has no such words is named, as the client calls it. `unsaid` changes what the client gets and
is refused unless the provider's `drop` lists it; `yielded` may go and is noted. A service tier `auto` and the
like are left out without a word: they ask for nothing.
"""

from hashlib import blake2b
from typing import Any

from farthing.dialects.chat.fields import BILLING
from farthing.dialects.chat.models import abilities
from farthing.dialects.chat.requests.lowered_messages import MessageLowering
from farthing.dialects.chat.requests.lowering_notes import LoweringNotes
from farthing.dialects.tool_names import CHARS_MAX as NAME_CHARS_MAX
from farthing.dialects.tool_names import short_name
from farthing.dialects.written import Written
from farthing.types import Json

BUDGETS = ((2_048, "low"), (8_192, "medium"))
"""The effort that a budget of thinking comes to, by the most tokens of it; above them it is `high`."""
SAME = frozenset({"model", "stream", "temperature", "top_p", "stop", "max_tokens"})
"""Fields that mean the same."""
GIVES_WAY = frozenset({
    "billing_policy", "cache_control", "context_management", "diagnostics", "metadata", "speed",
    "user_profile_id", BILLING,
})  # fmt: skip
"""Fields of Messages that do not change what the client gets, or not so that it would mind."""
NAMES = frozenset({
    "container", "document", "document.citations", "document.source.file_id", "document.source.url",
    "fallbacks", "image", "image.source.file_id", "inference_geo", "max_tokens", "mcp_servers",
    "output_config.format", "prefill", "temperature", "thread", "top_k", "top_p",
})  # fmt: skip
"""What may be named as unsaid, beside tools and blocks by their types, and fields that nobody knows."""
SAMPLING = frozenset({"temperature", "top_k", "top_p"})
"""Those of `NAMES` that a client can do without."""
USER_CHARS_MAX = 64
"""Of the client's name for who asks, at OpenAI. Anthropic's own agent sends some 150."""
_NO_PARAMETERS: Json = {"type": "object", "properties": {}}
_OPEN = frozenset({"$ref", "allOf", "anyOf", "oneOf"})
"""Words of a schema that may say what its own properties do not."""
_TOOL = frozenset({"type", "function", "cache_control"})
_DIRECT = {"allowed_callers": (["direct"],)}


def lowered(body: Json, *, model: str = "") -> Written:
    """`body`, which is the form of a request of Messages, for `model` at a server of chat completions. It is
    not changed, and parts of it are in the result. Never raises on what `request_writer.inner` gives."""
    return _Lowering(model).write(body)


class _Lowering:
    __slots__ = ("_body", "_can", "_notes")

    def __init__(self, model: str) -> None:
        self._can = abilities(model)
        self._notes = LoweringNotes()
        self._body: Json = {}

    def write(self, body: Json) -> Written:
        notes, written = self._notes, self._body
        for name, value in body.items():
            if name in SAME:
                written[name] = value
            elif name == "messages":
                written["messages"] = MessageLowering(notes, self._can).write(value)
            elif name == "tools":
                self._tools(value)
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
                self._body["user"] = _short_user(value)
            case "response_format":
                self._format(value)
            case "top_k":
                notes.lacks("top_k", "chat completions have no top_k; leave it out")
            case "service_tier":
                if value != "auto":
                    notes.yielded.append(name)
            case "output_config":
                notes.yielded += [f"output_config.{inner}" for inner in value]
            case _:
                (notes.yielded if name in GIVES_WAY else notes.unsaid).append(name)

    def _format(self, form: Json) -> None:
        if form.get("type") == "json_schema" and isinstance(form.get("json_schema"), dict):
            self._body["response_format"] = form
        elif form.get("type") == "json_schema" and isinstance(form.get("schema"), dict):
            told = {"name": "answer", "schema": form["schema"], "strict": True}
            self._body["response_format"] = {"type": "json_schema", "json_schema": told}
        else:
            self._notes.lacks("output_config.format", "chat completions take a json_schema; send that")

    def _tools(self, tools: list[Any]) -> None:
        written = [made for made in map(self._tool, tools) if made is not None]
        if written:
            self._body["tools"] = written

    def _tool(self, tool: Json) -> Json | None:
        kind = tool["type"]
        if kind != "function":
            self._notes.lacks(
                f"tools.{kind}", "only Anthropic's models have this tool; leave it out or name one of them"
            )
            return None
        function = tool["function"]
        parameters = function.get("parameters", _NO_PARAMETERS)
        if "parameters" not in function or not _is_full(parameters):
            function = {**function, "parameters": {**_NO_PARAMETERS, **parameters}}
        elif len(tool) == 2 and len(function["name"]) <= NAME_CHARS_MAX:
            return tool
        if "cache_control" in tool:
            self._notes.marked = True
        for name, value in tool.items():
            if name not in _TOOL and value is not False and value not in _DIRECT.get(name, ()):
                self._notes.yielded.append(f"tools.{name}")
        return {"type": "function", "function": {**function, "name": short_name(function["name"])}}

    def _choice(self, body: Json) -> None:
        choice, parallel = body.get("tool_choice"), body.get("parallel_tool_calls")
        if choice.__class__ is dict:
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
        if effort in ("xhigh", "max") and effort != self._can.effort_max:
            effort = self._can.effort_max
            self._notes.yielded.append(field)
        self._body["reasoning_effort"] = effort

    def _sampling(self) -> None:
        for name in ("temperature", "top_p"):
            value = self._body.pop(name, None)
            if value is not None and value != 1:
                self._notes.lacks(name, f"a model that reasons takes no {name}; leave it out")


def _is_full(schema: Json) -> bool:
    """Whether a schema says all that servers want of the parameters of a function."""
    return ("properties" in schema and "type" in schema) or not _OPEN.isdisjoint(schema)


def _short_user(user: str) -> str:
    """The same each time, and no other user's."""
    if len(user) <= USER_CHARS_MAX:
        return user
    return blake2b(user.encode("utf-8", "surrogatepass"), digest_size=USER_CHARS_MAX // 2).hexdigest()
