"""The page about clients names the versions that are installed, and shows the figures that were measured."""

import json
import re
from pathlib import Path

import pytest
from benchmarks.never_worse import table
from tests.docs.pages import DOCS, ROOT, rows

RESULTS = ROOT / "benchmarks" / "results" / "never_worse.json"
PAGE = DOCS / "clients.md"


CLIENTS = ROOT / "tests" / "clients"
LOCKS = [CLIENTS / name / "package-lock.json" for name in ("node", "claude_code", "codex_cli", "agents_cli")]


def pinned(package: str, by: Path = ROOT / "constraints-dev.txt") -> str:
    found = re.search(rf"^{package}==([\w.]+)", by.read_text(), re.MULTILINE)
    assert found is not None, package
    return found[1]


def test_the_versions_are_those_that_are_pinned() -> None:
    ours, claude_code, codex, agents = (json.loads(lock.read_text())["packages"] for lock in LOCKS)
    apart, aider = (CLIENTS / "apart" / f"{name}.txt" for name in ("clients", "aider"))
    told = {client: cells[0] for client, cells in rows(PAGE, "## Which are tried").items()}
    assert told["OpenAI's for Python, sync and async"] == pinned("openai")
    assert told["Anthropic's for Python, sync and async"] == pinned("anthropic")
    assert told["LangChain (`langchain-openai`)"] == pinned("langchain-openai")
    assert told["LangChain (`langchain-anthropic`)"] == pinned("langchain-anthropic")
    assert told["Pydantic AI"] == pinned("pydantic-ai-slim")
    assert told["instructor"] == pinned("instructor", apart)
    assert told["Agents SDK"] == pinned("openai-agents", apart)
    assert told["LlamaIndex (`openai-like`)"] == pinned("llama-index-llms-openai-like", apart)
    assert told["`llm`"] == pinned("llm", apart)
    assert told["aider"] == pinned("aider-chat", aider)
    assert told["OpenAI's for Node"] == ours["node_modules/openai"]["version"]
    assert told["Anthropic's for Node"] == ours["node_modules/@anthropic-ai/sdk"]["version"]
    assert told["Vercel's AI SDK"] == ours["node_modules/ai"]["version"]
    assert told["Claude Code"] == claude_code["node_modules/@anthropic-ai/claude-code"]["version"]
    assert told["Codex"] == codex["node_modules/@openai/codex"]["version"]
    assert told["Cline"] == agents["node_modules/cline"]["version"]
    assert told["Continue"] == agents["node_modules/@continuedev/cli"]["version"]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.parent.name)
def test_a_lock_of_node_names_no_registry(lock: Path) -> None:
    text = lock.read_text()
    assert "resolved" not in text
    assert text.count('"integrity": "sha512-') == text.count('"node_modules/')


def test_the_table_is_the_one_that_was_measured() -> None:
    measured = json.loads(RESULTS.read_text())
    assert table(measured["rows"]) in PAGE.read_text()
    assert f"Answers out of {measured['rounds']} to" in PAGE.read_text()
