"""Claude at Bedrock: Messages in the body of `InvokeModel`.

The path names the model and whether it is streamed, and the body the version and the betas that are headers
elsewhere. What Anthropic runs itself is not there: its tools, its files, links that it fetches, its batches.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from farthing.dialects.chat.usage import tier_of
from farthing.dialects.messages.requests import request_writer
from farthing.dialects.splice import REMOVED
from farthing.dialects.written import Written
from farthing.models.providers.anthropic import edits, elsewhere
from farthing.models.providers.anthropic.betas import supported
from farthing.models.providers.anthropic.elsewhere import BEDROCK
from farthing.models.providers.http import word_in
from farthing.models.providers.translated import conversation_of
from farthing.models.providers.translating import written
from farthing.text.lenient_json import write_json
from farthing.types import Json, Prompt, Sent, Target, replace

VERSION = "bedrock-2023-05-31"
BETAS = frozenset({
    "compact-2026-01-12", "computer-use-2024-10-22", "computer-use-2025-01-24", "computer-use-2025-11-24",
    "context-1m-2025-08-07", "context-management-2025-06-27", "dev-full-thinking-2025-05-14",
    "effort-2025-11-24", "fine-grained-tool-streaming-2025-05-14", "interleaved-thinking-2025-05-14",
    "output-128k-2025-02-19", "token-efficient-tools-2025-02-19", "tool-examples-2025-10-29",
    "tool-search-tool-2025-10-19",
})  # fmt: skip
"""Those that Bedrock documents; it refuses a request with another."""
NOT_THERE = ("container", "fallbacks", "inference_geo", "mcp_servers", "speed")
"""Fields of Messages that change what a client gets, and that Bedrock does not have."""
UNREAD = ("diagnostics", "service_tier", "user_profile_id")
"""Those that it does not have and that a client can do without."""
RUN_BY_ANTHROPIC = ("code_execution_", "web_fetch_", "web_search_")
NO_LINKS = "Bedrock fetches no links; send it as data"
NO_FILES = "uploaded files are not at Bedrock; send it as data"


IN_HEADERS: Mapping[str, Mapping[str, str]] = {
    "guardrailConfig": {
        "guardrailIdentifier": "x-amzn-bedrock-guardrailidentifier",
        "guardrailVersion": "x-amzn-bedrock-guardrailversion",
        "trace": "x-amzn-bedrock-trace",
    },
    "performanceConfig": {"latency": "x-amzn-bedrock-performanceconfig-latency"},
    "serviceTier": {"type": "x-amzn-bedrock-service-tier"},
    "requestMetadata": {},
}
"""Fields of Converse that a client may send for Claude too, and the headers of `InvokeModel` for them."""
_CHARGED: Mapping[str, tuple[str, str]] = {
    name: (field, inner)
    for field in ("serviceTier", "performanceConfig")
    for inner, name in IN_HEADERS[field].items()
}
"""What a call costs more or less by: headers, of replies too, and where a client asks for it."""
METADATA = "x-amzn-bedrock-request-metadata"
VALUE_CHARS_MAX = 8_500  # AWS's own, of the longest


class Lacks(Struct):
    """What of a request Bedrock does not have."""

    names: dict[str, None]
    reasons: dict[str, str]

    def add(self, name: str, reason: str) -> None:
        self.names[name] = None
        self.reasons[name] = reason


def lacks(body: Json, *, link: str, file: str) -> Lacks:
    """What a body of Messages has that is not at Bedrock. `link`, `file`: what the client calls a link to
    data, and data that was uploaded."""
    found = Lacks({}, {})
    for name in NOT_THERE:
        if body.get(name) is not None:
            found.add(name, f"Bedrock has no {name}; leave it out")
    for name in IN_HEADERS:
        if name in body and _lines_of(name, body[name]) is None:
            found.add(name, f"InvokeModel has no header for all of this {name}; send what its guide names")
    for tool in _dicts(body.get("tools")):
        kind = tool.get("type")
        if isinstance(kind, str) and kind.startswith(RUN_BY_ANTHROPIC):
            found.add(f"tools.{kind}", "Anthropic alone runs this tool; leave it out")
    for source in _sources(body["messages"]):
        kind = source.get("type")
        if kind == "url":
            found.add(link, NO_LINKS)
        elif kind == "file":
            found.add(file, NO_FILES)
    return found


def _sources(messages: Any) -> list[Json]:
    """Where the data of images and documents lies, those in results of tools too. What is no block of
    Messages has been refused before."""
    found: list[Json] = []
    for message in messages:
        content = message["content"]
        if content.__class__ is str:
            continue
        for block in content:
            if "source" in block:
                found.append(block["source"])
            elif block.get("type") == "tool_result" and block.get("content").__class__ is list:
                found += [inner["source"] for inner in block["content"] if "source" in inner]
    return [source for source in found if source.__class__ is dict]


def _dicts(value: Any) -> Iterable[Json]:
    return (one for one in value if one.__class__ is dict) if value.__class__ is list else ()


def body_as_sent(prompt: Prompt, sent: Sent, model: str, betas: list[str]) -> bytes:
    """The body of a request of a client of Messages: its own bytes but for what has to change."""
    changed = supported(sent, edits.changes(prompt, sent, model, BEDROCK), betas)
    return edits.marked(written(sent, {**changed, **_moved(sent.body, betas)}), prompt, model)


def counted_as_sent(sent: Sent, model: str, betas: list[str]) -> bytes:
    """As `body_as_sent`, for a call that counts its tokens: Bedrock wants what it would be asked with."""
    changed = {**supported(sent, edits.counted(sent, model, BEDROCK), betas), **_moved(sent.body, betas)}
    thinking = sent.body.get("thinking")
    budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    changed["max_tokens"] = sent.body.get("max_tokens") or (budget + 1 if isinstance(budget, int) else 1)
    return written(sent, changed)


def header_lines(body: Json) -> str:
    """The header lines for what a client asks of Bedrock itself, in the fields of Converse."""
    told = [line for field in IN_HEADERS for line in _lines_of(field, body.get(field)) or ()]
    return "".join([f"{line}\r\n" for line in told])


def _lines_of(field: str, value: Any) -> list[str] | None:
    """None: no header can say all that `value` does."""
    names = IN_HEADERS[field]
    if value is None:
        return []
    if not isinstance(value, dict):
        return None
    told = {METADATA: write_json(value).decode()}
    if names:
        if not value.keys() <= names.keys() or not all(isinstance(one, str) for one in value.values()):
            return None
        told = {names[name]: said.upper() if name == "trace" else said for name, said in value.items()}
    if any(len(one) > VALUE_CHARS_MAX or not one.isascii() or not one.isprintable() for one in told.values()):
        return None
    return [f"{name}: {said}" for name, said in told.items()]


def tier_asked(prompt: Prompt | None) -> str:
    """The service tier, or else the latency, that is asked for and not the standard one."""
    return next((tier for tier in map(tier_of, _asked_for(prompt).values()) if tier), "")


def tier_ran(headers: Mapping[bytes, bytes], prompt: Prompt | None) -> str | None:
    """As `TranslatingProvider.ran`. Of two things that are charged for, what a head does not say is what was
    asked for."""
    said = {name: word_in(headers, name.encode()) for name in _CHARGED}
    if not any(said.values()):
        return None
    words = [said[name] or asked for name, asked in _asked_for(prompt).items()]
    return next((word for word in words if tier_of(word)), None) or next(word for word in words if word)


def _asked_for(prompt: Prompt | None) -> dict[str, str]:
    """What is asked for that is charged for, by the header that says it; empty where it is not."""
    sent = None if prompt is None else prompt.sent
    of_messages = sent is not None and sent.dialect == "messages"
    body: Json = {} if prompt is None else sent.body if sent is not None and of_messages else prompt.body
    found: dict[str, str] = {}
    for name, (field, inner) in _CHARGED.items():
        held = body.get(field)
        word = held.get(inner) if isinstance(held, dict) else None
        found[name] = word.lower() if isinstance(word, str) else ""
    return found


def _moved(body: Json, betas: list[str]) -> dict[str, object]:
    gone = ("model", "stream", *UNREAD, *IN_HEADERS)
    changed: dict[str, object] = {name: REMOVED for name in gone if name in body}
    changed["anthropic_version"] = VERSION
    told = body.get("anthropic_beta")
    own = told if isinstance(told, list) else []
    if betas and (missing := [beta for beta in betas if beta not in own]):
        changed["anthropic_beta"] = [*own, *missing]
    return changed


def translate(prompt: Prompt, target: Target) -> Written:
    """A request that is not passed on as it was sent."""
    own = prompt.sent is not None and prompt.sent.dialect == "messages"
    said = conversation_of(prompt)
    moved = {name: value for name, value in said.extras.items() if name in IN_HEADERS}
    if moved:
        kept = {name: value for name, value in said.extras.items() if name not in IN_HEADERS}
        said = replace(said, extras=kept)
    told = request_writer.translate(
        said,
        model=target.model,
        output_tokens_max=target.output_tokens_max,
        stream=False,
        listed=target.features,
    )
    if own:
        edits.fit(told.body, prompt)
    given = elsewhere.fit(told.body, target.model, BEDROCK)
    body = {"anthropic_version": VERSION, **told.body}
    for name in ("model", *UNREAD):
        body.pop(name, None)
    gone = (*(name for name in UNREAD if name in told.body), *given)
    named = "image.source.url" if own else "image_url", "image.source.file_id" if own else "file_id"
    found = lacks(body | moved, link=said.name_of(named[0]), file=said.name_of(named[1]))
    return Written(
        body, (*told.unsaid, *found.names), (*told.yielded, *gone), {**found.reasons, **told.reasons}
    )


def encoded(body: Json, betas: list[str]) -> bytes:
    return write_json({**body, "anthropic_beta": betas} if betas else body)
