"""Claude where others than Anthropic let it: what Bedrock and Vertex take of Messages, which is less, and how
Vertex is asked.

Each knows some betas and refuses a request that asks for another; a field of a beta is refused where that was
not asked for.
"""

import dataclasses
import re
from collections.abc import Collection
from typing import Any, Final

from tests.faults.connection import Incoming
from tests.faults.messages import Messages
from tests.faults.said import Event, Json, Refusal, Said
from tests.faults.script import Plan
from tests.faults.truth import Call

AT_BEDROCK: Final = frozenset({
    "compact-2026-01-12", "computer-use-2024-10-22", "computer-use-2025-01-24", "computer-use-2025-11-24",
    "context-1m-2025-08-07", "context-management-2025-06-27", "dev-full-thinking-2025-05-14",
    "effort-2025-11-24", "fine-grained-tool-streaming-2025-05-14", "interleaved-thinking-2025-05-14",
    "output-128k-2025-02-19", "token-efficient-tools-2025-02-19", "tool-examples-2025-10-29",
    "tool-search-tool-2025-10-19",
})  # fmt: skip
AT_VERTEX: Final = frozenset({
    "claude-code-20250219", "compact-2026-01-12", "computer-use-2024-10-22", "computer-use-2025-01-24",
    "computer-use-2025-11-24", "context-1m-2025-08-07", "context-management-2025-06-27",
    "effort-2025-11-24", "interleaved-thinking-2025-05-14", "tool-search-tool-2025-10-19",
    "web-search-2025-03-05",
})  # fmt: skip
OF_TOOLS: Final = {
    "defer_loading": "tool-search-tool-2025-10-19",
    "input_examples": "tool-examples-2025-10-29",
}
OF_TURNS: Final = {"output_config": "per-turn-control-2026-07-01"}
OF_REQUESTS: Final = {"context_management": "context-management-2025-06-27"}
PATH: Final = re.compile(
    r"/v1/projects/[^/]+/locations/[^/]+/publishers/anthropic/models/(?P<model>[^/?:]+):"
    r"(?P<method>rawPredict|streamRawPredict)"
)
COUNTING: Final = "count-tokens"
VERSION: Final = "vertex-2023-10-16"


def refused_betas(body: Json, betas: Collection[str], known: Collection[str]) -> Refusal | None:
    """Why a request that asks for `betas` is not taken where only `known` are known; None: it is."""
    if any(beta not in known for beta in betas):
        return 400, "invalid beta flag"
    held: list[tuple[str, Any, dict[str, str]]] = [("", body, OF_REQUESTS)]
    held += [(f"tools.{at}.custom.", tool, OF_TOOLS) for at, tool in enumerate(body.get("tools", ()))]
    held += [(f"messages.{at}.", one, OF_TURNS) for at, one in enumerate(body.get("messages", ()))]
    for where, value, fields in held:
        for field, beta in fields.items():
            if isinstance(value, dict) and field in value and beta not in betas:
                return 400, f"{where}{field}: Extra inputs are not permitted"
    return None


class VertexClaude:
    """Messages by `rawPredict`. See `said.Dialect`."""

    def __init__(self) -> None:
        self._messages = Messages()

    def refused(self, request: Incoming, body: Json | None, plan: Plan) -> Refusal | None:
        path = PATH.fullmatch(request.path.partition("?")[0])
        if path is None or request.path.endswith("?beta=true"):
            return 404, "Requested entity was not found."
        if not request.headers.get("authorization", "").startswith("Bearer ya29."):
            return 401, "Request had invalid authentication credentials."
        if body is None or body.get("anthropic_version") != VERSION:
            return 400, "anthropic_version: Field required"
        counts = path["model"] == COUNTING
        if ("model" in body) != counts:
            return 400, "model: Extra inputs are not permitted"
        if not counts and body.get("stream", False) != (path["method"] == "streamRawPredict"):
            return 400, "stream: Input does not fit the method"
        betas = [one for one in request.headers.get("anthropic-beta", "").split(",") if one]
        asks = {name: value for name, value in body.items() if name != "anthropic_version"}
        kind = "/v1/messages/count_tokens" if counts else "/v1/messages"
        headers = {**request.headers, "anthropic-version": "2023-06-01"}
        as_sent = dataclasses.replace(request, path=kind, headers=headers)
        return refused_betas(asks, betas, AT_VERTEX) or self._messages.refused(
            as_sent, {"model": path["model"], **asks}, plan
        )

    def ready(self, call: Call, body: Json, plan: Plan) -> Json | None:
        return {"input_tokens": 42} if f"/{COUNTING}:" in call.path else None

    def say(self, call: Call, body: Json, plan: Plan) -> Said:
        asks = {name: value for name, value in body.items() if name != "anthropic_version"}
        return self._messages.say(call, {"model": call.model, **asks}, plan)

    def error(self, call: Call, status: int, code: str | None = None, message: str | None = None) -> Event:
        return self._messages.error(call, status, code, message)

    def fields(self, call: Call, status: int, plan: Plan) -> dict[str, str]:
        return {"request-id": f"req_vrtx_{call.id}"}
