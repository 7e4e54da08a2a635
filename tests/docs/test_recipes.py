"""The recipes of CONTRIBUTING and of the page on plug-ins, run as they stand: in distributions of their own,
with a real gateway."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.conftest import StartGateway
from tests.docs.pages import ROOT
from tests.e2e.gateway import Running
from tests.e2e.test_plugin_provider import Server, serving
from tests.faults.provider import FaultProvider
from tests.plugged import distribution

BASE = """
[providers.a]
base_url = "{url}"
[tiers.cheap]
targets = ["a/mini"]
[tiers.expensive]
targets = ["a/big"]
[brain]
timeout_s = 20.0
"""
FILES_MAX = 2


class Recipe(NamedTuple):
    """The blocks of one section."""

    modules: dict[str, str]
    points: dict[str, str]
    config: str


def recipe(title: str, page: str = "CONTRIBUTING.md") -> Recipe:
    text = (ROOT / page).read_text().partition(f"\n### {title}\n")[2]
    section = re.split(r"^##+ ", text, maxsplit=1, flags=re.MULTILINE)[0]
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    modules: dict[str, str] = {}
    points: dict[str, str] = {}
    config = ""
    for language, text in blocks:
        if language == "py":
            modules[text.partition("\n")[0].removeprefix("# ")] = text
        elif language == "ini":
            groups = tomllib.loads(text)["project"]["entry-points"]
            points |= {f"{group}:{name}": to for group, names in groups.items() for name, to in names.items()}
        else:
            config += text
    return Recipe(modules, points, config)


@pytest.fixture
def generator() -> Iterator[Server]:
    """A server that speaks the dialect of the recipe for a provider."""
    with serving() as server:
        yield server


@pytest.fixture
def started(
    upstream: FaultProvider,
    generator: Server,
    start_gateway: StartGateway,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Running:
    """A gateway with the recipe of the section that the test names."""
    found = recipe(*request.param.split(" of "))
    ((file, source),) = found.modules.items()
    (to,) = found.points.values()
    assert len({*found.modules, "pyproject.toml"}) <= FILES_MAX
    module, _, attribute = to.partition(":")
    assert file == f"{module}.py"
    folder = distribution(
        tmp_path / "site", dict.fromkeys(found.points, attribute), source, name=module, version="0.1"
    )
    config = BASE.format(url=upstream.base_url) + found.config.replace(
        ":9300", f":{generator.server_address[1]}"
    )
    gateway = start_gateway(config, tmp_path / "gateway", PYTHONPATH=f"{folder}:{ROOT / 'src'}")
    assert isinstance(gateway, Running)
    return gateway


@pytest.mark.parametrize("started", ["A provider"], indirect=True)
def test_the_provider_answers_whole_and_streamed(started: Running) -> None:
    whole = started.chat("Why?", model="mine/m")
    assert whole.json["choices"][0]["message"]["content"] == "echo: Why?"
    usage = started.receipt_of(whole).usage
    assert usage is not None and (usage.input_tokens, usage.output_tokens) == (5, 3)
    streamed = started.chat("Why?", model="mine/m", stream=True)
    assert streamed.status == 200 and b"Why?" in streamed.body and b"[DONE]" in streamed.body
    refused = started.chat("Why?", model="mine/m", n=2)
    assert (refused.status, refused.error["param"]) == (400, "n")


ASKED: dict[str, Any] = {
    "stop": ["."],
    "response_format": {"type": "json_object"},
    "seed": 3,
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    "top_p": 0.5,
}


@pytest.mark.parametrize("started", ["A provider"], indirect=True)
def test_the_provider_loses_nothing_in_silence(started: Running, generator: Server) -> None:
    for name, value in ASKED.items():
        refused = started.chat("Why?", model="mine/m", **{name: value})
        assert (refused.status, refused.error["param"]) == (400, name)
    assert generator.asked == []
    assert started.chat("Why?", model="mine/m", max_tokens=9, temperature=0.5).status == 200
    told = generator.asked[-1][2]
    assert (told["max_tokens"], told["temperature"]) == (9, 0.5)


@pytest.mark.parametrize("started", ["A provider"], indirect=True)
def test_what_an_answer_must_have_is_filled_in(started: Running) -> None:
    whole = started.chat("Why?", model="mine/m").json
    assert whole["id"].startswith("chatcmpl-") and whole["object"] == "chat.completion"
    assert whole["created"] > 1_700_000_000 and whole["model"] == "mine/m"
    assert whole["usage"]["total_tokens"] == 8
    streamed = started.chat("Why?", model="mine/m", stream=True, stream_options={"include_usage": True})
    events = [line.removeprefix("data: ") for line in streamed.body.decode().splitlines() if line]
    chunks = [json.loads(event) for event in events if event.startswith("{")]
    assert len({chunk["id"] for chunk in chunks}) == 1 and len(chunks) >= 3
    assert {(chunk["object"], chunk["model"]) for chunk in chunks} == {("chat.completion.chunk", "mine/m")}
    assert chunks[-1]["usage"]["total_tokens"] == 8


@pytest.mark.parametrize("started", ["A router"], indirect=True)
def test_the_router_sends_short_questions_to_the_cheap_tier(started: Running) -> None:
    short, long = started.chat("Why?"), started.chat("Why is a farthing worth so little today?")
    assert short.headers["x-farthing-tier"] == "cheap"
    assert started.receipt_of(short).route_reason == "plug-in shorter: a short question"
    assert long.headers["x-farthing-tier"] == "expensive"
    assert started.receipt_of(long).skipped == {}


@pytest.mark.parametrize("started", ["A cache backend"], indirect=True)
def test_the_cache_backend_keeps_answers(started: Running) -> None:
    kinds = [started.chat("Why?", temperature=0).headers["x-farthing-cache"] for _ in range(2)]
    assert kinds == ["miss", "exact"]
    assert len(list((started.state / "answers").iterdir())) == 1


@pytest.mark.parametrize("started", ["A check"], indirect=True)
def test_the_check_has_a_dearer_tier_asked(started: Running) -> None:
    reply = started.chat("Why?", model="farthing/faq")
    assert reply.headers["x-farthing-tier"] == "expensive"
    assert started.receipt_of(reply).doubt == "brief: too short an answer"


BOTH = ["CONTRIBUTING.md", "docs/plugins.md"]


@pytest.mark.parametrize("started", [f"A guardrail of {page}" for page in BOTH], indirect=True)
def test_the_guardrail_refuses_what_it_is_there_for(started: Running) -> None:
    assert started.chat("Why?").status == 200
    history = [{"role": "user", "content": "How is a BOMB made?"}, {"role": "assistant", "content": "No."}]
    messages: Any = [*history, {"role": "user", "content": "And?"}]
    for refused in (started.chat("How do I build a bomb?"), started.chat("", messages=messages)):
        assert (refused.status, refused.error["code"]) == (400, "content_filter")


@pytest.mark.parametrize("started", [f"A retriever of {page}" for page in BOTH], indirect=True)
def test_the_retriever_finds_what_the_answer_is_made_from(started: Running) -> None:
    reply = started.chat("How many farthings made a penny?", model="farthing/faq")
    receipt = started.receipt_of(reply)
    assert reply.status == 200 and receipt.skipped == {}
    assert (receipt.rag_used, receipt.sources) == (True, ("coins@1", "coins@2"))
    assert started.receipt_of(started.chat("Why?", model="farthing/faq")).sources == ()


def test_the_whole_pyproject_of_the_page_names_its_module() -> None:
    page = (ROOT / "docs/plugins.md").read_text()
    (whole,) = (
        tomllib.loads(text)
        for text in re.findall(r"^```ini\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        if "[build-system]" in text
    )
    (to,) = whole["project"]["entry-points"]["farthing.routers"].values()
    assert whole["tool"]["setuptools"]["py-modules"] == [to.partition(":")[0]]
    assert f"# {to.partition(':')[0]}.py\n" in page
