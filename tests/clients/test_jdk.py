"""The JDK's HttpClient asks for HTTP/2 by `Upgrade: h2c`, its default, and is answered over HTTP/1.1."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import Running
from tests.faults.provider import FaultProvider

pytestmark = pytest.mark.timeout(120)

ASK = Path(__file__).parent / "java" / "Ask.java"


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    return start_gateway(f"""
[providers.a]
base_url = "{upstream.base_url}"
[cache]
exact = "off"
""")


@pytest.fixture(scope="module")
def said(gateway: Running, upstream: FaultProvider, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What the client printed for each request: whole and streamed, directly; then the same, through."""
    java = shutil.which("java")
    assert java is not None, "`make test` installs it: tools/install_clients.sh"
    folder = tmp_path_factory.mktemp("jdk")
    arguments: list[str] = []
    for url, model in ((upstream.base_url, "good"), (gateway.base_url, "a/good")):
        for how in ("whole", "lines", "whole"):
            body = {"model": model, "messages": [{"role": "user", "content": "é one two"}]}
            path = folder / f"{len(arguments)}.json"
            path.write_text(json.dumps(body | {"stream": how == "lines"}))
            arguments += [how, f"{url}/chat/completions", str(path)]
    ran = subprocess.run([java, str(ASK), *arguments], capture_output=True, timeout=90, check=False)
    assert ran.returncode == 0, ran.stderr.decode()
    return ran.stdout.decode().split("== ")[1:]


def test_the_client_does_ask_for_http_2(said: list[str], upstream: FaultProvider) -> None:
    assert upstream.calls[0].headers["upgrade"] == "h2c"


@pytest.mark.parametrize("number", [3, 5])
def test_a_whole_answer(said: list[str], number: int) -> None:
    head, _, body = said[number].partition("\n")
    assert head == "HTTP_1_1 200", said[number]
    assert json.loads(body)["choices"][0]["message"]["content"] == "echo: é one two"


def test_a_stream_line_by_line(said: list[str]) -> None:
    head, *lines = said[4].strip().split("\n")
    assert head == "HTTP_1_1 200", said[4]
    events = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    deltas = [json.loads(event)["choices"][0]["delta"] for event in events[:-1]]
    assert "".join(delta.get("content") or "" for delta in deltas) == "echo: é one two"


def test_it_is_what_the_provider_itself_answers(said: list[str]) -> None:
    for direct, through in zip(said[:3], said[3:], strict=True):
        assert [line[:6] for line in direct.split("\n")] == [line[:6] for line in through.split("\n")]
