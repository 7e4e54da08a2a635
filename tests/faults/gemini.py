"""Good answers in the form of Google's `generateContent`: deterministic, and billed by its published rules.

Thoughts stand beside the candidates, and every object of a stream counts anew. The path names the model, and
whether an answer is streamed.
"""

import dataclasses
import json
import re
from collections.abc import Iterator
from typing import Final

from tests.faults.connection import Incoming
from tests.faults.gemini_request import Invalid, check, signature_of
from tests.faults.said import Event, Json, Refusal, example_of, pieces_of, planned
from tests.faults.script import Plan
from tests.faults.truth import Call

ANY_PUBLISHER: Final = re.compile(
    r"/v1/projects/[^/]+/locations/[^/]+/publishers/\w+/models/(?P<model>[^/?]+):(?P<method>\w+)"
)
PATH: Final = re.compile(
    r"/v1(?:beta)?(?:/projects/[^/]+/locations/[^/]+/publishers/google)?/models/(?P<model>[^/?]+):(?P<method>\w+)"
)
LISTED: Final = re.compile(r"/v1(?:beta)?/models")
STATUSES: Final = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}  # fmt: skip
STOPS: Final = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY"}
"""What scripts say in the words of chat completions; others are Google's own."""
TOKEN_SIZE: Final = 8  # numbers of a vector, where none is asked for


@dataclasses.dataclass(slots=True, kw_only=True)
class GeminiSaid:
    """One composed answer. See `said.Said`."""

    id: str
    model: str
    thoughts: list[str]
    pieces: list[str]
    calls: list[Json]
    """Parts, as the answer has them."""
    signature: str
    """Of the text; empty: none."""
    finish: str
    prompt: int
    cached: int
    tier: str
    told: bool
    """It tells its usage."""

    @property
    def output(self) -> int:
        return len(self.pieces) + sum(len(pieces_of(json.dumps(one["functionCall"]))) for one in self.calls)

    def whole(self) -> Json:
        parts: list[Json] = []
        if self.thoughts:
            parts.append({"text": "".join(self.thoughts), "thought": True})
        if self.pieces:
            text: Json = {"text": "".join(self.pieces)}
            parts.append(text | ({"thoughtSignature": self.signature} if self.signature else {}))
        parts += self.calls
        return self._object(parts, self.finish, self.output, len(self.thoughts))

    def events(self) -> Iterator[Event]:
        """Each thought, each piece and each call is an event of its own."""
        thought = said = 0
        for piece in self.thoughts:
            thought += 1
            yield Event(self._object([{"text": piece, "thought": True}], "", 0, thought), tokens=1)
        for piece in self.pieces:
            said += 1
            yield Event(self._object([{"text": piece}], "", said, thought), tokens=1)
        for call in self.calls:
            tokens = len(pieces_of(json.dumps(call["functionCall"])))
            said += tokens
            yield Event(self._object([call], "", said, thought), tokens=tokens)

    @property
    def ending(self) -> Event:
        last: Json = {"text": ""} | ({"thoughtSignature": self.signature} if self.signature else {})
        parts = [last] if self.pieces else []
        return Event(self._object(parts, self.finish, self.output, len(self.thoughts)))

    def _object(self, parts: list[Json], finish: str, output: int, thoughts: int) -> Json:
        candidate: Json = {"content": {"parts": parts, "role": "model"}} if parts else {}
        if finish:
            candidate["finishReason"] = finish
        told: Json = {"candidates": [candidate | {"index": 0}]}
        if self.told:
            told["usageMetadata"] = self.usage(output, thoughts)
        return told | {"modelVersion": self.model, "responseId": self.id}

    def usage(self, output: int, thoughts: int) -> Json:
        usage: Json = {"promptTokenCount": self.prompt, "totalTokenCount": self.prompt + output + thoughts}
        if output:
            usage["candidatesTokenCount"] = output
        if thoughts:
            usage["thoughtsTokenCount"] = thoughts
        if self.cached:
            usage["cachedContentTokenCount"] = self.cached
        usage["promptTokensDetails"] = [{"modality": "TEXT", "tokenCount": self.prompt}]
        return usage


# -- composing ---------------------------------------------------------------------------------------


def texts_in(body: Json) -> list[str]:
    contents = [*body.get("contents", ()), body.get("systemInstruction") or {}]
    parts = [part for content in contents for part in content.get("parts", ())]
    return [part["text"] for part in parts if "text" in part]


def asked_of(body: Json) -> str:
    """What the user said last."""
    for content in reversed(body.get("contents", ())):
        texts = [part["text"] for part in content.get("parts", ()) if "text" in part]
        if content.get("role") == "user" and texts:
            return " ".join(texts)
    return ""


def compose(body: Json, plan: Plan, call_id: str, model: str) -> GeminiSaid:
    """Decide what to say. The same body and plan always give the same text."""
    config = body.get("generationConfig", {})
    asked = asked_of(body)
    calls = _calls(body, plan, asked, call_id)
    pieces = planned(plan, _text(config, plan, asked)) if not calls or plan.say is not None else []
    thinking = config.get("thinkingConfig", {})
    wanted = plan.reasoning or ("let me think" if thinking.get("includeThoughts") else "")
    finish = "STOP"
    for word in config.get("stopSequences", ()):
        before, found, _ = "".join(pieces).partition(word)
        if found:
            pieces = pieces_of(before)
    limit = config.get("maxOutputTokens")
    if limit is not None and len(pieces) > limit:
        pieces, finish = pieces[:limit], "MAX_TOKENS"
    prompt = sum(len(pieces_of(text)) for text in texts_in(body))
    return GeminiSaid(
        id=f"r{call_id}",
        model=model,
        thoughts=pieces_of(wanted) if thinking.get("includeThoughts") else [],
        pieces=pieces,
        calls=calls,
        signature=signature_of(f"text {call_id}") if pieces and wanted and not calls else "",
        finish=finish if plan.finish is None else STOPS.get(plan.finish, plan.finish),
        prompt=prompt if plan.prompt_tokens is None else plan.prompt_tokens,
        cached=plan.cached,
        tier=body.get("serviceTier", ""),
        told=plan.usage,
    )


