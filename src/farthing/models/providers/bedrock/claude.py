"""Claude at Bedrock: Messages in the body of `InvokeModel`.

The path names the model and whether it is streamed, and the body the version and the betas that are headers
elsewhere. What Anthropic runs itself is not there: its tools, its files, links that it fetches, its batches.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from msgspec import Struct

from farthing.dialects.messages.requests import request_writer
from farthing.dialects.splice import REMOVED
from farthing.dialects.written import Written
from farthing.models.providers.anthropic import edits
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
BETA_HEADER = "anthropic-beta"
NOT_THERE = ("container", "fallbacks", "inference_geo", "mcp_servers", "speed")
"""Fields of Messages that change what a client gets, and that Bedrock does not have."""
UNREAD = ("diagnostics", "service_tier", "user_profile_id")
"""Those that it does not have and that a client can do without."""
RUN_BY_ANTHROPIC = ("code_execution_", "web_fetch_", "web_search_")
NO_LINKS = "Bedrock fetches no links; send it as data"
NO_FILES = "uploaded files are not at Bedrock; send it as data"


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
    for tool in _dicts(body.get("tools")):
        kind = tool.get("type")
        if isinstance(kind, str) and kind.startswith(RUN_BY_ANTHROPIC):
            found.add(f"tools.{kind}", "Anthropic alone runs this tool; leave it out")
    for source in _sources(body.get("messages")):
        kind = source.get("type")
        if kind == "url":
            found.add(link, NO_LINKS)
        elif kind == "file":
            found.add(file, NO_FILES)
    return found


def _sources(messages: Any) -> Iterator[Json]:
    """Where the data of images and documents lies, those in results of tools too."""
    for message in _dicts(messages):
        for block in _dicts(message.get("content")):
            if block.get("type") == "tool_result":
                for inner in _dicts(block.get("content")):
                    yield from _dicts([inner.get("source")])
            elif "source" in block:
                yield from _dicts([block["source"]])


def _dicts(value: Any) -> Iterable[Json]:
    return (one for one in value if one.__class__ is dict) if value.__class__ is list else ()


def body_as_sent(prompt: Prompt, sent: Sent, model: str, betas: list[str]) -> bytes:
    """The body of a request of a client of Messages: its own bytes but for what has to change."""
    changed = {**edits.changes(prompt, sent, model), **_moved(sent.body, betas)}
    return written(sent, changed)


def counted_as_sent(sent: Sent, model: str, betas: list[str]) -> bytes:
    """As `body_as_sent`, for a call that counts its tokens: Bedrock wants what it would be asked with."""
    return written(sent, {**edits.counted(sent, model), **_moved(sent.body, betas), "max_tokens": 1})


def _moved(body: Json, betas: list[str]) -> dict[str, object]:
    changed: dict[str, object] = {name: REMOVED for name in ("model", "stream", *UNREAD) if name in body}
    changed["anthropic_version"] = VERSION
    told = body.get("anthropic_beta")
    own = told if isinstance(told, list) else []
    if betas and (missing := [beta for beta in betas if beta not in own]):
        changed["anthropic_beta"] = [*own, *missing]
    return changed


def betas_of(passed: Iterable[tuple[str, str]], known: Collection[str]) -> list[str]:
    """The betas among a client's headers that go up."""
    said = (one.strip() for name, value in passed if name == BETA_HEADER for one in value.split(","))
    return [beta for beta in dict.fromkeys(said) if beta in known]


def translate(prompt: Prompt, target: Target) -> Written:
    """A request that is not passed on as it was sent."""
    own = prompt.sent is not None and prompt.sent.dialect == "messages"
    said = conversation_of(prompt)
    if prompt.capped_by is not None:
        said = replace(said, output_tokens_max=prompt.output_tokens_max)
    told = request_writer.translate(
        said, model=target.model, output_tokens_max=target.output_tokens_max, stream=False
    )
    if own:
        edits.fit(told.body, prompt)
    body = {"anthropic_version": VERSION, **told.body}
    for name in ("model", *UNREAD):
        body.pop(name, None)
    gone = tuple(name for name in UNREAD if name in told.body)
    named = "image.source.url" if own else "image_url", "image.source.file_id" if own else "file_id"
    found = lacks(body, link=said.name_of(named[0]), file=said.name_of(named[1]))
    return Written(
        body, (*told.unsaid, *found.names), (*told.yielded, *gone), {**found.reasons, **told.reasons}
    )


def encoded(body: Json, betas: list[str]) -> bytes:
    return write_json({**body, "anthropic_beta": betas} if betas else body)
