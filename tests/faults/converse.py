"""Good answers of Bedrock: of Converse, and of Messages by `InvokeModel` for Claude.

Deterministic, and strict about what is sent: the shapes of AWS's service model, and the rules that its users
know from what it refuses. Input leaves out what went by the prefix cache.
"""

import dataclasses
import json
import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import unquote

from tests.faults import frames, rented, signed
from tests.faults.connection import Incoming
from tests.faults.messages import Messages
from tests.faults.said import Event, Json, Refusal, Said, example_of, pieces_of, planned
from tests.faults.script import Plan
from tests.faults.shapes import faults
from tests.faults.truth import Call

PATH: Final = re.compile(
    r"(?:/v1)?/model/([^/]+)/(converse|converse-stream|invoke|invoke-with-response-stream|count-tokens)"
)
LISTS: Final = re.compile(r"(?:/v1)?/(foundation-models|inference-profiles)")
ERRORS: Final[dict[int, str]] = {
    400: "ValidationException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}
STOPS: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "content_filtered",
}
"""What scripts say in the words of chat completions."""
NEVER_IN_BODY: Final = frozenset({"model", "stream"})


def asked(path: str) -> tuple[str, str] | None:
    """The model and the operation that a path names; None: it is no call of a model."""
    found = PATH.fullmatch(path)
    return None if found is None else (unquote(found[1]), found[2])


def is_asked(path: str) -> bool:
    """Whether a path is one of Bedrock's."""
    return asked(path) is not None or LISTS.fullmatch(path) is not None


class Invalid(Exception):
    """Why a request is not taken."""


@dataclasses.dataclass(slots=True, kw_only=True)
class ConverseSaid:
    """One composed answer. See `said.Said`."""

    blocks: list[Json]
    pieces: list[str]
    """The tokens of its text."""
    stop: str
    usage: Json | None
    """None: it tells none."""

    def whole(self) -> Json:
        usage = {} if self.usage is None else {"usage": self.usage}
        message = {"role": "assistant", "content": self.blocks}
        return {"output": {"message": message}, "stopReason": self.stop, "metrics": {"latencyMs": 5}} | usage

    def events(self) -> Iterator[Event]:
        yield _event("messageStart", role="assistant")
        for index, block in enumerate(self.blocks):
            at: Json = {"contentBlockIndex": index}
            if "toolUse" in block:
                call = block["toolUse"]
                start = {"toolUse": {name: call[name] for name in ("toolUseId", "name")}}
                yield _event("contentBlockStart", counts=False, start=start, **at)
                for piece in pieces_of(json.dumps(call["input"])):
                    yield _event("contentBlockDelta", tokens=1, delta={"toolUse": {"input": piece}}, **at)
            elif "reasoningContent" in block:
                told = block["reasoningContent"]["reasoningText"]
                for piece in pieces_of(told["text"]):
                    delta = {"reasoningContent": {"text": piece}}
                    yield _event("contentBlockDelta", tokens=1, delta=delta, **at)
                delta = {"reasoningContent": {"signature": told["signature"]}}
                yield _event("contentBlockDelta", counts=False, delta=delta, **at)
            else:
                for piece in self.pieces:
                    yield _event("contentBlockDelta", tokens=1, delta={"text": piece}, **at)
            yield _event("contentBlockStop", counts=False, **at)
        yield _event("messageStop", counts=False, stopReason=self.stop)

    @property
    def ending(self) -> Event:
        usage: Json = {} if self.usage is None else {"usage": self.usage}
        return _event("metadata", metrics={"latencyMs": 5}, **usage)


def _event(name: str, *, tokens: int = 0, counts: bool = True, **fields: Any) -> Event:
    return Event(fields, name, tokens, counts, frames.event(name, **fields))


class Framed:
    """An answer of Messages in the frames of Bedrock."""

    def __init__(self, said: Said) -> None:
        self._said = said

    def whole(self) -> Json:
        return self._said.whole()

    def events(self) -> Iterator[Event]:
        for event in self._said.events():
            yield dataclasses.replace(event, raw=frames.chunk(event.data))

    @property
    def ending(self) -> Event:
        event = self._said.ending
        assert isinstance(event.data, dict)
        metrics = {"inputTokenCount": 1, "outputTokenCount": 1, "invocationLatency": 5}
        told = event.data | {"amazon-bedrock-invocationMetrics": metrics}
        return dataclasses.replace(event, data=told, raw=frames.chunk(told))


# -- what is taken -----------------------------------------------------------------------------------


