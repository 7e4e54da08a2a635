"""Claude Code and Codex at models of Gemini, Vertex and Bedrock, through the gateway: they edit files, show
pictures, think, look up tools, meet failures and are interrupted. The provider is scripted, and refuses what
the real ones refuse."""

import json
import struct
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import pytest
from tests.clients.claude import Claude, claude
from tests.clients.cloud_lab import CLAUDES, KEY, KINDS, Json, Place, done, place, working
from tests.clients.codex import Codex, codex, said
from tests.clients.messages_lab import called
from tests.e2e.gateway import until
from tests.faults.exact import whole
from tests.faults.truth import Call

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(300)]

BEFORE, AFTER = "hello world\n", "hello moon\n"
FILE, PICTURE, PAPER = "greeting.txt", "picture.png", "paper.pdf"
EDIT: Final = "Replace world by moon in greeting.txt"
CODEX_KNOWS: Final = "gpt-5.5"
"""A model whose settings and tools Codex knows; here it is another one's alias."""
OLDER: Final = (
    KINDS["claude on bedrock"],
    KINDS["claude on vertex"],
    "bedrock/us.anthropic.claude-3-5-haiku-20241022-v1:0",
    "bedrock/us.anthropic.claude-opus-4-6-v1",
)


def alias_of(kind: str) -> str:
    return f"{CODEX_KNOWS}-{kind.replace(' ', '-')}"


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    aliases = "".join(f'"{alias_of(kind)}" = "{model}"\n' for kind, model in KINDS.items())
    older = "".join(f'[tiers."older-{at}"]\ntargets = ["{model}"]\n' for at, model in enumerate(OLDER))
    with place(tmp_path_factory.mktemp("agents"), f"[aliases]\n{aliases}{older}") as found:
        yield found


@pytest.fixture(autouse=True)
def quiet(there: Place) -> Iterator[None]:
    yield
    there.provider.on_call = None


