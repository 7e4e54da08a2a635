"""Azure's paths: a client of `AzureOpenAI` before the gateway, and Azure behind it."""

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from openai import AuthenticationError, AzureOpenAI
from tests.conftest import StartGateway
from tests.e2e.gateway import Running
from tests.faults.exact import whole_of
from tests.faults.passing import AUDIO, PassingProvider, Told, said

KEY: Final = "fk-of-the-client-0123456789"
OWN: Final = "azure-key-0123456789"
VERSION: Final = "2024-10-21"
VECTORS: Final = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 1.0]}],
    "model": "v",
    "usage": {"prompt_tokens": 2, "total_tokens": 2},
}
DEPLOYED: Final = "/openai/deployments/gpt-x"
ANSWERS: Final = {
    "chat/completions": said(whole_of("a farthing")),
    "embeddings": said(VECTORS),
    "images/generations": said({"created": 1, "data": [{"b64_json": "AAAA"}]}),
    "audio/transcriptions": said({"text": "four farthings"}),
    "audio/speech": Told(kind="audio/mpeg", pieces=(AUDIO,)),
}
CALLS: Final[dict[str, Callable[[AzureOpenAI], Any]]] = {
    "chat/completions": lambda client: client.chat.completions.create(
        model="gpt-x", messages=[{"role": "user", "content": "what is it?"}]
    ),
    "embeddings": lambda client: client.embeddings.create(model="gpt-x", input="a", encoding_format="float"),
    "images/generations": lambda client: client.images.generate(model="gpt-x", prompt="a coin"),
    "audio/transcriptions": lambda client: client.audio.transcriptions.create(
        model="gpt-x", file=("a.mp3", AUDIO)
    ),
    "audio/speech": lambda client: (
        client.audio.speech.create(model="gpt-x", voice="alloy", input="x").content
    ),
}


@pytest.fixture(scope="module")
def azure() -> Iterator[PassingProvider]:
    with PassingProvider() as made:
        made.answers = {f"{DEPLOYED}/{name}": told for name, told in ANSWERS.items()}
        yield made


def root(provider: PassingProvider) -> str:
    return provider.base_url.removesuffix("/v1")


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, azure: PassingProvider) -> Running:
    return start_gateway(
        f"""
[[keys]]
tenant = "acme"
key = "${{CLIENT_KEY}}"
[providers.azure]
base_url = "{root(azure)}/openai/deployments/{{model}}"
api_key = "${{PROVIDER_KEY}}"
auth = "api-key"
api_version = "{VERSION}"
pass_through = true
[providers.one]
base_url = "{root(azure)}/openai/deployments/gpt-x"
api_key = "${{PROVIDER_KEY}}"
auth = "api-key"
api_version = "{VERSION}"
[tiers.deployed]
targets = ["azure/gpt-x"]
[tiers.single]
targets = ["one/gpt-x"]
[tiers.odd]
targets = ["azure/a b/c?d"]
""",
        CLIENT_KEY=KEY,
        PROVIDER_KEY=OWN,
    )


@pytest.fixture
def through(gateway: Running) -> Iterator[AzureOpenAI]:
    with client(f"http://127.0.0.1:{gateway.port}", KEY) as made:
        yield made


def client(endpoint: str, key: str, **more: Any) -> AzureOpenAI:
    return AzureOpenAI(azure_endpoint=endpoint, api_key=key, api_version=VERSION, max_retries=0, **more)


@pytest.mark.parametrize("operation", CALLS)
def test_a_client_of_azure_is_answered_as_by_azure(
    operation: str, through: AzureOpenAI, azure: PassingProvider
) -> None:
    azure.came.clear()
    with client(root(azure), OWN) as direct:
        expected = CALLS[operation](direct)
    assert CALLS[operation](through) == expected
    first, second = azure.came
    assert second.path == first.path == f"{DEPLOYED}/{operation}?api-version={VERSION}"
    assert second.headers["api-key"] == OWN and "authorization" not in second.headers
    if first.headers["content-type"] == "application/json":
        assert second.json == first.json


def test_the_deployment_of_the_path_is_the_model_whatever_the_body_says(
    gateway: Running, azure: PassingProvider
) -> None:
    with client(f"http://127.0.0.1:{gateway.port}", KEY, azure_deployment="single") as named:
        azure.came.clear()
        asked: list[Any] = [{"role": "user", "content": "x"}]
        reply = named.chat.completions.with_raw_response.create(model="azure/other", messages=asked)
        assert reply.headers["x-farthing-model"] == "one/gpt-x"
        named.audio.transcriptions.create(model="azure/other", file=("a.mp3", AUDIO))
        assert named.audio.speech.create(model="azure/other", voice="alloy", input="x").content == AUDIO
    assert {
        came.path.partition("?")[0].rpartition("/deployments/")[2].split("/")[0] for came in azure.came
    } == {"gpt-x"}
    bodies = [came.body for came in azure.came]
    assert all(b"gpt-x" in body and b"azure/other" not in body for body in bodies)


def test_a_body_without_a_model_is_served_by_the_deployment(gateway: Running, azure: PassingProvider) -> None:
    azure.came.clear()
    head = {"api-key": KEY}
    path = "/openai/deployments/{}/{}?api-version=2024-10-21"
    chat = {"messages": [{"role": "user", "content": "x"}]}
    for name in ("deployed", "azure%2Fgpt-x"):
        assert gateway.post(path.format(name, "chat/completions"), chat, head).status == 200
        assert gateway.post(path.format(name, "images/generations"), {"prompt": "x"}, head).status == 200
        form = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n--b--\r\n'
        kind = {**head, "content-type": "multipart/form-data; boundary=b"}
        assert gateway.post(path.format(name, "audio/transcriptions"), form, kind).status == 200
        assert azure.came[-1].body.count(b'name="model"\r\n\r\ngpt-x\r\n') == 1
        assert azure.came[-1].body.endswith(form)
        assert json.loads(azure.came[-2].body)["model"] == "gpt-x"
    missing = gateway.post(path.format("nobody", "chat/completions"), chat, head)
    assert missing.status == 404 and missing.error["code"] == "model_not_found"


def test_the_list_of_deployments_is_asked_for_above_them(gateway: Running, azure: PassingProvider) -> None:
    azure.came.clear()
    assert gateway.request("GET", "/v1/models", headers={"api-key": KEY}).status == 200
    asked = [came.path for came in azure.came if came.method == "GET"]
    assert "/openai/deployments?api-version=2023-03-15-preview" in asked
    assert not [path for path in asked if "{" in path or "%7B" in path]


def test_a_name_in_a_path_cannot_leave_it(gateway: Running, azure: PassingProvider) -> None:
    azure.came.clear()
    gateway.post(
        "/v1/chat/completions",
        {"model": "odd", "messages": [{"role": "user", "content": "x"}]},
        {"authorization": f"Bearer {KEY}"},
    )
    assert azure.came[0].path == f"/openai/deployments/a%20b%2Fc%3Fd/chat/completions?api-version={VERSION}"


def test_an_unknown_key_is_refused_as_ever(gateway: Running) -> None:
    with client(f"http://127.0.0.1:{gateway.port}", "wrong") as wrong, pytest.raises(AuthenticationError):
        CALLS["chat/completions"](wrong)
