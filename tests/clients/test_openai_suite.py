"""The tests of OpenAI's own package for Python pass through the gateway as they pass directly.

Behind both ways is a server that answers by the published specification, and refuses what that does not
allow. A fixed sample in every run, all of them in `make conformance`; `docs/clients.md` has the counts.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from tests.clients.openai_suite import suite
from tests.clients.openai_suite.mock import Mock, mock
from tests.clients.openai_suite.refused import REFUSED, outlived, refusal_of
from tests.clients.openai_suite.suite import Ran
from tests.e2e.gateway import running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2 * suite.RUN_S + 60)]

FILES: Final = (
    "chat/test_completions.py",
    "chat/completions/test_messages.py",
    "test_embeddings.py",
    "test_models.py",
    "test_completions.py",
    "test_responses.py",
    "responses/test_input_items.py",
    "responses/test_input_tokens.py",
    "test_moderations.py",
    "test_images.py",
    "audio/test_transcriptions.py",
    "audio/test_translations.py",
)
SAMPLE: Final = "strict and not Async"
"""One of the five ways in which each test is run."""
UNCHANGED: Final = (
    "/v1/chat/completions",
    "/v1/embeddings",
    "/v1/moderations",
    "/v1/images/generations",
)
"""Where the provider gets what the client sent, but for the usage of streams, which the gateway asks for."""
PAGE: Final = Path(__file__).parents[2] / "docs" / "clients.md"
CONFIG: Final = """
[providers.openai]
base_url = "{base_url}"
api_key = "${{MOCK_KEY}}"
responses = true
[tiers.cheap]
targets = ["openai/gpt-6-astra"]
[tiers.expensive]
targets = ["openai/gpt-6-astra"]
"""


@dataclass(frozen=True, slots=True)
class Both:
    """The same tests by both ways, and what the server was sent by each."""

    direct: dict[str, Ran]
    through: dict[str, Ran]
    sent_directly: Mock
    sent_through: Mock


@pytest.fixture(
    scope="module", params=[SAMPLE, pytest.param("", marks=pytest.mark.conformance)], ids=["sample", "all"]
)
def chosen(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def both(chosen: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    with mock() as first:
        direct = suite.run(first.base_url, FILES, chosen)
    with mock() as second:
        config = CONFIG.format(base_url=second.base_url)
        folder = tmp_path_factory.mktemp("openai-suite")
        with running(config, folder, {"MOCK_KEY": "any"}) as gateway:
            through = suite.run(gateway.base_url, FILES, chosen)
        yield Both(direct, through, first, second)


def test_what_passes_directly_passes_through_or_is_refused_for_a_reason_that_is_listed(both: Both) -> None:
    """One test, since all of it takes the same half minute, which workers beside each other would repeat."""
    passing = [ran.name for ran in both.direct.values() if ran.passed]
    assert len(passing) == len(both.direct) == len(both.through), both.sent_directly.refused
    worse = [ran for name in passing if not (ran := both.through[name]).passed and refusal_of(ran) is None]
    assert not worse, "\n".join(f"{ran.name}: {ran.why}" for ran in worse)
    assert outlived(both.through.values()) == []
    assert [each for each in REFUSED if not any(map(each.means, both.through.values()))] == []
    assert both.sent_through.refused == []
    for path in UNCHANGED:
        directly = bodies(both.sent_directly, path)
        assert directly
        assert directly <= bodies(both.sent_through, path)


def bodies(there: Mock, path: str) -> set[str]:
    """The different bodies that were sent to a path; each is sent many times."""
    found = set()
    for body in there.bodies[f"POST {path}"]:
        body = {name: value for name, value in body.items() if name != "stream_options"}
        found.add(json.dumps(body, sort_keys=True))
    return found


@pytest.mark.conformance
@pytest.mark.parametrize("chosen", [""], ids=["all"], indirect=True)
def test_the_page_has_the_counts(both: Both) -> None:
    text = PAGE.read_text()
    rows = [row(file, both) for file in FILES]
    assert not [each for each in rows if each not in text], "\n".join(rows)


def test_the_page_says_why_each_call_is_refused() -> None:
    text = PAGE.read_text()
    rows = [f"| `{each.file}` | {told(each.calls)} | {each.why} |" for each in REFUSED]
    assert not [each for each in rows if each not in text], "\n".join(rows)


def told(calls: Iterable[str]) -> str:
    return ", ".join(f"`{call}`" for call in calls)


def row(file: str, both: Both) -> str:
    direct, through = (
        sum(ran.passed for ran in way.values() if ran.name.startswith(f"{file}::"))
        for way in (both.direct, both.through)
    )
    return f"| `{file}` | {direct} | {through} |"
