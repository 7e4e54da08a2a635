"""Good answers in the form of OpenAI's Responses: deterministic, and strict about what is sent back.

A reasoning item comes with `encrypted_content`, which is taken back as it was made and refused otherwise, as
are a result without its call, an id that no such item can have, and a field that nobody knows.
"""

import base64
import dataclasses
import json
from collections.abc import Iterator
from typing import Any, Final

from tests.faults.answers import error
from tests.faults.connection import Incoming
from tests.faults.said import Event, Json, Refusal, example_of, pieces_of, planned
from tests.faults.script import Plan
from tests.faults.truth import Call

ROUTES: Final = {"/responses": "POST", "/responses/compact": "POST"}
KNOWN: Final = frozenset(
    """
    background client_metadata conversation include input instructions max_output_tokens max_tool_calls
    metadata model parallel_tool_calls previous_response_id prompt prompt_cache_key prompt_cache_options
    prompt_cache_retention reasoning safety_identifier service_tier store stream stream_options temperature
    text tool_choice tools top_logprobs top_p truncation user
    """.split()  # noqa: SIM905 - one name a line would be a page
)
PREFIXES: Final = {
    "message": "msg",
    "function_call": "fc",
    "custom_tool_call": "ctc",
    "reasoning": "rs",
    "compaction": "cmp",
}
CALLS: Final = {"function_call_output": "function_call", "custom_tool_call_output": "custom_tool_call"}
HIDDEN: Final = "gAAAA"
ID_CHARS_MAX: Final = 64


class Invalid(Exception):
    """Why a request is not taken."""


@dataclasses.dataclass(slots=True, kw_only=True)
class ResponsesSaid:
    """One composed answer. See `said.Said`."""

    head: Json
    items: list[Json]
    """As the whole answer has them."""
    pieces: list[str]
    """The tokens of its text."""
    status: str
    usage: Json
    told: bool
    """It tells its usage."""

    def whole(self) -> Json:
        cut = {"incomplete_details": {"reason": "max_output_tokens"}} if self.status == "incomplete" else {}
        usage = self.usage if self.told else None
        return self.head | {"status": self.status, "output": self.items, "usage": usage} | cut

    @property
    def ending(self) -> Event:
        return _event(f"response.{self.status}", counts=False, response=self.whole(), sequence_number=99_999)

    def events(self) -> Iterator[Event]:
        numbers = iter(range(100_000))
        begun = self.head | {"status": "in_progress", "output": [], "usage": None}
        for event in self._events(begun):
            assert isinstance(event.data, dict)
            yield dataclasses.replace(event, data=event.data | {"sequence_number": next(numbers)})

    def _events(self, begun: Json) -> Iterator[Event]:
        """The first, and each delta, are those that scripts count."""
        yield _event("response.created", response=begun)
        yield _event("response.in_progress", counts=False, response=begun)
        for index, item in enumerate(self.items):
            opened = {**item, **_emptied(item)}
            yield _event("response.output_item.added", counts=False, output_index=index, item=opened)
            yield from self._deltas(item, {"output_index": index, "item_id": item["id"]})
            yield _event("response.output_item.done", counts=False, output_index=index, item=item)

    def _deltas(self, item: Json, at: Json) -> Iterator[Event]:
        match item["type"]:
            case "message":
                at = at | {"content_index": 0}
                part = item["content"][0]
                yield _event("response.content_part.added", counts=False, part=part | {"text": ""}, **at)
                for piece in self.pieces:
                    yield _event("response.output_text.delta", tokens=1, delta=piece, logprobs=[], **at)
                text = part["text"]
                yield _event("response.output_text.done", counts=False, text=text, logprobs=[], **at)
                yield _event("response.content_part.done", counts=False, part=part, **at)
            case "reasoning":
                for number, part in enumerate(item["summary"]):
                    at = at | {"summary_index": number}
                    empty = part | {"text": ""}
                    yield _event("response.reasoning_summary_part.added", counts=False, part=empty, **at)
                    for piece in pieces_of(part["text"]):
                        yield _event("response.reasoning_summary_text.delta", tokens=1, delta=piece, **at)
                    text = part["text"]
                    yield _event("response.reasoning_summary_text.done", counts=False, text=text, **at)
                    yield _event("response.reasoning_summary_part.done", counts=False, part=part, **at)
            case "function_call" | "custom_tool_call" as kind:
                field = "arguments" if kind == "function_call" else "input"
                name = "function_call_arguments" if kind == "function_call" else "custom_tool_call_input"
                for piece in pieces_of(item[field]):
                    yield _event(f"response.{name}.delta", tokens=1, delta=piece, **at)
                yield _event(f"response.{name}.done", counts=False, **{field: item[field]}, **at)


def _event(name: str, *, tokens: int = 0, counts: bool = True, **fields: Any) -> Event:
    return Event({"type": name, **fields}, name, tokens, counts)


