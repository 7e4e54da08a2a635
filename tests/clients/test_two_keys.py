"""Keys of two providers in the environment and nothing else: models of both answer to their own names."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from openai import OpenAI
from tests.e2e.gateway import COMMAND, ROOT, Running, listening_port
from tests.faults.provider import FaultProvider
from tests.faults.truth import Call

OPENAI = (
    "gpt-5-nano",
    "gpt-5-mini",
    "gpt-5.2",
    "text-embedding-3-small",
    "ft:gpt-5-mini:acme",
    "shared-model",
)
ANTHROPIC = ("claude-haiku-4-5", "claude-opus-4-5", "claude-of-tomorrow", "shared-model")


def listing(*names: str) -> Iterator[FaultProvider]:
    def script(call: Call) -> str | None:
        if call.path.endswith("/models"):
            return "models=" + " ".join(names)
        return None if call.model in names else "status=404"

    with FaultProvider(on_call=script) as provider:
        yield provider


@pytest.fixture(scope="module")
def openai_provider() -> Iterator[FaultProvider]:
    yield from listing(*OPENAI)


@pytest.fixture(scope="module")
def anthropic_provider() -> Iterator[FaultProvider]:
    yield from listing(*ANTHROPIC)


@pytest.fixture(scope="module")
def client(
    openai_provider: FaultProvider,
    anthropic_provider: FaultProvider,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[OpenAI]:
    folder = tmp_path_factory.mktemp("two-keys")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT / "src"),
        "OPENAI_API_KEY": "sk-one",
        "OPENAI_BASE_URL": openai_provider.base_url,
        "ANTHROPIC_API_KEY": "sk-ant-two",
        "ANTHROPIC_BASE_URL": anthropic_provider.base_url.removesuffix("/v1"),
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*COMMAND, "--port", "0"], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=log
        )
    try:
        port = listening_port(process)
        assert port is not None, (folder / "log").read_text()
        gateway = Running(process, port, folder / "state", Path(), folder / "log")
        with OpenAI(base_url=gateway.base_url, api_key="any", max_retries=0) as found:
            yield found
    finally:
        process.terminate()
        process.wait(60.0)
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.parametrize("model", ["gpt-5-nano", "gpt-5.2", "ft:gpt-5-mini:acme"])
def test_a_model_of_openai(client: OpenAI, openai_provider: FaultProvider, model: str) -> None:
    assert said(client, model) == "echo: hello"
    call = openai_provider.calls[-1]
    assert (call.model, call.headers["authorization"]) == (model, "Bearer sk-one")


@pytest.mark.parametrize("model", ["claude-haiku-4-5", "claude-opus-4-5", "claude-of-tomorrow"])
def test_a_model_of_anthropic(client: OpenAI, anthropic_provider: FaultProvider, model: str) -> None:
    assert said(client, model) == "echo: hello"
    call = anthropic_provider.calls[-1]
    assert (call.model, call.path, call.headers["x-api-key"]) == (model, "/v1/messages", "sk-ant-two")


def test_a_name_with_its_provider_before_it(client: OpenAI) -> None:
    for model in ("openai/gpt-5-mini", "anthropic/claude-opus-4-5"):
        assert said(client, model) == "echo: hello"


def test_auto_and_the_tiers_use_what_both_have(client: OpenAI) -> None:
    for model in ("auto", "cheap", "expensive"):
        assert said(client, model) == "echo: hello"


def test_an_embedding_model_by_its_name(client: OpenAI) -> None:
    found = client.embeddings.create(model="text-embedding-3-small", input="hello", encoding_format="float")
    assert len(found.data[0].embedding) == 8


def test_a_name_that_both_list_is_refused_with_the_two_that_are_meant(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        said(client, "shared-model")
    assert "openai/shared-model" in refused.value.message
    assert "anthropic/shared-model" in refused.value.message


def test_a_name_that_nobody_lists_is_refused_with_the_form_that_would_do(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        said(client, "unheard-of")
    told = refused.value.message
    assert "openai/unheard-of" in told or "provider/model" in told


def said(client: OpenAI, model: str) -> str | None:
    answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "hello"}])
    return answer.choices[0].message.content
