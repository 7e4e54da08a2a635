"""One scripted provider that speaks Gemini, Vertex and Bedrock as strictly as they do, and a gateway before
it: for clients that know nothing of these."""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from tests.e2e.gateway import Running, running, until
from tests.faults.provider import FaultProvider
from tests.faults.truth import Call

from farthing.types import Receipt

Json = dict[str, Any]
KEY: Final = "fk-of-the-client"
KINDS: Final = {
    "gemini": "gemini/gemini-3.1-pro-preview",
    "gemini 2.5": "gemini/gemini-2.5-flash",
    "gemini on vertex": "vertex/gemini-3.1-pro-preview",
    "claude on vertex": "claude-on-vertex/claude-sonnet-4-5@20250929",
    "claude on bedrock": "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "nova": "bedrock/amazon.nova-pro-v1:0",
    "gpt-oss on bedrock": "bedrock/openai.gpt-oss-120b-1:0",
    "a profile on bedrock": "bedrock/arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a",
}
"""Models, by what they are called in `docs/clients.md`."""
CLAUDES: Final = frozenset({"claude on vertex", "claude on bedrock"})
ENVIRONMENT: Final = {
    "CLIENT_KEY": KEY,
    "GEMINI_KEY": "key-of-the-tests",
    "VERTEX_TOKEN": "ya29.token-of-the-tests",
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "AWS_SESSION_TOKEN": "a-token-of-a-session",
}
_VERTEX: Final = """
[providers.{name}]
kind = "vertex"
project = "our-project"
location = "europe-west4"
publisher = "{publisher}"
base_url = "{url}"
auth = "bearer"
api_key = "${{VERTEX_TOKEN}}"
pass_through = true
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A provider and a gateway before it."""

    provider: FaultProvider
    gateway: Running

    @property
    def base_url(self) -> str:
        """With its version, as OpenAI's clients want it."""
        return self.gateway.base_url

    @property
    def root(self) -> str:
        """Without, as Anthropic's do."""
        return self.gateway.base_url.removesuffix("/v1")

    def since(self, before: int) -> list[Call]:
        """The provider's calls after the first so many, all of which it has taken.

        Raises:
            AssertionError: it refused one.
        """
        calls = list(self.provider.calls[before:])
        for call in calls:
            assert call.status == 200, (call.path, call.status, call.body[:2_000])
        return calls

    def receipts_since(self, before: int, count: int) -> list[Receipt]:
        until(lambda: len(self.gateway.receipts()) >= before + count)
        return list(self.gateway.receipts())[before:]


@contextmanager
def place(folder: Path, more: str = "") -> Iterator[Place]:
    """`more`: what else the gateway's configuration says."""
    with FaultProvider() as found:
        root = found.base_url.removesuffix("/v1")
        vertex = "".join(
            _VERTEX.format(name=name, publisher=publisher, url=found.base_url)
            for name, publisher in (("vertex", "google"), ("claude-on-vertex", "anthropic"))
        )
        config = f"""
[[keys]]
tenant = "clients"
key = "${{CLIENT_KEY}}"
[providers.gemini]
kind = "gemini"
base_url = "{root}/v1beta"
api_key = "${{GEMINI_KEY}}"
pass_through = true
{vertex}
[providers.bedrock]
kind = "bedrock"
region = "us-east-1"
base_url = "{root}"
pass_through = true
[cache]
exact = "off"
{more}
"""
        with running(config, folder, ENVIRONMENT) as gateway:
            yield Place(found, gateway)


# -- a model that works in steps ---------------------------------------------------------------------


def steps_done(call: Call) -> int:
    """How many answers of the history have called tools."""
    body = call.json
    if "contents" in body:
        turns = [one["parts"] for one in body["contents"] if one["role"] == "model"]
        return sum(any("functionCall" in part for part in parts) for parts in turns)
    turns = [one["content"] for one in body["messages"] if one["role"] == "assistant"]
    return sum(
        any("toolUse" in block or block.get("type") == "tool_use" for block in content)
        for content in turns
        if isinstance(content, list)
    )


def working(*steps: str) -> Callable[[Call], str]:
    """A model that does these steps, one with each of its answers, and stays at the last."""
    return lambda call: steps[min(steps_done(call), len(steps) - 1)]


def done(say: str = "All done") -> str:
    return f"calls=0,say={quote(say)}"
