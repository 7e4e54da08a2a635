"""Good answers in OpenAI's form: deterministic, and recognisably about the request."""

import base64
import dataclasses
import hashlib
import itertools
import json
import math
import re
import struct
import time
from collections.abc import Iterator
from typing import Any, Final

from tests.faults.script import Plan

Json = dict[str, Any]
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
    tool: Json | None
    """`{"id", "name", "arguments"}` when the answer is a tool call."""
    finish: str
    usage: Json
    logprobs: bool
    logprob: float
    """Of every token; the likeliest other one is half as likely."""
    alternatives: int
    unknown: Json


def pieces_of(text: str) -> list[str]:
    """Cut `text` into this provider's tokens: words with the space before them."""
    return re.findall(r"\s*\S+", text) or ([text] if text else [])


def text_of(content: Any) -> str:
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def compose(body: Json, plan: Plan, call_id: str) -> Answer:
    """Decide what to say to a chat request. The same body and plan always give the same text."""
    messages = [m for m in body.get("messages") or [] if isinstance(m, dict)]
    asked = next((text_of(m.get("content")) for m in reversed(messages) if m.get("role") == "user"), "")
    tool = _tool_call(body, asked, call_id)
    pieces = [] if tool else pieces_of(_text(body, plan, asked))
    if plan.n is not None and not tool:
        pieces = list(itertools.islice(itertools.cycle(pieces or [" word"]), plan.n))
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    finish = "tool_calls" if tool else "stop"
    if isinstance(limit, int | float) and 0 < limit < len(pieces):  # -1 and 0: no limit, as llama.cpp has it
        pieces, finish = pieces[: int(limit)], "length"
    count = body.get("n") if isinstance(body.get("n"), int) else 1
    choices = [
        [*pieces, *([f" #{index}"] if index and not tool else [])]
        for index in range(min(max(count or 1, 1), 128))
    ]
    reasoning = pieces_of(plan.reasoning)
    completion = sum(map(len, choices)) + len(reasoning)
    completion += len(choices) * len(pieces_of(tool["arguments"])) if tool else 0
    prompt = plan.prompt_tokens
    if prompt is None:
        prompt = sum(len(pieces_of(text_of(m.get("content")))) for m in messages)
    return Answer(
        call_id=call_id,
        model=str(body.get("model")),
        choices=choices,
        reasoning=reasoning,
        tool=tool,
        finish=plan.finish or finish,
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


def _tool_call(body: Json, asked: str, call_id: str) -> Json | None:
    """The first tool that is demanded by `tool_choice` or named in the user's text (or any, for "tool")."""
    choice = body.get("tool_choice")
    function = choice.get("function") if isinstance(choice, dict) else None
    named = function.get("name") if isinstance(function, dict) else None
    for tool in body.get("tools") or []:
        function = tool.get("function", {})
        name = str(function.get("name"))
        if choice == "none" or (named and name != named):
            continue
        if named or choice == "required" or name in asked or "tool" in asked:
            schema = function.get("parameters", {})
            arguments = json.dumps(example_of(schema, schema))
            return {"id": f"call_{call_id}", "name": name, "arguments": arguments}
    return None


def example_of(schema: Any, root: Json, depth: int = 0) -> Any:
    """A small value that is valid for the common part of JSON Schema."""
    if not isinstance(schema, dict) or depth > 16:
        return None
    if "$ref" in schema:
        return example_of(root.get("$defs", {}).get(str(schema["$ref"]).rsplit("/", 1)[-1]), root, depth + 1)
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return example_of(schema[key][0], root, depth + 1)
    if "const" in schema or schema.get("enum"):
        return schema.get("const", (schema.get("enum") or [None])[0])
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        properties: Json = schema.get("properties", {})
        return {name: example_of(each, root, depth + 1) for name, each in properties.items()}
    if kind == "array":
        return [example_of(schema.get("items", {}), root, depth + 1)] * max(1, schema.get("minItems", 1))
    number = schema.get("minimum", 1)
    return {"string": "text", "integer": number, "number": number, "boolean": True}.get(str(kind))


def whole(answer: Answer) -> Json:
    choices = []
    for index, pieces in enumerate(answer.choices):
        message: Json = {"role": "assistant", "content": "".join(pieces), "refusal": None, "annotations": []}
        if answer.reasoning:
            message["reasoning_content"] = "".join(answer.reasoning)
        if answer.tool:
            message["content"] = None
            message["tool_calls"] = [_tool_wire(answer.tool)]
        logprobs = _logprobs(answer, pieces) if answer.logprobs else None
        choices.append(
            {"index": index, "message": message, "logprobs": logprobs, "finish_reason": answer.finish}
        )
    return _head(answer, "chat.completion") | {"choices": choices, "usage": answer.usage}


def chunks(answer: Answer, *, include_usage: bool) -> Iterator[tuple[Json, int]]:
    """The chunks of a stream, each with the completion tokens in it."""
    head = _head(answer, "chat.completion.chunk") | ({"usage": None} if include_usage else {})

    def chunk(index: int, delta: Json, finish: str | None = None, pieces: list[str] | None = None) -> Json:
        logprobs = _logprobs(answer, pieces) if answer.logprobs and pieces else None
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return head | {"choices": [choice]}

    for index, pieces in enumerate(answer.choices):
        content = None if answer.tool else ""
        yield chunk(index, {"role": "assistant", "content": content, "refusal": None}), 0
        for thought in answer.reasoning if index == 0 else ():
            yield chunk(index, {"reasoning_content": thought}), 1
        if answer.tool:
            opening = _tool_wire(answer.tool | {"arguments": ""}) | {"index": 0}
            yield chunk(index, {"tool_calls": [opening]}), 0
            for part in pieces_of(answer.tool["arguments"]):
                yield chunk(index, {"tool_calls": [{"index": 0, "function": {"arguments": part}}]}), 1
        for piece in pieces:
            yield chunk(index, {"content": piece}, pieces=[piece]), 1
    for index in range(len(answer.choices)):
        yield chunk(index, {}, answer.finish), 0
    if include_usage:
        yield head | {"choices": [], "usage": answer.usage}, 0


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
