"""A conversation as the body of `POST /v1/messages`.

What Messages cannot say is named, never left out in silence: `unsaid` has the client's fields that ask for
something this form has no word for, `yielded` what had to give way in this one request (thinking beside a
demanded call). Where a model decides how something is said, `models` knows. Values that make the provider's
prefix cache (`cache_control`) or prove its own reasoning (signatures) are the very values that were read.

Sources: the types of Anthropic's SDK; docs: "Extended thinking", "Tool use", "Structured outputs".
"""

import re
from hashlib import blake2b
from itertools import accumulate
from typing import Any

from msgspec import Struct

from farthing.dialects.conversation import (
    Audio,
    Block,
    Conversation,
    CustomTool,
    Document,
    FunctionTool,
    Image,
    Inline,
    Link,
    Opaque,
    Plain,
    Reasoning,
    Refusal,
    Source,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)
from farthing.dialects.messages.models import abilities
from farthing.dialects.messages.schemas import held
from farthing.text.lenient_json import NotJson, read_json
from farthing.types import Json

BUDGETS = {"minimal": 1_024, "low": 2_048, "medium": 8_192, "high": 24_576, "xhigh": 32_000, "max": 32_000}
"""Tokens of thinking for an effort, on models that take a budget."""
BUDGET_TOKENS_MIN = 1_024  # the provider's own
DEPTH_MAX = 200  # of the arguments of a call; more is no call that a tool was made for
VALUES_MAX = 100_000  # in the arguments of all calls together, which the bounds of a body see as texts
USER_CHARS_MAX = 256  # the provider's own
ID_CHARS_MAX = 64  # of a call
PLACEHOLDER = "."
"""What a user says where the conversation begins with an answer, or holds instructions alone: Messages wants
a user first, and words that say something."""

PASSED = frozenset({
    "cache_control", "container", "context_management", "diagnostics", "fallbacks", "inference_geo",
    "mcp_servers", "output_config", "speed", "stop_sequences", "user_profile_id",
})  # fmt: skip
"""Fields of Messages that a client of another dialect may send: they go up as they came."""
_TIERS = {"auto": "auto", "priority": "auto", "default": "standard_only", "standard_only": "standard_only"}
_NO_ID = re.compile(r"[^a-zA-Z0-9_-]")
_BRACKETS = re.compile(r"[\[\]{}]")
_STRINGS = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_STEPS = {"[": 1, "{": 1, "]": -1, "}": -1}
_OWN_TOOL = re.compile(r"_\d{8}$")
_NO_INPUT: Json = {"type": "object", "properties": {}}
_IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_ROOT_UNIONS = frozenset({"anyOf", "oneOf", "allOf"})
_PLAIN_FIELDS = ("choices", "seed", "frequency_penalty", "presence_penalty", "logit_bias", "logprobs")
"""Fields of a conversation that Messages has no word for."""


class Written(Struct, frozen=True):
    body: Json
    unsaid: tuple[str, ...] = ()
    """Names of the client's fields that are not in `body`."""
    yielded: tuple[str, ...] = ()
    """Names of those that gave way to others in this request alone."""
    reasons: dict[str, str] = {}
    """Why a name of `unsaid` cannot be said to this model and what helps; none where no model takes it."""


def translate(
    conversation: Conversation, *, model: str, output_tokens_max: int | None, stream: bool = False
) -> Written:
    """`output_tokens_max` is the limit where the client names none; None: a cautious one of the model's
    generation. Never raises."""
    return _Writer(conversation, model).written(output_tokens_max, stream)


def write(conversation: Conversation, *, model: str, output_tokens_max: int | None, stream: bool) -> Json:
    """The body alone, without what is unsaid. The values in it are the conversation's own: change none."""
    return translate(conversation, model=model, output_tokens_max=output_tokens_max, stream=stream).body


def unsaid(conversation: Conversation, *, model: str = "") -> tuple[str, ...]:
    """Names of the client's fields, as it wrote them, that ask for what Messages cannot say to this model."""
    return translate(conversation, model=model, output_tokens_max=None).unsaid