def _emptied(item: Json) -> Json:
    """What an item has when it begins."""
    empty: dict[str, Json] = {
        "message": {"content": []},
        "reasoning": {"summary": []},
        "function_call": {"arguments": ""},
        "custom_tool_call": {"input": ""},
    }
    return {"status": "in_progress"} | empty.get(item["type"], {})


# -- composing ---------------------------------------------------------------------------------------


def items_in(body: Json) -> list[Json]:
    given = body.get("input")
    return [{"type": "message", "role": "user", "content": given}] if isinstance(given, str) else given or []


def text_of(content: Any) -> str:
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def results(body: Json) -> int:
    """How many results of tools came back."""
    return sum(item.get("type") in CALLS for item in items_in(body))


def compose(body: Json, plan: Plan, call_id: str) -> ResponsesSaid:
    """Decide what to say. The same body and plan always give the same text."""
    given = items_in(body)
    said = [text_of(item.get("content")) for item in given if item.get("role") == "user"]
    asked = said[-1] if said else ""
    called = _called(body, plan, asked, call_id)
    pieces = planned(plan, _text(body, plan, asked)) if not called or plan.say is not None else []
    thoughts = pieces_of(plan.reasoning)
    limit, status = body.get("max_output_tokens"), "completed"
    if isinstance(limit, int) and len(pieces) + len(thoughts) > limit:
        pieces, called, status = pieces[: max(limit - len(thoughts), 0)], [], "incomplete"
    if plan.finish == "length":
        status = "incomplete"
    items = [_reasoning(body, plan, call_id)] if thoughts else []
    if pieces:
        part = {"type": "output_text", "text": "".join(pieces), "annotations": [], "logprobs": []}
        items.append({"type": "message", "role": "assistant", "content": [part]})
    items += called
    for index, item in enumerate(items):
        ended = "completed" if status == "completed" or index < len(items) - 1 else "incomplete"
        item |= {"id": f"{PREFIXES[item['type']]}_{call_id}_{index}", "status": ended}
    arguments = sum(len(pieces_of(item.get("arguments") or item.get("input") or "")) for item in called)
    prompt = plan.prompt_tokens
    if prompt is None:
        prompt = sum(len(pieces_of(json.dumps(item))) for item in given)
    output = len(pieces) + len(thoughts) + arguments
    return ResponsesSaid(
        head=_head({**body, "model": plan.names or body["model"]}, call_id),
        items=items,
        pieces=pieces,
        status=status,
        usage={
            "input_tokens": prompt,
            "input_tokens_details": {"cached_tokens": plan.cached, "cache_write_tokens": 0},
            "output_tokens": output,
            "output_tokens_details": {"reasoning_tokens": len(thoughts)},
            "total_tokens": prompt + output,
        },
        told=plan.usage,
    )


def _head(body: Json, call_id: str) -> Json:
    return {
        "id": f"resp_{call_id}",
        "object": "response",
        "created_at": 1_764_000_000,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "metadata": body.get("metadata") or {},
        "model": body["model"],
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "previous_response_id": None,
        "reasoning": body.get("reasoning") or {"effort": None, "summary": None},
        "service_tier": "default",
        "store": body.get("store", True),
        "temperature": body.get("temperature", 1.0),
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "top_p": body.get("top_p", 1.0),
        "truncation": "disabled",
    }


def _text(body: Json, plan: Plan, asked: str) -> str:
    if plan.bigline or plan.say is not None:
        return "x" * plan.bigline or plan.say or ""
    form = (body.get("text") or {}).get("format") or {}
    if form.get("type") == "json_schema":
        return json.dumps(example_of(form["schema"], form["schema"]), ensure_ascii=False)
    return json.dumps({"echo": asked}) if form.get("type") == "json_object" else f"echo: {asked}"


def _reasoning(body: Json, plan: Plan, call_id: str) -> Json:
    shown = [{"type": "summary_text", "text": plan.reasoning}]
    item: Json = {
        "type": "reasoning",
        "summary": shown if (body.get("reasoning") or {}).get("summary") else [],
    }
    if "reasoning.encrypted_content" in (body.get("include") or ()):
        item["encrypted_content"] = hide(f"{call_id} {plan.reasoning}")
    return item


def hide(text: str) -> str:
    return HIDDEN + base64.urlsafe_b64encode(text.encode()).decode()


def _called(body: Json, plan: Plan, asked: str, call_id: str) -> list[Json]:
    """So many calls as the plan says of the first tool that is demanded by `tool_choice` or named in the
    user's text (or any, for "tool"). A tool of a namespace is named `namespace/name`."""
    choice = body.get("tool_choice")
    named = choice.get("name") if isinstance(choice, dict) else None
    count = min(plan.calls, 1) if body.get("parallel_tool_calls") is False else plan.calls
    for tool in _callable(body.get("tools") or []):
        name = "/".join(filter(None, (tool.get("namespace"), tool["name"])))
        if choice == "none" or (named and name != named):
            continue
        if not (name == plan.tool if plan.tool else named or choice == "required" or name in asked):
            continue
        field, value = "input", plan.arguments or "free text"
        if tool["type"] == "function":
            schema = tool.get("parameters") or {}
            field, value = "arguments", plan.arguments or json.dumps(example_of(schema, schema))
        kind = "custom_tool_call" if tool["type"] == "custom" else "function_call"
        one = {"type": kind, "name": tool["name"], field: value}
        if tool.get("namespace"):
            one["namespace"] = tool["namespace"]
        return [one | {"call_id": f"call_{call_id}_{index}"} for index in range(count)]
    return []


