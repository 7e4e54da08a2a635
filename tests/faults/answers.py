"""Good answers in OpenAI's form: deterministic, and recognisably about the request."""

import base64
import dataclasses
import hashlib
import json
import math
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from tests.faults.connection import Incoming
from tests.faults.said import Event, Json, Refusal, example_of, pieces_of, planned
from tests.faults.script import Plan
from tests.faults.truth import Call

ROUTES: Final = {"/chat/completions": "POST", "/embeddings": "POST", "/models": "GET"}
FINGERPRINT: Final = "fp_fault_provider"
KNOWN: Final = frozenset(
    """
    model messages stream stream_options n max_tokens max_completion_tokens temperature top_p stop seed user
    tools tool_choice parallel_tool_calls response_format logprobs top_logprobs logit_bias frequency_penalty
    presence_penalty reasoning_effort metadata store service_tier modalities prediction input dimensions
    encoding_format verbosity prompt_cache_key safety_identifier
    """.split()  # noqa: SIM905 - one name a line would be a page
)
ERRORS: Final[dict[int, tuple[str, str | None]]] = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("permission_error", "permission_denied"),
    404: ("invalid_request_error", "model_not_found"),
    413: ("invalid_request_error", "request_too_large"),
    429: ("requests", "rate_limit_exceeded"),
    503: ("overloaded_error", "overloaded"),
}


@dataclasses.dataclass(slots=True, kw_only=True)
class Answer:
    """One composed answer: `choices` holds the pieces (one a token) of each choice."""

    call_id: str
    model: str
    choices: list[list[str]]
    reasoning: list[str]
    tools: list[Json]
    """`{"id", "name", "arguments"}` of each call, where the answer is calls of tools."""
    finish: str
    ended_by: str | None
    """The sequence that ended it, where that is told."""
    usage: Json
    logprobs: bool
    logprob: float
    """Of every token; the likeliest other one is half as likely."""
    alternatives: int
    unknown: Json


def text_of(content: Any) -> str:
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def compose(body: Json, plan: Plan, call_id: str) -> Answer:
    """Decide what to say to a chat request. The same body and plan always give the same text."""
    messages = [m for m in body.get("messages") or [] if isinstance(m, dict)]
    asked = next((text_of(m.get("content")) for m in reversed(messages) if m.get("role") == "user"), "")
    tools = _tool_calls(body, plan, asked, call_id)
    pieces = [] if tools else planned(plan, _text(body, plan, asked))
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    finish = "tool_calls" if tools else "stop"
    if isinstance(limit, int | float) and 0 < limit < len(pieces):  # -1 and 0: no limit, as llama.cpp has it
        pieces, finish = pieces[: int(limit)], "length"
    ended = _ended_by(body, pieces) if plan.stops else None
    if ended is not None:
        pieces, finish = pieces_of("".join(pieces).partition(ended)[0]), "stop"
    count = body.get("n") if isinstance(body.get("n"), int) else 1
    choices = [
        [*pieces, *([f" #{index}"] if index and not tools else [])]
        for index in range(min(max(count or 1, 1), 128))
    ]
    reasoning = pieces_of(plan.reasoning)
    completion = sum(map(len, choices)) + len(reasoning)
    completion += len(choices) * sum(len(pieces_of(tool["arguments"])) for tool in tools)
    prompt = plan.prompt_tokens
    if prompt is None:
        prompt = sum(len(pieces_of(text_of(m.get("content")))) for m in messages)
    return Answer(
        call_id=call_id,
        model=plan.names or str(body.get("model")),
        choices=choices,
        reasoning=reasoning,
        tools=tools,
        finish=plan.finish or finish,
        ended_by=ended,
        usage=_usage(prompt, completion, plan.cached, len(reasoning)),
        logprobs=body.get("logprobs") is True,
        logprob=plan.logprob,
        alternatives=top if isinstance(top := body.get("top_logprobs"), int) else 0,
        unknown={name: value for name, value in body.items() if name not in KNOWN},
    )


def _usage(prompt: int, completion: int, cached: int, reasoning: int) -> Json:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _text(body: Json, plan: Plan, asked: str) -> str:
    if plan.bigline or plan.say is not None:
        return "x" * plan.bigline or plan.say or ""
    form = body.get("response_format")
    kind = form.get("type") if isinstance(form, dict) else None
    if kind == "json_schema" and isinstance(form, dict):
        wanted = form.get("json_schema")
        schema = wanted.get("schema", {}) if isinstance(wanted, dict) else {}
        return json.dumps(example_of(schema, schema), ensure_ascii=False)
    return json.dumps({"echo": asked}, ensure_ascii=False) if kind == "json_object" else f"echo: {asked}"


