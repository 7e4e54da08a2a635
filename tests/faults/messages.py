"""Good answers in the form of Anthropic's Messages: deterministic, and billed by its published rules.

Of the prompt `input_tokens` are those that were neither read from the cache of prefixes nor written to it;
thinking is output. Usage in a stream is cumulative: what `message_delta` says replaces what came before.
"""

import dataclasses
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qs

from tests.faults import messages_proof as proof
from tests.faults.connection import Incoming
from tests.faults.messages_prompt import PrefixCache, Reading, blocks_in, blocks_of
from tests.faults.messages_request import Invalid, check, check_bound, check_own
from tests.faults.said import Event, Json, Refusal, example_of, pieces_of, planned
from tests.faults.script import Plan
from tests.faults.truth import Call

ROUTES: Final = {"/messages": "POST", "/messages/count_tokens": "POST", "/models": "GET"}
ERRORS: Final[dict[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
STOPS: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
"""What scripts say in the words of chat completions."""
LIMITS: Final = {"requests": 4_000, "tokens": 2_000_000, "input-tokens": 1_600_000, "output-tokens": 400_000}
CREATED_AT: Final = "2026-02-01T00:00:00Z"
COUNTED_AT_THE_END: Final = (
    "input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens",
    "output_tokens_details",
)  # fmt: skip
THREADS_MAX: Final = 1_000
MODELS_LISTED: Final = 20
MODELS_LISTED_MAX: Final = 1_000


@dataclasses.dataclass(slots=True, kw_only=True)
class MessagesSaid:
    """One composed answer. See `said.Said`."""

    id: str
    model: str
    blocks: list[Json]
    """As the whole answer has them."""
    pieces: list[str]
    """The tokens of its text."""
    hidden: int
    """Tokens of thinking that is billed and not shown."""
    stop_reason: str
    stop_sequence: str | None
    usage: Json | None
    """None: it tells none."""

    def whole(self) -> Json:
        usage = {} if self.usage is None else {"usage": self.usage}
        return self._message(self.blocks, self._ending()) | usage

    def events(self) -> Iterator[Event]:
        """`message_start`, each delta and `message_delta` are those that scripts count."""
        opening = self._message([], {"stop_reason": None, "stop_sequence": None})
        if self.usage is not None:
            opening["usage"] = self.usage | {"output_tokens": min(1, self.usage["output_tokens"])}
        yield _event("message_start", message=opening)
        for index, block in enumerate(self.blocks):
            hidden = self.hidden if index == 0 else 0
            start = _opened(block)
            yield _event("content_block_start", tokens=hidden, counts=False, index=index, content_block=start)
            if index == 0:
                yield _event("ping", counts=False)
            for delta, tokens in self._deltas(block):
                proven = delta["type"] == "signature_delta"
                yield _event(
                    "content_block_delta", tokens=tokens, counts=not proven, index=index, delta=delta
                )
            yield _event("content_block_stop", counts=False, index=index)
        if self.usage is None:
            yield _event("message_delta", delta=self._ending())
        else:
            used = {name: self.usage[name] for name in COUNTED_AT_THE_END}
            yield _event("message_delta", delta=self._ending(), usage=used)

    @property
    def ending(self) -> Event:
        return _event("message_stop")

    def _deltas(self, block: Json) -> Iterator[tuple[Json, int]]:
        """The deltas of a block, each with the output tokens in it."""
        match block["type"]:
            case "text":
                for piece in self.pieces:
                    yield {"type": "text_delta", "text": piece}, 1
            case "thinking":
                for piece in pieces_of(block["thinking"]):
                    yield {"type": "thinking_delta", "thinking": piece}, 1
                yield {"type": "signature_delta", "signature": block["signature"]}, 0
            case "tool_use":
                yield {"type": "input_json_delta", "partial_json": ""}, 0
                for piece in pieces_of(json.dumps(block["input"])):
                    yield {"type": "input_json_delta", "partial_json": piece}, 1

    def _message(self, blocks: list[Json], ending: Json) -> Json:
        kind = {"id": self.id, "type": "message", "role": "assistant", "model": self.model}
        return kind | {"content": blocks} | ending

    def _ending(self) -> Json:
        ending: Json = {"stop_reason": self.stop_reason, "stop_sequence": self.stop_sequence}
        if self.stop_reason == "refusal":
            ending["stop_details"] = {"type": "refusal", "category": None, "explanation": None}
        return ending


def _event(name: str, *, tokens: int = 0, counts: bool = True, **fields: Any) -> Event:
    return Event({"type": name, **fields}, name, tokens, counts)


def _opened(block: Json) -> Json:
    empty: dict[str, Json] = {
        "text": {"text": ""},
        "thinking": {"thinking": "", "signature": ""},
        "tool_use": {"input": {}},
    }
    return block | empty.get(block["type"], {})


# -- composing ---------------------------------------------------------------------------------------


def compose(body: Json, plan: Plan, call_id: str, reading: Reading) -> MessagesSaid:
    """Decide what to say. The same body and plan always give the same text."""
    asked = _asked(body)
    thoughts, thinking = _thoughts(body, plan)
    shown = sum(len(pieces_of(thought.get("thinking", ""))) for thought in thoughts)
    tools = _tool_calls(body, plan, asked, call_id)
    pieces = planned(plan, _text(body, plan, asked)) if not tools or plan.say is not None else []
    stop, sequence = ("tool_use" if tools else "end_turn"), None
    for word in body.get("stop_sequences") or ():
        before, found, _ = "".join(pieces).partition(word)
        if found:
            pieces, stop, sequence = pieces_of(before), "stop_sequence", word
    left = max(body["max_tokens"] - thinking, 0)
    if len(pieces) > left:
        pieces, tools, stop, sequence = pieces[:left], [], "max_tokens", None
    blocks = [*thoughts, *([{"type": "text", "text": "".join(pieces)}] if pieces else []), *tools]
    if body["max_tokens"] == 0:  # to write the cache, and to say nothing
        blocks, pieces, thinking, shown, stop = [], [], 0, 0, "max_tokens"
    arguments = sum(len(pieces_of(json.dumps(one["input"]))) for one in blocks if one["type"] == "tool_use")
    return MessagesSaid(
        id=f"msg_{call_id}",
        model=plan.names or body["model"],
        blocks=blocks,
        pieces=pieces,
        hidden=thinking - shown,
        stop_reason=stop if plan.finish is None else STOPS.get(plan.finish, plan.finish),
        stop_sequence=sequence,
        usage=_usage(reading, thinking + len(pieces) + arguments, thinking),
    )


def _asked(body: Json) -> str:
    """The last text of the user."""
    for message in reversed(body["messages"]):
        texts = [one["text"] for one in blocks_in(message["content"]) if one["type"] == "text"]
        if message["role"] == "user" and texts:
            return " ".join(texts)
    return ""


def _text(body: Json, plan: Plan, asked: str) -> str:
    if plan.bigline or plan.say is not None:
        return "x" * plan.bigline or plan.say or ""
    form = (body.get("output_config") or {}).get("format")
    if form:
        return json.dumps(example_of(form["schema"], form["schema"]), ensure_ascii=False)
    return f"echo: {asked}"


def _thoughts(body: Json, plan: Plan) -> tuple[list[Json], int]:
    """Blocks of thinking, where it is asked for, and their tokens; the plan's `reasoning`, or a few words."""
    wanted = body.get("thinking") or {}
    if wanted.get("type") not in ("enabled", "adaptive"):
        return [], 0
    thought = plan.reasoning or "let me think"
    tokens = len(pieces_of(thought))
    if plan.redacted:
        return [{"type": "redacted_thinking", "data": proof.hide(thought)}], tokens
    shown = "" if wanted.get("display") == "omitted" else thought
    signature = proof.sign(shown, proof.before(body, len(body["messages"])))
    return [{"type": "thinking", "thinking": shown, "signature": signature}], tokens


def _tool_calls(body: Json, plan: Plan, asked: str, call_id: str) -> list[Json]:
    """So many calls as the plan says of the first tool that is demanded by `tool_choice` or named in the
    user's text (or any, for "tool")."""
    choice = body.get("tool_choice") or {}
    named, kind = choice.get("name"), choice.get("type", "auto")
    for tool in body.get("tools") or ():
        name = tool["name"]
        if kind == "none" or (named and name != named) or "input_schema" not in tool:
            continue
        forced = kind in ("any", "tool")
        if name == plan.tool if plan.tool else forced or name in asked or "tool" in asked:
            schema = tool["input_schema"]
            given = json.loads(plan.arguments) if plan.arguments else example_of(schema, schema)
            count = 1 if choice.get("disable_parallel_tool_use") else plan.calls
            return [
                {"type": "tool_use", "id": f"toolu_{call_id}_{index}", "name": name, "input": given}
                for index in range(count)
            ]
    return []


def _usage(reading: Reading, output: int, thinking: int) -> Json:
    return {
        "input_tokens": reading.fresh,
        "cache_creation_input_tokens": reading.written_5m + reading.written_1h,
        "cache_read_input_tokens": reading.read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": reading.written_5m,
            "ephemeral_1h_input_tokens": reading.written_1h,
        },
        "output_tokens": output,
        "output_tokens_details": {"thinking_tokens": thinking},
        "server_tool_use": None,
        "service_tier": "standard",
        "inference_geo": "global",
    }


# -- the dialect -------------------------------------------------------------------------------------


class Messages:
    """Messages, counts of tokens and models as Anthropic has them. See `said.Dialect`."""

    def __init__(self) -> None:
        self._cache = PrefixCache()
        self._threads: dict[str, Json] = {}
        """What is held for clients that send no more than what is new: by the id of the last answer."""

    def refused(self, request: Incoming, body: Json | None, plan: Plan) -> Refusal | None:
        path = request.path.partition("?")[0].removeprefix("/v1")
        if path not in ROUTES:
            return 404, "Not Found"
        if ROUTES[path] != request.method:
            return 405, "Method Not Allowed"
        if not any(request.headers.get(name) for name in ("x-api-key", "authorization")):
            return 401, "x-api-key header is required"
        if "anthropic-version" not in request.headers:
            return 400, "anthropic-version: header is required"
        if request.method == "GET":
            return None
        if body is None:
            return 400, "The request body is not valid JSON"
        counting, betas = path.endswith("/count_tokens"), bool(request.headers.get("anthropic-beta"))
        told = body.get("thread")
        if isinstance(told, dict) and told.get("type") == "continue":
            held = self._threads.get(told.get("previous_message_id", ""))
            if held is None:
                return 400, "thread: the message to continue from was not found"
            body["messages"] = [*held["messages"], *body["messages"]]
            body.update({name: held[name] for name in ("system", "tools") if name in held})
        try:
            check(body, counting=counting, betas=betas)
            if not plan.foreign:
                check_own(body)
            if plan.bound:
                check_bound(body)
        except Invalid as invalid:
            return 400, str(invalid)
        return None

    def ready(self, call: Call, body: Json, plan: Plan) -> Json | None:
        if call.path.endswith("/models"):
            return _models(plan, call.query)
        if call.path.endswith("/count_tokens"):
            return {"input_tokens": _total(body, plan)}
        return None

    def say(self, call: Call, body: Json, plan: Plan) -> MessagesSaid:
        reading = self._reading(body, plan)
        said = compose(body, plan, call.id, reading)
        assert said.usage is not None
        call.prompt_tokens = reading.total
        call.cached_tokens = reading.read
        call.written_5m_tokens, call.written_1h_tokens = reading.written_5m, reading.written_1h
        call.completion_tokens = said.usage["output_tokens"]
        if not plan.usage:
            said.usage = None
        if body.get("thread") and len(self._threads) < THREADS_MAX:
            answered = {"role": "assistant", "content": said.blocks}
            self._threads[said.id] = {**body, "messages": [*body["messages"], answered]}
        return said

    def _reading(self, body: Json, plan: Plan) -> Reading:
        if plan.prompt_tokens is None and not (plan.cached or plan.written_5m or plan.written_1h):
            return self._cache.read(body["model"], blocks_of(body))
        fresh = _total(body, plan) - plan.cached - plan.written_5m - plan.written_1h
        return Reading(max(fresh, 0), plan.cached, plan.written_5m, plan.written_1h)

    def error(self, call: Call, status: int, code: str | None = None, message: str | None = None) -> Event:
        usual = ERRORS.get(status, "api_error" if status >= 500 else "invalid_request_error")
        text = message or f"The fault provider was asked for a {status}."
        said = {"type": code or usual, "message": text}
        return _event("error", error=said, request_id=f"req_{call.id}")

    def fields(self, call: Call, status: int, plan: Plan) -> dict[str, str]:
        """`remaining` is 0 where the status says that a limit was reached."""
        told = {"request-id": f"req_{call.id}", "anthropic-organization-id": "org-of-the-tests"}
        resets = (datetime.now(UTC) + timedelta(seconds=60)).strftime("%Y-%m-%dT%H:%M:%SZ")
        for name, limit in LIMITS.items():
            left = 0 if status == 429 else limit - 1
            told |= {
                f"anthropic-ratelimit-{name}-limit": str(limit),
                f"anthropic-ratelimit-{name}-remaining": str(left),
                f"anthropic-ratelimit-{name}-reset": resets,
            }
        return told


def _total(body: Json, plan: Plan) -> int:
    if plan.prompt_tokens is not None:
        return plan.prompt_tokens
    return sum(block.tokens for block in blocks_of(body))


def _models(plan: Plan, query: str) -> Json:
    """A page of the list, as `limit` and `after_id` ask for it."""
    asked = parse_qs(query)
    ids = (plan.models or "good good-cheap good-expensive").split()
    after = asked.get("after_id", [""])[0]
    start = ids.index(after) + 1 if after in ids else 0
    limit = min(int(asked.get("limit", [str(MODELS_LISTED)])[0]), MODELS_LISTED_MAX)
    page = ids[start : start + limit]
    rows = [
        {
            "type": "model",
            "id": name,
            "display_name": name.title(),
            "created_at": CREATED_AT,
            "lifecycle": "active",
            "max_input_tokens": 200_000,
            "max_tokens": 64_000,
        }
        for name in page
    ]
    more = start + limit < len(ids)
    return {
        "data": rows,
        "has_more": more,
        "first_id": page[0] if page else None,
        "last_id": page[-1] if page else None,
    }