def check(body: Json) -> None:
    """Raises:
    Invalid: Converse would not take it.
    """
    wrong = faults({**body, "modelId": "m"}, "ConverseStreamRequest")
    if wrong:
        raise Invalid("; ".join(wrong[:5]))
    role = "assistant"
    open_calls: list[str] = []
    names: set[str] = set()
    for message in body["messages"]:
        if message["role"] == role:
            raise Invalid("messages: roles must alternate, and a user begins")
        role = message["role"]
        if not message["content"]:
            raise Invalid("messages: the content is empty")
        open_calls = _check_content(message, open_calls, names)
    if open_calls:
        raise Invalid(f"messages: no results of {open_calls}")
    tools = [
        one["toolSpec"]["name"] for one in body.get("toolConfig", {}).get("tools", ()) if "toolSpec" in one
    ]
    if names and not tools:
        raise Invalid(
            "The toolConfig field must be defined when using toolUse and toolResult content blocks."
        )
    if len(set(tools)) < len(tools):
        raise Invalid("toolConfig: two tools of one name")
    for block in body.get("system", ()):
        if "text" in block and not block["text"].strip():
            raise Invalid("system: the text is blank")


def _check_content(message: Json, open_calls: list[str], names: set[str]) -> list[str]:
    """The calls that are open after it."""
    content = message["content"]
    results = [block["toolResult"]["toolUseId"] for block in content if "toolResult" in block]
    if results and message["role"] != "user":
        raise Invalid("messages: a result of an assistant")
    if sorted(results) != sorted(open_calls):
        raise Invalid(f"messages: results of {results} for calls {open_calls}")
    kinds = [next(iter(block)) for block in content]
    if results and kinds[: len(results)].count("toolResult") + kinds[: len(results)].count(
        "cachePoint"
    ) < len(results):
        raise Invalid("messages: results do not come first")
    if "document" in kinds and "text" not in kinds:
        raise Invalid("messages: a document without a text")
    for block in content:
        if "text" in block and not block["text"].strip():
            raise Invalid("The text field in the ContentBlock object is blank.")
    calls = [block["toolUse"] for block in content if "toolUse" in block]
    if calls and message["role"] != "assistant":
        raise Invalid("messages: a call of a user")
    names.update(call["name"] for call in calls)
    ids = [str(call["toolUseId"]) for call in calls]
    if len(set(ids)) < len(ids):
        raise Invalid("messages: an id of a call twice")
    return ids


# -- composing ---------------------------------------------------------------------------------------


def compose(body: Json, plan: Plan, call_id: str) -> ConverseSaid:
    texts = [
        block["text"]
        for message in body["messages"]
        if message["role"] == "user"
        for block in message["content"]
        if "text" in block
    ]
    words = texts[-1] if texts else ""
    tools = _calls(body, plan, words, call_id)
    pieces = planned(plan, _text(body, plan, words)) if not tools or plan.say is not None else []
    stop = "tool_use" if tools else "end_turn"
    config = body.get("inferenceConfig", {})
    for word in config.get("stopSequences", ()):
        before, found, _ = "".join(pieces).partition(word)
        if found:
            pieces, stop = pieces_of(before), "stop_sequence"
    most = config.get("maxTokens", 100_000)
    if len(pieces) > most:
        pieces, tools, stop = pieces[:most], [], "max_tokens"
    blocks: list[Json] = []
    if plan.reasoning:
        thought = {"text": plan.reasoning, "signature": "c2lnbmVkIGJ5IHRoZSBtb2RlbA=="}
        blocks.append({"reasoningContent": {"reasoningText": thought}})
    if pieces:
        blocks.append({"text": "".join(pieces)})
    output = len(pieces) + len(pieces_of(plan.reasoning))
    output += sum(len(pieces_of(json.dumps(one["toolUse"]["input"]))) for one in tools)
    fresh = len(pieces_of(json.dumps(body))) if plan.prompt_tokens is None else plan.prompt_tokens
    fresh = max(0, fresh - plan.cached - plan.written_5m - plan.written_1h) if plan.prompt_tokens else fresh
    written = plan.written_5m + plan.written_1h
    lives = [{"ttl": "1h", "inputTokens": plan.written_1h}, {"ttl": "5m", "inputTokens": plan.written_5m}]
    usage: Json = {
        "inputTokens": fresh,
        "outputTokens": output,
        "totalTokens": fresh + output + plan.cached + written,
        "cacheReadInputTokens": plan.cached,
        "cacheWriteInputTokens": written,
        "cacheDetails": [one for one in lives if one["inputTokens"]],
    }
    finish = stop if plan.finish is None else STOPS.get(plan.finish, plan.finish)
    return ConverseSaid(blocks=[*blocks, *tools], pieces=pieces, stop=finish, usage=usage)


def _text(body: Json, plan: Plan, words: str) -> str:
    told = body.get("outputConfig", {}).get("textFormat", {}).get("structure", {}).get("jsonSchema")
    if told is not None and plan.say is None and not plan.bigline:
        schema = json.loads(told["schema"])
        return json.dumps(example_of(schema, schema))
    return "x" * plan.bigline or plan.say or f"echo: {words}"