def _tool_calls(body: Json, plan: Plan, asked: str, call_id: str) -> list[Json]:
    """So many calls as the plan says of the first tool that is demanded by `tool_choice` or named in the
    user's text (or any, for "tool")."""
    choice = body.get("tool_choice")
    function = choice.get("function") if isinstance(choice, dict) else None
    named = function.get("name") if isinstance(function, dict) else None
    count = min(plan.calls, 1) if body.get("parallel_tool_calls") is False else plan.calls
    for tool in body.get("tools") or []:
        function = tool.get("function", {})
        name = str(function.get("name"))
        if choice == "none" or (named and name != named):
            continue
        forced = named or choice == "required"
        if name == plan.tool if plan.tool else forced or name in asked or "tool" in asked:
            schema = function.get("parameters", {})
            arguments = plan.arguments or json.dumps(example_of(schema, schema))
            ids = [f"call_{call_id}", *(f"call_{call_id}_{index}" for index in range(1, count))][:count]
            return [{"id": one, "name": name, "arguments": arguments} for one in ids]
    return []


def _ended_by(body: Json, pieces: list[str]) -> str | None:
    """The first of the sequences that are to end a text which this one has."""
    stop = body.get("stop")
    sequences = [stop] if isinstance(stop, str) else stop or []
    return next((one for one in sequences if one in "".join(pieces)), None)


def whole(answer: Answer) -> Json:
    choices = []
    for index, pieces in enumerate(answer.choices):
        message: Json = {"role": "assistant", "content": "".join(pieces), "refusal": None, "annotations": []}
        if answer.reasoning:
            message["reasoning_content"] = "".join(answer.reasoning)
        if answer.tools:
            message["content"] = None
            message["tool_calls"] = [_tool_wire(tool) for tool in answer.tools]
        logprobs = _logprobs(answer, pieces) if answer.logprobs else None
        choice = {"index": index, "message": message, "logprobs": logprobs, "finish_reason": answer.finish}
        choices.append(choice | _told_end(answer))
    return _head(answer, "chat.completion") | {"choices": choices, "usage": answer.usage}


def chunks(answer: Answer, *, include_usage: bool) -> Iterator[tuple[Json, int]]:
    """The chunks of a stream, each with the completion tokens in it."""
    head = _head(answer, "chat.completion.chunk") | ({"usage": None} if include_usage else {})

    def chunk(index: int, delta: Json, finish: str | None = None, pieces: list[str] | None = None) -> Json:
        logprobs = _logprobs(answer, pieces) if answer.logprobs and pieces else None
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return head | {"choices": [choice]}

    for index, pieces in enumerate(answer.choices):
        content = None if answer.tools else ""
        yield chunk(index, {"role": "assistant", "content": content, "refusal": None}), 0
        for thought in answer.reasoning if index == 0 else ():
            yield chunk(index, {"reasoning_content": thought}), 1
        for place, tool in enumerate(answer.tools):
            opening = _tool_wire(tool | {"arguments": ""}) | {"index": place}
            yield chunk(index, {"tool_calls": [opening]}), 0
            for part in pieces_of(tool["arguments"]):
                yield chunk(index, {"tool_calls": [{"index": place, "function": {"arguments": part}}]}), 1
        for piece in pieces:
            yield chunk(index, {"content": piece}, pieces=[piece]), 1
    for index in range(len(answer.choices)):
        last = chunk(index, {}, answer.finish)
        last["choices"][0] |= _told_end(answer)
        yield last, 0
    if include_usage:
        yield head | {"choices": [], "usage": answer.usage}, 0


def _told_end(answer: Answer) -> Json:
    return {} if answer.ended_by is None else {"stop_reason": answer.ended_by}


def _head(answer: Answer, kind: str) -> Json:
    head = {
        "id": f"chatcmpl-{answer.call_id}",
        "object": kind,
        "created": int(time.time()),
        "model": answer.model,
        "service_tier": "default",
        "system_fingerprint": FINGERPRINT,
    }
    return head | ({"echoed_fields": answer.unknown} if answer.unknown else {})


def _tool_wire(tool: Json) -> Json:
    function = {"name": tool["name"], "arguments": tool["arguments"]}
    return {"id": tool["id"], "type": "function", "function": function}