class _Writer:
    __slots__ = (
        "_abilities",
        "_again",
        "_held",
        "_ids",
        "_messages",
        "_mixed",
        "_model",
        "_open",
        "_reasons",
        "_said",
        "_unsaid",
        "_used",
        "_values_left",
        "_yielded",
    )

    def __init__(self, conversation: Conversation, model: str) -> None:
        self._said = conversation
        self._model = model
        self._abilities = abilities(model)
        self._messages: list[Json] = []
        self._unsaid: list[str] = []
        self._yielded: list[str] = []
        self._reasons: dict[str, str] = {}
        self._ids: dict[str, str] = {}
        """What the client's id of a call is written as; of an id that comes again, the latest."""
        self._used: dict[str, int] = {}
        """The place of each call among all, by the id that it is written with."""
        self._again: dict[str, int] = {}
        """How often the start of an id was given anew: where to look on for one that is free."""
        self._mixed: list[list[Json]] = []
        """Contents whose results are still to be put in order."""
        self._open: set[str] = set()
        """Calls of the last answer that have no result yet: nothing may come between."""
        self._held: list[Turn] = []
        self._values_left = VALUES_MAX

    def written(self, output_tokens_max: int | None, stream: bool) -> Written:
        said = self._said
        limit = said.output_tokens_max
        if limit is None:
            limit = output_tokens_max or self._abilities.output_tokens_max
        body: Json = {"model": self._model, "max_tokens": limit}
        if said.system:
            system = [block for turn in said.system for block in self._instructions(turn)]
            if system:
                body["system"] = system
        self._turns(said.turns)
        body["messages"] = self._messages
        if said.tools:
            self._tools(body)
        for field in _PLAIN_FIELDS:
            if getattr(said, field) is not None:
                self._unsaid.append(said.name_of(field))
        if said.choices is not None:
            self._reasons[said.name_of("choices")] = "Messages gives one answer; send the request that often"
        if said.extras:
            self._extras(body)
        self._settings(body)
        if said.format is not None:
            self._format(body)
        self._thinking(body)
        self._sampling(body)
        if stream:
            body["stream"] = True
        unsaid, yielded = tuple(dict.fromkeys(self._unsaid)), tuple(dict.fromkeys(self._yielded))
        return Written(body, unsaid, yielded, self._reasons)

    def _lacks(self, name: str, reason: str) -> None:
        """This model cannot be told `name`, for a reason that another one or another value need not have."""
        self._unsaid.append(name)
        self._reasons.setdefault(name, reason)

    # -- turns -----------------------------------------------------------------------------------------------

    def _turns(self, turns: tuple[Turn, ...]) -> None:
        for turn in turns:
            role = turn.role
            if role == "user":
                self._user(turn)
                if self._held and not self._open:
                    self._release()
            elif role == "assistant":
                self._release()
                self._assistant(turn)
            elif self._open:
                self._held.append(turn)
            else:
                self._instruct(turn)
        self._release()
        for content in self._mixed:
            content.sort(key=self._order)
        messages = self._messages
        first = next((message for message in messages if message["role"] != "system"), None)
        if first is None or first["role"] == "assistant":
            messages.insert(0, {"role": "user", "content": [{"type": "text", "text": PLACEHOLDER}]})
        last = messages[-1]
        if last["role"] == "assistant":
            self._prefill(last["content"])

    def _release(self) -> None:
        """Write the instructions that stood between a call and its result."""
        self._open.clear()
        for turn in self._held:
            self._instruct(turn)
        self._held.clear()

    def _instruct(self, turn: Turn) -> None:
        blocks = self._instructions(turn)
        if not blocks:
            return
        if self._abilities.system_in_place:
            self._messages.append({"role": "system", "content": blocks})
        else:  # in its place all the same: at the head it would change the prefix of every later request
            self._into("user").extend(
                {**block, "text": f"<system>\n{block['text']}\n</system>"} for block in blocks
            )

    def _instructions(self, turn: Turn) -> list[Json]:
        self._named(turn)
        written = []
        for block in turn.blocks:
            if isinstance(block, Text):
                if block.text and not block.text.isspace():
                    written.append(self._text(block))
                elif written and block.cache is not None:
                    written[-1].setdefault("cache_control", block.cache)
            else:
                self._cannot(block)
        return written

    def _named(self, turn: Turn) -> None:
        if turn.name:
            self._unsaid.append("messages.name")

    def _into(self, role: str) -> list[Json]:
        """The blocks of the last message, if that is of this role, else of a new one."""
        messages = self._messages
        if messages and messages[-1]["role"] == role:
            content: list[Json] = messages[-1]["content"]
        else:
            content = []
            messages.append({"role": role, "content": content})
        return content

    def _user(self, turn: Turn) -> None:
        if turn.name:
            self._named(turn)
        results: list[Json] = []
        others: list[Json] = []
        for block in turn.blocks:
            if block.__class__ is Text and block.cache is None:
                if block.text and not block.text.isspace():
                    others.append({"type": "text", "text": block.text})
            elif block.__class__ is ToolResult:
                results.append(self._result(block))
            else:
                self._add(others, block)
        if not results and not others:
            return
        content = self._into("user")
        if results and (content or len(results) > 1) and not (self._mixed and self._mixed[-1] is content):
            self._mixed.append(content)
        content += results
        content += others

    def _assistant(self, turn: Turn) -> None:
        if turn.name:
            self._named(turn)
        written: list[Json] = []
        for block in turn.blocks:
            if block.__class__ is Text and block.cache is None and not block.citations:
                if block.text and not block.text.isspace():
                    written.append({"type": "text", "text": block.text})
            elif block.__class__ is ToolCall:
                written.append(self._call(block))
            else:
                self._add(written, block)
        if written:
            self._into("assistant").extend(written)

    def _prefill(self, content: list[Json]) -> None:
        """An answer to be gone on with must not end in white space."""
        last = content[-1]
        if last["type"] == "text":
            content[-1] = {**last, "text": last["text"].rstrip()}

    # -- blocks ----------------------------------------------------------------------------------------------

    def _add(self, into: list[Json], block: Block) -> None:
        if block.__class__ is Text:
            if block.text and not block.text.isspace():
                into.append(self._text(block))
            elif into and block.cache is not None:
                into[-1].setdefault("cache_control", block.cache)
            return
        written = self._other(block)
        if written is not None:
            into.append(written)

    def _text(self, block: Text) -> Json:
        written: Json = {"type": "text", "text": block.text}
        if block.cache is not None:
            written["cache_control"] = block.cache
        if block.citations and self._said.dialect == "messages":
            written["citations"] = list(block.citations)
        return written

    def _other(self, block: Block) -> Json | None:
        """A block as Messages has it; None where it has none, which is noted."""
        match block:
            case Image(source=source, cache=mark):
                given = self._source(source)
                return None if given is None else _marked({"type": "image", "source": given}, mark)
            case Document(source=source, cache=mark):
                given = self._source(source)
                if given is None:
                    return None
                written: Json = {"type": "document", "source": given}
                if block.name:
                    written["title"] = block.name
                return _marked(written, mark)
            case Reasoning():
                return self._reasoning(block)
            case Refusal(text=text):
                return {"type": "text", "text": text} if text.strip() else None
            case Opaque(dialect="messages", value=value):
                return value  # type: ignore[no-any-return]
            case ToolCall():
                return self._call(block)
            case ToolResult():
                return self._result(block)
            case Text():
                return self._text(block)
            case _:
                self._cannot(block)
                return None

    def _cannot(self, block: Block) -> None:
        match block:
            case Audio(source=Inline()):
                self._unsaid.append("input_audio")
            case Audio():
                self._unsaid.append("audio")
            case Opaque(kind=kind):
                self._unsaid.append(kind)
            case Image():
                self._unsaid.append("image_url")
            case _:
                self._unsaid.append("file")

    def _source(self, source: Source) -> Json | None:
        match source:
            case Inline(media_type=media_type, data=data):
                if media_type in _IMAGES or media_type == "application/pdf":
                    return {"type": "base64", "media_type": media_type, "data": data}
                self._unsaid.append("image_url" if media_type.startswith("image/") else "file")
                return None
            case Link(url=url):
                return {"type": "url", "url": url}
            case Plain(text=text):
                return {"type": "text", "media_type": "text/plain", "data": text}
            case _:
                if self._said.dialect == "messages":
                    return {"type": "file", "file_id": source.id}
                self._unsaid.append("file_id")
                return None

    def _reasoning(self, block: Reasoning) -> Json | None:
        if block.maker == "messages":
            if block.redacted:
                return {"type": "redacted_thinking", "data": block.redacted}
            if block.signature:
                return {"type": "thinking", "thinking": block.text, "signature": block.signature}
            if block.text and not self._abilities.signs:
                return {"type": "thinking", "thinking": block.text}
        self._yielded.append("reasoning_content")
        return None

    def _call(self, call: ToolCall) -> Json:
        self._open.add(call.id)
        given = {"input": call.arguments} if call.custom else self._input(call.arguments)
        written: Json = {"type": "tool_use", "id": self._new_id(call.id), "name": call.name, "input": given}
        if call.cache is not None:
            written["cache_control"] = call.cache
        return written

    def _input(self, arguments: str) -> Json:
        """As `input_of`; what has more values than are left for all calls is told as a text."""
        values = _values_at_most(arguments)
        if values > self._values_left:
            values = _values_at_most(_STRINGS.sub("", arguments))
            if values > self._values_left:
                return {"INVALID_JSON": arguments}
        self._values_left -= values
        return input_of(arguments)

    def _result(self, result: ToolResult) -> Json:
        self._open.discard(result.call_id)
        call_id = self._ids.get(result.call_id) or valid_id(result.call_id)
        written: Json = {"type": "tool_result", "tool_use_id": call_id}
        mark = result.cache
        blocks = result.blocks
        if len(blocks) == 1 and result.plain and blocks[0].__class__ is Text:
            text: Any = blocks[0]
            if text.text:
                written["content"] = text.text
            mark = text.cache if mark is None else mark
        else:
            content: list[Json] = []
            for block in blocks:
                self._add(content, block)
            for at, block_written in enumerate(content):
                inner = block_written.get("cache_control")
                if inner is not None:  # refused inside a result: it stands for the same place on the result
                    mark = inner if mark is None else mark
                    content[at] = {k: v for k, v in block_written.items() if k != "cache_control"}
            if content:
                written["content"] = content
        if result.is_error:
            written["is_error"] = True
        return _marked(written, mark)

    def _new_id(self, call_id: str) -> str:
        """What a call is to be known by: its own id, if Messages takes it and no call before had it."""
        written = valid_id(call_id)
        if written in self._used:
            start = written[:56]
            times = self._again.get(start, 2)
            while f"{start}_{times}" in self._used:
                times += 1
            self._again[start] = times + 1
            written = f"{start}_{times}"
        self._used[written] = len(self._used)
        self._ids[call_id] = written
        return written

    def _order(self, block: Json) -> int:
        """Results stand first, and as their calls do."""
        if block.get("type") != "tool_result":
            return len(self._used) + 1
        return self._used.get(block.get("tool_use_id", ""), len(self._used))

    # -- tools -----------------------------------------------------------------------------------------------

    def _tools(self, body: Json) -> None:
        tools = []
        for tool in self._said.tools:
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
            elif "type" not in parameters or not _ROOT_UNIONS.isdisjoint(parameters):
                parameters = self._plain_root(parameters)
            written: Json = {"name": tool.name, "input_schema": parameters}
            if tool.description:
                written["description"] = tool.description
            if tool.strict and self._abilities.formats:
                self._strict(written)
            return _marked(written, tool.cache)
        if isinstance(tool, CustomTool):
            self._unsaid.append("tools.custom")
            return None
        if self._said.dialect == "messages" or _OWN_TOOL.search(tool.kind):
            return tool.value
        self._unsaid.append(f"tools.{tool.kind}")
        return None

    def _strict(self, written: Json) -> None:
        """Hold the calls of a tool to its schema, if the provider can."""
        holding = held({"properties": {}, **written["input_schema"]})
        if holding.open:
            self._yielded.append("tools.strict")
            return
        if holding.loosened:
            self._yielded.append("tools.parameters")
        written["input_schema"] = holding.schema
        written["strict"] = True

    def _plain_root(self, parameters: Json) -> Json:
        """A schema whose root is one object, as Messages wants it. What unions at the root demand is loosened
        to what every branch allows: the client reads the arguments anyway."""
        if _ROOT_UNIONS.isdisjoint(parameters):
            return {"type": "object", **parameters}
        self._yielded.append("tools.parameters")
        plain = {name: value for name, value in parameters.items() if name not in _ROOT_UNIONS}
        told = parameters.get("properties")
        properties = dict(told) if isinstance(told, dict) else {}
        for union in sorted(_ROOT_UNIONS & parameters.keys()):
            branches = parameters[union]
            for branch in branches if isinstance(branches, list) else ():
                if isinstance(branch, dict) and isinstance(branch.get("properties"), dict):
                    for name, value in branch["properties"].items():
                        properties.setdefault(name, value)
        return {**plain, "type": "object", "properties": properties}

    def _choice(self) -> Json | None:
        choice = self._said.choice
        mode, names = choice.mode, choice.names
        if mode == "allowed":
            every = {tool.name for tool in self._said.tools if isinstance(tool, FunctionTool)}
            if len(names) == 1 and choice.must:
                mode = "named"
            elif set(names) >= every:
                mode = "required" if choice.must else "auto"
            else:
                self._lacks(
                    self._said.name_of("choice"),
                    "Messages has no choice among some of the tools; send only those in tools",
                )
                mode = "required" if choice.must else "auto"
        if mode == "none":
            return {"type": "none"}
        if mode in ("required", "named") and not self._abilities.forced_choice:
            self._lacks(
                self._said.name_of("choice"),
                f"{self._model} does not take a demanded tool call; name a model before Claude 5.1 such as "
                'claude-sonnet-5, or send tool_choice "auto"',
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

    # -- settings --------------------------------------------------------------------------------------------

    def _extras(self, body: Json) -> None:
        for name, value in self._said.extras.items():
            if name in PASSED:
                body[name] = value
            elif name == "metadata" and isinstance(value, dict) and set(value) == {"user_id"}:
                body["metadata"] = value
            else:
                self._unsaid.append(name)

    def _settings(self, body: Json) -> None:
        said = self._said
        if said.cache is not None:
            body["cache_control"] = said.cache
        if said.stop:
            words = [one for one in said.stop if not one.isspace()]
            if len(words) < len(said.stop):
                self._lacks(
                    said.name_of("stop"), "Messages takes no stop of white space alone; remove that one"
                )
            if words:
                body["stop_sequences"] = words
        if said.user:
            if len(said.user) > USER_CHARS_MAX:
                self._lacks(
                    said.name_of("user"), f"it is longer than {USER_CHARS_MAX} characters; send a shorter one"
                )
            else:
                body.setdefault("metadata", {"user_id": said.user})
        if said.service_tier is not None:
            tier = _TIERS.get(said.service_tier)
            if tier is None:
                self._lacks(
                    said.name_of("service_tier"), f"Messages takes {', '.join(_TIERS)}; send one of them"
                )
            else:
                body["service_tier"] = tier

    def _format(self, body: Json) -> None:
        form, name = self._said.format, self._said.name_of("format")
        if form is not None and form.kind == "json_schema" and form.schema and self._abilities.formats:
            holding = held(form.schema)
            if holding.open:
                self._lacks(name, "Messages takes no object of any names; list its properties")
                return
            if holding.loosened:
                self._yielded.append(f"{name}.schema")
            self._output_config(body, "format", {"type": "json_schema", "schema": holding.schema})
            return
        if not self._abilities.formats:
            why = f"{self._model} holds no answer to a form; name a newer model such as claude-sonnet-5"
        elif form is not None and form.kind == "json_object":
            why = f"{self._model} takes no json_object; send a json_schema, which it takes"
        else:
            why = "Messages takes type json_schema with a schema; send that"
        self._lacks(name, why)

    def _output_config(self, body: Json, name: str, value: Any) -> None:
        """The client's own word in `output_config` goes first."""
        told = body.get("output_config")
        body["output_config"] = {name: value, **(told if isinstance(told, dict) else {})}

    def _thinking(self, body: Json) -> None:
        told = self._said.thinking
        wanted = self._wanted(body)
        if wanted is None:
            return
        if wanted["type"] != "disabled":
            choice = body.get("tool_choice", {}).get("type")
            unsigned = self._abilities.thinking == "budget" and self._goes_on_unsigned()
            if choice == "any" or choice == "tool" or unsigned:
                if told.value is not None or self._abilities.thinking == "budget":
                    self._yielded.append(self._said.name_of("thinking"))
                return
        body["thinking"] = wanted

    def _wanted(self, body: Json) -> Json | None:
        """The field `thinking` as the client asked for it; None: nothing, or nothing that can be had."""
        told, can = self._said.thinking, self._abilities
        effort, value, budget = told.effort, told.value, told.budget_tokens
        name = self._said.name_of("thinking")
        if not effort and value is None and budget is None:
            return None
        kind = value.get("type") if isinstance(value, dict) else None
        if kind == "disabled" or (value is None and effort == "none"):
            told_off = can.thinking == "adaptive" or (can.thinking == "budget" and value is not None)
            return {"type": "disabled"} if told_off else None
        if can.thinking == "none":
            self._lacks(name, f"{self._model} does not think; name a newer model such as claude-sonnet-5")
            return None
        if can.thinking == "adaptive":
            self._effort(body)
            if value is None:
                return {"type": "adaptive"}
            if kind != "enabled":
                return value  # type: ignore[no-any-return]
            self._yielded.append("thinking.budget_tokens")
            kept = {key: inner for key, inner in value.items() if key != "budget_tokens"}
            return {**kept, "type": "adaptive"}
        if kind is not None and kind != "adaptive":
            return value  # type: ignore[no-any-return]
        fitting = min(budget or BUDGETS.get(effort, BUDGETS["medium"]), body["max_tokens"] * 4 // 5)
        fitting = max(fitting, BUDGET_TOKENS_MIN)
        if fitting >= body["max_tokens"]:
            self._yielded.append(name)
            return None
        return {"type": "enabled", "budget_tokens": fitting}

    def _effort(self, body: Json) -> None:
        told, can = self._said.thinking, self._abilities.effort
        effort = told.effort
        if not effort and told.budget_tokens is not None and told.value is None:
            effort = next((e for e in ("low", "medium", "high") if told.budget_tokens <= BUDGETS[e]), "high")
        if effort == "minimal":
            effort = "low"
        if effort and effort not in can:
            effort = "high" if effort == "xhigh" else ""
            if not effort:
                self._lacks(
                    self._said.name_of("thinking"), f"{self._model} takes {', '.join(can)}; send one of them"
                )
        if effort:
            self._output_config(body, "effort", effort)

    def _goes_on_unsigned(self) -> bool:
        """Whether the model is to go on with an answer whose reasoning is not there, as clients leave it out
        that know of none. Models with a budget refuse to think then."""
        last: Json | None = None
        for message in reversed(self._messages):
            if message["role"] == "assistant":
                last = message
                break
            if message["role"] == "user" and message["content"][0]["type"] != "tool_result":
                return False
        return last is not None and last["content"][0]["type"] not in ("thinking", "redacted_thinking")

    def _sampling(self, body: Json) -> None:
        said, can = self._said, self._abilities
        thinks = body.get("thinking", {}).get("type") in ("enabled", "adaptive")
        free = can.sampling and not thinks
        temperature = said.temperature if said.temperature != 1 else None
        if temperature is not None:
            if free and 0 <= temperature <= 1:
                body["temperature"] = temperature
            else:
                self._lacks("temperature", self._why_no("temperature", free, "Messages takes 0 to 1"))
        top_p = said.top_p if said.top_p != 1 else None
        if top_p is not None:
            together = can.both_samplings or "temperature" not in body
            if can.sampling and together and (not thinks or top_p >= 0.95):
                body["top_p"] = top_p
            else:
                beside = f"{self._model} takes temperature or top_p; send one of them"
                self._lacks(
                    "top_p", self._why_no("top_p", can.sampling and not (together and thinks), beside)
                )
        if said.top_k is not None:
            if free:
                body["top_k"] = said.top_k
            else:
                self._lacks("top_k", self._why_no("top_k", free, ""))

    def _why_no(self, name: str, free: bool, otherwise: str) -> str:
        if free:
            return otherwise
        if not self._abilities.sampling:
            return f"{self._model} takes no {name}; leave it out, or name a model before Claude 4.7"
        return f"a model that thinks takes no such {name}; leave one of the two out"


def _marked(written: Json, mark: Any) -> Json:
    if mark is not None:
        written["cache_control"] = mark
    return written


def valid_id(call_id: str) -> str:
    """An id of a call as Messages takes it: itself where it can be, else one that no other id comes to, and
    the same each time."""
    if len(call_id) <= ID_CHARS_MAX and not _NO_ID.search(call_id):
        return call_id
    digest = blake2b(call_id.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{_NO_ID.sub('_', call_id)[:40]}_{digest}"


def input_of(arguments: str) -> Json:
    """The input of a call. Arguments that are no JSON object go under `INVALID_JSON`, as the provider's
    documentation wants it, so that the model sees what it wrote."""
    if not arguments or arguments.isspace():
        return {}
    if arguments.count("{") + arguments.count("[") <= DEPTH_MAX or not _is_deep(arguments):
        try:
            value = read_json(arguments.encode("utf-8", "surrogatepass"))
        except NotJson:
            value = None
        if value.__class__ is dict:
            return value
    return {"INVALID_JSON": arguments}


def _values_at_most(text: str) -> int:
    """More values a JSON text cannot have: each is the first of its list or object, or follows a comma."""
    return text.count(",") + text.count("[") + text.count("{")


def _is_deep(text: str) -> bool:
    """Whether brackets stand deeper than `DEPTH_MAX`."""
    brackets = _BRACKETS.findall(_STRINGS.sub("", text))
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > DEPTH_MAX