def _calls(body: Json, plan: Plan, words: str, call_id: str) -> list[Json]:
    config = body.get("toolConfig", {})
    choice = config.get("toolChoice", {})
    for tool in config.get("tools", ()):
        spec = tool.get("toolSpec", {})
        name = spec.get("name")
        if name is None or ("tool" in choice and choice["tool"]["name"] != name):
            continue
        forced = "tool" in choice or "any" in choice
        if name == plan.tool if plan.tool else forced or name in words or "tool" in words:
            schema = spec["inputSchema"]["json"]
            given = json.loads(plan.arguments) if plan.arguments else example_of(schema, schema)
            return [
                {"toolUse": {"toolUseId": f"tooluse_{call_id}_{index}", "name": name, "input": given}}
                for index in range(plan.calls)
            ]
    return []


# -- the dialect -------------------------------------------------------------------------------------


class Bedrock:
    """See `said.Dialect`."""

    stream_type = frames.MEDIA_TYPE

    def __init__(self) -> None:
        self._messages = Messages()

    def refused(self, request: Incoming, body: Json | None, plan: Plan) -> Refusal | None:
        not_proved = signed.fault(request)
        if not_proved:
            return 403, not_proved
        if LISTS.fullmatch(request.path.partition("?")[0]):
            return None
        told = asked(request.path)
        if told is None:
            return 404, "UnknownOperationException"
        if body is None:
            return 400, "The request body is not valid JSON"
        model, operation = told
        if NEVER_IN_BODY & body.keys():
            return 400, "Malformed input request: extraneous key [model] is not permitted"
        try:
            if operation == "count-tokens":
                wrong = faults({**body, "modelId": model}, "CountTokensRequest")
                return (400, "; ".join(wrong)) if wrong else None
            if operation.startswith("converse"):
                if "meta." in model and operation == "converse-stream" and "toolConfig" in body:
                    return 400, "This model doesn't support tool use in streaming mode."
                check(body)
                return None
        except Invalid as invalid:
            return 400, str(invalid)
        return self._refused_claude(request, model, body, plan)

    def _refused_claude(self, request: Incoming, model: str, body: Json, plan: Plan) -> Refusal | None:
        if body.get("anthropic_version") != "bedrock-2023-05-31":
            return 400, "anthropic_version: Field required"
        asks = {name: value for name, value in body.items() if not name.startswith("anthropic_")}
        headers = {**request.headers, "anthropic-version": "2023-06-01"}
        beta = body.get("anthropic_beta")
        wrong_beta = rented.refused_betas(asks, beta or (), rented.AT_BEDROCK)
        if wrong_beta:
            return wrong_beta
        if beta:
            headers["anthropic-beta"] = ",".join(beta)
        as_sent = dataclasses.replace(request, path="/v1/messages", headers=headers)
        return self._messages.refused(as_sent, {"model": model, **asks}, plan)

    def ready(self, call: Call, body: Json, plan: Plan) -> Json | None:
        listed = LISTS.fullmatch(call.path)
        if listed is not None and listed[1] == "foundation-models":
            ids = (plan.models or "good amazon.nova-lite-v1:0").split()
            return {"modelSummaries": [{"modelId": name, "outputModalities": ["TEXT"]} for name in ids]}
        if listed is not None:
            profile = {"inferenceProfileId": "us.amazon.nova-pro-v1:0", "type": "SYSTEM_DEFINED"}
            return {"inferenceProfileSummaries": [profile]}
        if call.path.endswith("/count-tokens"):
            return {"inputTokens": 42}
        return None

    def say(self, call: Call, body: Json, plan: Plan) -> Said:
        told = asked(call.path)
        assert told is not None
        if not told[1].startswith("converse"):
            asks = {name: value for name, value in body.items() if not name.startswith("anthropic_")}
            return Framed(self._messages.say(call, {"model": told[0], **asks}, plan))
        said = compose(body, plan, call.id)
        assert said.usage is not None
        call.cached_tokens = said.usage["cacheReadInputTokens"]
        call.written_5m_tokens, call.written_1h_tokens = plan.written_5m, plan.written_1h
        written = said.usage["cacheWriteInputTokens"]
        call.prompt_tokens = said.usage["inputTokens"] + call.cached_tokens + written
        call.completion_tokens = said.usage["outputTokens"]
        if not plan.usage:
            said.usage = None
        return said

    def error(self, call: Call, status: int, code: str | None = None, message: str | None = None) -> Event:
        words = message or f"The fault provider was asked for a {status}."
        name = code or ERRORS.get(status, "InternalServerException")
        inside = name[0].lower() + name[1:]
        return Event({"message": words}, name, raw=frames.exception(inside, words))

    def fields(self, call: Call, status: int, plan: Plan) -> dict[str, str]:
        told = {"x-amzn-requestid": f"req-{call.id}"}
        if status >= 400:
            name = plan.code or ERRORS.get(status, "InternalServerException")
            told["x-amzn-errortype"] = f"{name}:http://internal.amazon.com/coral/com.amazon.bedrock/"
        return told