def _logprobs(answer: Answer, pieces: list[str]) -> Json:
    rows = []
    for piece in pieces:
        own = {"token": piece, "logprob": answer.logprob, "bytes": list(piece.encode())}
        other = {"token": piece + "?", "logprob": answer.logprob - math.log(2), "bytes": []}
        rows.append({**own, "top_logprobs": [own, other][: answer.alternatives]})
    return {"content": rows, "refusal": None}


def embeddings(body: Json, plan: Plan) -> Json:
    """One vector for each input, from a digest of its text: equal texts have equal vectors."""
    asked = body.get("input")
    flat = asked if isinstance(asked, list) and not all(isinstance(each, int) for each in asked) else [asked]
    size = min(int(body.get("dimensions") or 8), 4096)
    data = []
    for index, each in enumerate(flat):
        digest = hashlib.shake_256(json.dumps(each).encode()).digest(size)
        vector: Any = [byte / 127.5 - 1.0 for byte in digest]
        if body.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()
        data.append({"object": "embedding", "index": index, "embedding": vector})
    tokens = sum(
        len(pieces_of(each) if isinstance(each, str) else each)
        for each in flat
        if isinstance(each, str | list)
    )
    tokens = tokens if plan.prompt_tokens is None else plan.prompt_tokens
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": body.get("model"), "usage": usage}


def models(plan: Plan) -> Json:
    usual = "good good-cheap good-expensive text-embedding-good"
    ids = (plan.models or usual).split()
    rows = [{"id": name, "object": "model", "created": 1764000000, "owned_by": "tests"} for name in ids]
    return {"object": "list", "data": rows}


def error(status: int, code: str | None = None, message: str | None = None) -> Json:
    """OpenAI's error object for any status."""
    kind, usual = ERRORS.get(status, ("server_error" if status >= 500 else "invalid_request_error", None))
    text = message or f"The fault provider was asked for a {status}."
    return {"error": {"message": text, "type": kind, "param": None, "code": code or usual}}


@dataclasses.dataclass(frozen=True, slots=True)
class ChatSaid:
    answer: Answer
    include_usage: bool
    """Of a stream."""
    usage: bool

    def whole(self) -> Json:
        said = whole(self.answer)
        if not self.usage:
            del said["usage"]
        return said

    def events(self) -> Iterator[Event]:
        for chunk, tokens in chunks(self.answer, include_usage=self.include_usage and self.usage):
            yield Event(chunk, tokens=tokens)

    @property
    def ending(self) -> Event:
        return Event("[DONE]")


class Chat:
    """Chat completions, embeddings and models as OpenAI has them. See `said.Dialect`."""

    def __init__(self, keep: Callable[[Json, Json], None] | None = None) -> None:
        """`keep` is given each question that is to be stored, and its whole answer."""
        self._keep = keep

    def refused(self, request: Incoming, body: Json | None, plan: Plan) -> Refusal | None:
        path = request.path.partition("?")[0].removeprefix("/v1")
        if path not in ROUTES:
            return 404, f"Unknown request URL: {request.method} {request.path}"
        if ROUTES[path] != request.method:
            return 405, f"Not allowed: {request.method} {request.path}"
        if request.method == "POST" and body is None:
            return 400, "We could not parse the JSON body of your request."
        if body is not None and not isinstance(body.get("model"), str):
            return 400, "You must provide a model parameter."
        return None

    def ready(self, call: Call, body: Json, plan: Plan) -> Json | None:
        if call.path.endswith("/models"):
            return models(plan)
        if call.path.endswith("/embeddings"):
            vectors = embeddings(body, plan)
            call.prompt_tokens = vectors["usage"]["prompt_tokens"]
            return vectors
        return None

    def say(self, call: Call, body: Json, plan: Plan) -> ChatSaid:
        answer = compose(body, plan, call.id)
        if self._keep is not None and body.get("store") is True:
            self._keep(body, whole(answer))
        call.prompt_tokens = answer.usage["prompt_tokens"]
        call.completion_tokens = answer.usage["completion_tokens"]
        call.cached_tokens = plan.cached
        options = body.get("stream_options")
        wanted = isinstance(options, dict) and options.get("include_usage") is True
        return ChatSaid(answer, wanted, plan.usage)

    def error(self, call: Call, status: int, code: str | None = None, message: str | None = None) -> Event:
        return Event(error(status, code, message))

    def fields(self, call: Call, status: int, plan: Plan) -> dict[str, str]:
        return {"x-request-id": f"req_{call.id}"}