def _callable(tools: list[Json]) -> Iterator[Json]:
    for tool in tools:
        if tool["type"] == "namespace":
            yield from (one | {"namespace": tool["name"]} for one in tool["tools"])
        elif tool["type"] in ("function", "custom"):
            yield tool


# -- what is refused ---------------------------------------------------------------------------------


def check(body: Json) -> None:
    """Raises:
    Invalid: it is no request that OpenAI would take.
    """
    unknown = sorted(body.keys() - KNOWN)
    if unknown:
        raise Invalid(f"Unknown parameter: '{unknown[0]}'.")
    if not isinstance(body.get("model"), str):
        raise Invalid("Missing required parameter: 'model'.")
    if not isinstance(body.get("input"), str | list):
        raise Invalid("Missing required parameter: 'input'.")
    calls: set[tuple[str, str]] = set()
    answered: set[str] = set()
    for at, item in enumerate(items_in(body)):
        _check_item(item, f"input[{at}]")
        kind = item.get("type", "message")
        if kind in CALLS:
            if (CALLS[kind], item["call_id"]) not in calls:
                raise Invalid(f"No tool call found for {kind} with call_id {item['call_id']}.")
            answered.add(item["call_id"])
        elif kind in CALLS.values():
            calls.add((kind, item["call_id"]))
    for _, call_id in calls:
        if call_id not in answered:
            raise Invalid(f"No tool output found for function call {call_id}.")


def _check_item(item: Json, where: str) -> None:
    kind = item.get("type", "message")
    if kind == "message" and item.get("role") not in ("user", "assistant", "system", "developer"):
        raise Invalid(f"Invalid value: '{item.get('role')}' at '{where}.role'.")
    prefix, item_id = PREFIXES.get(kind), item.get("id")
    if item_id is not None and prefix is not None:
        if not str(item_id).startswith(prefix):
            raise Invalid(f"Invalid '{where}.id': '{item_id}'. Expected an ID that begins with '{prefix}'.")
        if len(item_id) > ID_CHARS_MAX:
            raise Invalid(f"Invalid '{where}.id': string too long.")
    if kind in CALLS and (not isinstance(item.get("call_id"), str) or item.get("output") is None):
        raise Invalid(f"Missing required parameter: '{where}.call_id'.")
    hidden = item.get("encrypted_content")
    if kind == "reasoning" and hidden is not None and not str(hidden).startswith(HIDDEN):
        raise Invalid("invalid_encrypted_content: The encrypted content could not be verified.")


class Responses:
    """Responses, and their compaction, as OpenAI has them. See `said.Dialect`."""

    def refused(self, request: Incoming, body: Json | None, plan: Plan) -> Refusal | None:
        path = request.path.partition("?")[0].removeprefix("/v1")
        if path not in ROUTES:
            return 404, f"Invalid URL ({request.method} {request.path})"
        if ROUTES[path] != request.method:
            return 405, f"Not allowed: {request.method} {request.path}"
        if body is None:
            return 400, "We could not parse the JSON body of your request."
        try:
            check(body)
        except Invalid as invalid:
            return 400, str(invalid)
        return None

    def ready(self, call: Call, body: Json, plan: Plan) -> Json | None:
        if not call.path.endswith("/compact"):
            return None
        said = compose(body, plan, call.id)
        self._bill(call, said)
        item = {"type": "compaction", "id": f"cmp_{call.id}", "encrypted_content": hide("all that was said")}
        return {
            "id": f"resp_{call.id}",
            "object": "response.compaction",
            "created_at": 1_764_000_000,
            "output": [item],
            "usage": said.usage,
        }

    def say(self, call: Call, body: Json, plan: Plan) -> ResponsesSaid:
        said = compose(body, plan, call.id)
        self._bill(call, said)
        return said

    def _bill(self, call: Call, said: ResponsesSaid) -> None:
        call.prompt_tokens, call.completion_tokens = said.usage["input_tokens"], said.usage["output_tokens"]
        call.cached_tokens = said.usage["input_tokens_details"]["cached_tokens"]

    def error(self, call: Call, status: int, code: str | None = None, message: str | None = None) -> Event:
        said = error(status, code, message)["error"]
        return _event("error", error=said, code=said["code"], message=said["message"], param=None)

    def fields(self, call: Call, status: int, plan: Plan) -> dict[str, str]:
        return {"x-request-id": f"req_{call.id}", "openai-processing-ms": "7"}
