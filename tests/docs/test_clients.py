"""The page about clients names the versions that are installed, and shows the figures that were measured."""

import json
import re

from benchmarks.never_worse import table
from tests.docs.pages import DOCS, ROOT, rows

RESULTS = ROOT / "benchmarks" / "results" / "never_worse.json"
PAGE = DOCS / "clients.md"


def pinned(package: str) -> str:
    found = re.search(rf"^{package}==([\w.]+)", (ROOT / "constraints-dev.txt").read_text(), re.MULTILINE)
    assert found is not None, package
    return found[1]


def test_the_versions_are_those_that_are_pinned() -> None:
    lock = json.loads((ROOT / "tests" / "clients" / "node" / "package-lock.json").read_text())
    told = {client: cells[0] for client, cells in rows(PAGE, "## Which are tried").items()}
    assert told["OpenAI's for Python, sync and async"] == pinned("openai")
    assert told["LangChain (`langchain-openai`)"] == pinned("langchain-openai")
    assert told["OpenAI's for Node"] == lock["packages"]["node_modules/openai"]["version"]
    assert told["Vercel's AI SDK"] == lock["packages"]["node_modules/ai"]["version"]


def test_the_lock_of_node_names_no_registry() -> None:
    lock = (ROOT / "tests" / "clients" / "node" / "package-lock.json").read_text()
    assert "resolved" not in lock
    assert lock.count('"integrity": "sha512-') == lock.count('"node_modules/')


def test_the_table_is_the_one_that_was_measured() -> None:
    measured = json.loads(RESULTS.read_text())
    assert table(measured["rows"]) in PAGE.read_text()
    assert f"Answers out of {measured['rounds']} to" in PAGE.read_text()