def _text(config: Json, plan: Plan, asked: str) -> str:
    if plan.bigline or plan.say is not None:
        return "x" * plan.bigline or plan.say or ""
    if config.get("responseMimeType") == "application/json":
        schema = config.get("responseJsonSchema")
        told = {"echo": asked} if schema is None else example_of(schema, schema)
        return json.dumps(told, ensure_ascii=False)
    return f"echo: {asked}"


def _calls(body: Json, plan: Plan, asked: str, call_id: str) -> list[Json]:
    """So many calls as the plan says of the first tool that is demanded by the configuration or named in the
    user's text (or any, for "tool"); the first of them is signed."""
    choice = body.get("toolConfig", {}).get("functionCallingConfig", {})
    mode, names = choice.get("mode", "AUTO"), choice.get("allowedFunctionNames")
    for tool in body.get("tools", ()):
        for function in tool.get("functionDeclarations", ()):
            name = function["name"]
            if mode == "NONE" or (names and name not in names):
                continue
            if name == plan.tool if plan.tool else mode == "ANY" or name in asked or "tool" in asked:
                schema = function.get("parametersJsonSchema", {})
                given = json.loads(plan.arguments) if plan.arguments else example_of(schema, schema)
                made: list[Json] = [
                    {"functionCall": {"id": f"c{call_id}{at}", "name": name, "args": given or {}}}
                    for at in range(plan.calls)
                ]
                if made:
                    made[0]["thoughtSignature"] = signature_of(f"call {call_id}")
                return made
    return []


# -- the dialect -------------------------------------------------------------------------------------


class Gemini:
    """`generateContent`, streams, counts of tokens, vectors and models as Google has them. See
    `said.Dialect`."""

    def refused(self, request: Incoming, body: Json | None, plan: Plan) -> Refusal | None:
        path = request.path.partition("?")[0]
        if LISTED.fullmatch(path):
            return None if request.method == "GET" else (405, "Method Not Allowed")
        found = PATH.fullmatch(path)
        if found is None:
            return 404, "Requested entity was not found."
        if request.method != "POST":
            return 405, "Method Not Allowed"
        if not any(request.headers.get(name) for name in ("x-goog-api-key", "authorization")):
            return 403, "Method doesn't allow unregistered callers"
        if body is None:
            return 400, "Invalid JSON payload received."
        method = found["method"]
        try:
            if method in ("generateContent", "streamGenerateContent"):
                check(body, found["model"])
            elif method == "countTokens":
                told = dict(body.get("generateContentRequest") or body)
                told.pop("model", None)
                check(told, found["model"])
            elif method != "batchEmbedContents":
                return 404, f"{method} is not found"
        except Invalid as invalid:
            return 400, str(invalid)
        return None

    def ready(self, call: Call, body: Json, plan: Plan) -> Json | None:
        if LISTED.fullmatch(call.path):
            names = (plan.models or "good good-cheap good-expensive").split()
            methods = ["generateContent", "countTokens"]
            rows = [{"name": f"models/{name}", "supportedGenerationMethods": methods} for name in names]
            return {
                "models": [
                    *rows,
                    {"name": "models/veo", "supportedGenerationMethods": ["predictLongRunning"]},
                ]
            }
        if call.path.endswith(":countTokens"):
            told = body.get("generateContentRequest") or body
            return {"totalTokens": sum(len(pieces_of(text)) for text in texts_in(told))}
        if call.path.endswith(":batchEmbedContents"):
            return self._vectors(call, body, plan)
        return None

    def _vectors(self, call: Call, body: Json, plan: Plan) -> Json:
        vectors, tokens = [], 0
        for one in body["requests"]:
            text = "".join(part["text"] for part in one["content"]["parts"])
            size = one.get("outputDimensionality", TOKEN_SIZE)
            vectors.append({"values": [float(len(text) + at) for at in range(size)]})
            tokens += len(pieces_of(text))
        call.prompt_tokens = tokens if plan.prompt_tokens is None else plan.prompt_tokens
        return {"embeddings": vectors, "usageMetadata": {"promptTokenCount": call.prompt_tokens}}

    def say(self, call: Call, body: Json, plan: Plan) -> GeminiSaid:
        said = compose(body, plan, call.id, call.model)
        call.prompt_tokens, call.cached_tokens = said.prompt, said.cached
        call.completion_tokens = said.output + len(said.thoughts)
        return said

    def error(self, call: Call, status: int, code: str | None = None, message: str | None = None) -> Event:
        text = message or f"The fault provider was asked for a {status}."
        kind = code or STATUSES.get(status, "UNKNOWN")
        return Event({"error": {"code": status, "message": text, "status": kind}})

    def fields(self, call: Call, status: int, plan: Plan) -> dict[str, str]:
        return {"x-gemini-service-tier": "standard"}


def model_of(path: str) -> tuple[str, bool] | None:
    """The model that a path names, and whether the answer is to be streamed; None: it names none."""
    found = PATH.fullmatch(path) or ANY_PUBLISHER.fullmatch(path)
    return None if found is None else (found["model"], found["method"].startswith("stream"))