def work_in(folder: Path) -> Path:
    """A folder to work in, with a text, a picture and a paper."""
    work = folder / "work"
    work.mkdir(parents=True)
    (work / FILE).write_text(BEFORE)
    (work / PICTURE).write_bytes(_png())
    (work / PAPER).write_bytes(b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n")
    return work


def _png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(b"".join(b"\0" + b"\x10\x80\xf0" * 8 for _ in range(8)))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def asked_of_claude_code(there: Place, model: str, folder: Path, *more: str) -> Json:
    with claude(EDIT, there.root, model, folder, *more, env={"ANTHROPIC_AUTH_TOKEN": KEY}) as running:
        return running.result()


def texts_in(call: Call) -> str:
    return call.body.decode()


# -- Claude Code -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_claude_code_edits_a_file(there: Place, kind: str, tmp_path: Path) -> None:
    before, receipts = len(there.provider.calls), len(there.gateway.receipts())
    path = work_in(tmp_path) / FILE
    there.provider.on_call = working(
        called("Read", {"file_path": str(path)}) + ",reasoning=let me see",
        called("Edit", {"file_path": str(path), "old_string": "world", "new_string": "moon"})
        + ",say=Now the edit",
        done() + ",reasoning=so there",
    )
    told = asked_of_claude_code(there, KINDS[kind], tmp_path)
    assert (told["result"], told["is_error"], told["num_turns"]) == ("All done", False, 3), told
    assert path.read_text() == AFTER
    assert len(there.since(before)) == 3
    for receipt in there.receipts_since(receipts, 3):
        assert (receipt.status, receipt.error, receipt.stream) == (200, None, True)
        assert receipt.session == told["session_id"]


@pytest.mark.parametrize("kind", KINDS)
def test_claude_code_does_several_things_at_once_and_shows_them(
    there: Place, kind: str, tmp_path: Path
) -> None:
    """A call that fails, two pictures by parallel calls, a paper, and tools that it looks up."""
    before = len(there.provider.calls)
    work = work_in(tmp_path)
    there.provider.on_call = working(
        called("Bash", {"command": "false", "description": "fails"}),
        called("Read", {"file_path": str(work / PICTURE)}) + ",calls=2,reasoning=both",
        called("Read", {"file_path": str(work / PAPER)}),
        called("ToolSearch", {"query": "select:WebFetch", "max_results": 5}),
        done(),
    )
    told = asked_of_claude_code(there, KINDS[kind], tmp_path)
    assert (told["result"], told["is_error"]) == ("All done", False), told
    calls = there.since(before)
    assert len(calls) == 5
    last = texts_in(calls[-1])
    assert last.count("iVBORw0KGgo") == 2, "both pictures"
    assert "JVBERi0xLjQ" in last and "Exit code 1" in last and "WebFetch" in last
    if kind in CLAUDES:
        told_betas = calls[-1].headers.get("anthropic-beta", "") + str(calls[-1].json.get("anthropic_beta"))
        assert "tool-search-tool-2025-10-19" in told_betas


@pytest.mark.parametrize("kind", KINDS)
def test_claude_code_answers_by_a_schema(there: Place, kind: str, tmp_path: Path) -> None:
    before = len(there.provider.calls)
    given = {"name": "Oslo"}
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    there.provider.on_call = working(called("StructuredOutput", given), done("done"))
    told = asked_of_claude_code(there, KINDS[kind], tmp_path, "--json-schema", json.dumps(schema))
    assert told.get("structured_output") == given, told
    there.since(before)


@pytest.mark.parametrize("name", ["claude-opus-5-5", "claude-sonnet-5"])
@pytest.mark.parametrize("where", ["bedrock/us.anthropic.", "claude-on-vertex/"])
def test_claude_code_asks_of_new_models_what_they_have_there(
    there: Place, where: str, name: str, tmp_path: Path
) -> None:
    """Of these it wants more by betas, which are known at Anthropic alone."""
    before = len(there.provider.calls)
    path = work_in(tmp_path) / FILE
    there.provider.on_call = working(called("Read", {"file_path": str(path)}), done())
    told = asked_of_claude_code(there, where + name, tmp_path)
    assert told["result"] == "All done", told
    assert len(there.since(before)) == 2


@pytest.mark.parametrize("at", range(len(OLDER)))
def test_claude_code_is_answered_by_an_older_model_that_the_gateway_chose(
    there: Place, at: int, tmp_path: Path
) -> None:
    """It does not know the name, and asks as of the newest."""
    before = len(there.provider.calls)
    path = work_in(tmp_path) / FILE
    there.provider.on_call = working(
        called("Read", {"file_path": str(path)}) + ",reasoning=let me see",
        called("Edit", {"file_path": str(path), "old_string": "world", "new_string": "moon"}),
        done(),
    )
    told = asked_of_claude_code(there, f"older-{at}", tmp_path)
    assert (told["result"], path.read_text()) == ("All done", AFTER), told
    assert len(there.since(before)) == 3


TOO_LONG: Final[dict[str, Json]] = {
    "gemini": {
        "error": {
            "code": 400,
            "message": "The input token count (1200000) exceeds the maximum number of tokens allowed (9).",
            "status": "INVALID_ARGUMENT",
        }
    },
    "bedrock": {"message": "Input is too long for requested model."},
}


@pytest.mark.parametrize("provider", TOO_LONG)
def test_agents_know_that_a_prompt_is_too_long(there: Place, provider: str, tmp_path: Path) -> None:
    headers = {"x-amzn-errortype": "ValidationException"} if provider == "bedrock" else {}
    there.provider.exactly("long", whole(TOO_LONG[provider], 400, headers=headers))
    told = asked_of_claude_code(there, f"{provider}/long", tmp_path / "claude")
    assert (told["is_error"], told["terminal_reason"]) == (True, "prompt_too_long"), told
    with codex("hi", there.base_url, f"{provider}/long", tmp_path / "codex", env={"CLIENT_KEY": KEY}) as run:
        last = run.result()[-1]
    assert last["type"] == "turn.failed" and "context window" in last["error"]["message"], last


# -- Codex -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [False, True], ids=["unknown", "as a model it knows"])
@pytest.mark.parametrize("kind", KINDS)
def test_codex_edits_a_file(there: Place, kind: str, known: bool, tmp_path: Path) -> None:
    """Of a model that it knows it wants an effort, tools of free text and a search among tools."""
    before, receipts = len(there.provider.calls), len(there.gateway.receipts())
    path = work_in(tmp_path) / FILE
    there.provider.on_call = working(
        called("exec_command", {"cmd": f"cat {FILE}"}) + ",reasoning=let me see",
        called("exec_command", {"cmd": f"sed -i s/world/moon/ {FILE}"}) + ",say=Now the edit",
        done() + ",reasoning=so there",
    )
    model = alias_of(kind) if known else KINDS[kind]
    with codex(EDIT, there.base_url, model, tmp_path, env={"CLIENT_KEY": KEY}) as running:
        events = running.result()
    assert said(events) == "All done", events
    assert path.read_text() == AFTER
    calls = there.since(before)
    assert len(calls) == 3
    told = events[-1]["usage"]
    assert told["output_tokens"] == sum(call.completion_tokens for call in calls)
    for receipt in there.receipts_since(receipts, 3):
        assert receipt.status == 200
        assert known == ("tools.tool_search" in receipt.attempts[0].left_out)


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"nova", "gemini 2.5"}))
def test_codex_answers_by_a_schema(there: Place, kind: str, tmp_path: Path) -> None:
    """Nova has no forms, and Gemini 2.5 none beside tools: such a request is refused by name."""
    before = len(there.provider.calls)
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}},
        "required": ["name"],
        "additionalProperties": False,
    }
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(schema))
    more = ("--output-schema", str(file))
    with codex("a town", there.base_url, KINDS[kind], tmp_path, *more, env={"CLIENT_KEY": KEY}) as running:
        events = running.result()
    assert json.loads(said(events)) == {"name": "text"}, events
    there.since(before)


# -- both --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("agent", ["claude code", "codex"])
@pytest.mark.parametrize("kind", ["gemini", "claude on vertex", "claude on bedrock", "nova"])
def test_interrupting_an_agent_ends_the_providers_work(
    there: Place, kind: str, agent: str, tmp_path: Path
) -> None:
    before, receipts = len(there.provider.calls), len(there.gateway.receipts())
    there.provider.on_call = lambda call: "gap=0.05,n=2000"
    started: AbstractContextManager[Claude | Codex]
    if agent == "codex":
        started = codex("hi", there.base_url, KINDS[kind], tmp_path, env={"CLIENT_KEY": KEY})
    else:
        started = claude("hi", there.root, KINDS[kind], tmp_path, env={"ANTHROPIC_AUTH_TOKEN": KEY})
    with started as running:
        (call,) = until(lambda: there.provider.calls[before:], timeout_s=60)
        until(lambda: call.tokens_sent > 2, timeout_s=60)
        running.interrupt()
        until(lambda: call.aborted)
    receipt = there.gateway.next_receipt(receipts)
    assert (receipt.stop_reason, receipt.status, receipt.error) == ("client_gone", 499, "client_gone")
    assert receipt.usage is not None and receipt.usage.estimated
