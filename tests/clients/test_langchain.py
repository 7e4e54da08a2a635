"""LangChain over the gateway: samples stay samples, and a thousand documents get their vectors."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import tiktoken.registry
from langchain_core.exceptions import OutputParserException
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import SecretStr
from tests.conftest import StartGateway
from tests.e2e.gateway import Running
from tests.faults.provider import FaultProvider
from tests.faults.truth import Call

from farthing.models.tokens.bpe import ExactCounter

pytestmark = pytest.mark.timeout(120)

KEY = SecretStr("any")
SAMPLES = itertools.count(1)
FAULTY = "once-"


def sampled(call: Call) -> str | None:
    """Each answer is another sample; those of `FAULTY` models fail at the first try."""
    if not call.path.endswith("/chat/completions"):
        return None
    if call.model.startswith(FAULTY):
        return "say=sample,status=503,first=1,seed=" + call.model.removeprefix(FAULTY)
    return f"say=sample {next(SAMPLES)}"


@pytest.fixture(scope="module")
def provider() -> Iterator[FaultProvider]:
    with FaultProvider(on_call=sampled) as found:
        yield found


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, provider: FaultProvider) -> Running:
    """As it is without a word about the cache."""
    return start_gateway(f"""
[providers.a]
base_url = "{provider.base_url}"
[tiers.cheap]
targets = ["a/good-cheap"]
[tiers.expensive]
targets = ["a/good-expensive"]
""")


@pytest.fixture(scope="module", autouse=True)
def vocabulary() -> Iterator[None]:
    """The tokenizer's vocabulary from this package, where tiktoken would fetch it from the network."""
    name = "cl100k_base"
    tiktoken.registry.ENCODINGS[name] = ExactCounter().encoding("cl100k_base")
    yield
    del tiktoken.registry.ENCODINGS[name]


def samples(provider: FaultProvider, client: ChatOpenAI, question: str) -> tuple[int, int]:
    """Calls of the provider and different answers, when a question is asked five times in one batch."""
    before = len(provider.calls)
    answers = client.batch([question] * 5)
    return len(provider.calls) - before, len({answer.content for answer in answers})


def chat(base_url: str, model: str, **more: Any) -> ChatOpenAI:
    return ChatOpenAI(base_url=base_url, api_key=KEY, model=model, **more)


@pytest.mark.parametrize("more", [{}, {"streaming": True}], ids=["whole", "streamed"])
@pytest.mark.parametrize("model", ["a/good", "cheap", "auto"])
def test_a_batch_of_the_same_question_gives_as_many_samples(
    gateway: Running, provider: FaultProvider, model: str, more: dict[str, Any]
) -> None:
    question = f"Tell {model} a joke {more}"
    direct = chat(provider.base_url, "good", temperature=0.7, **more)
    through = chat(gateway.base_url, model, temperature=0.7, **more)
    assert samples(provider, direct, question) == (5, 5)
    assert samples(provider, through, question) == (5, 5)


def test_so_it_does_without_a_temperature_of_a_model_that_the_client_names(
    gateway: Running, provider: FaultProvider
) -> None:
    assert samples(provider, chat(gateway.base_url, "a/good"), "Tell a story") == (5, 5)


def test_a_chain_that_tries_again_gets_another_sample(gateway: Running, provider: FaultProvider) -> None:
    refused: list[str] = []

    def third(message: Any) -> str:
        if len(refused) < 2:
            refused.append(message.content)
            raise OutputParserException("not to my taste")
        return str(message.content)

    chain = chat(gateway.base_url, "a/good", temperature=0.7) | RunnableLambda(third)
    found = chain.with_retry(stop_after_attempt=3, wait_exponential_jitter=False).invoke("Draw a number")
    assert len({*refused, found}) == 3


def test_a_failure_that_passes_is_nothing_to_it(gateway: Running) -> None:
    for retries in (2, 0):
        client = chat(gateway.base_url, f"a/{FAULTY}{retries}", max_retries=retries)
        assert client.invoke("Does it pass?").content == "sample"


def test_the_default_embeddings_of_a_thousand_documents_are_those_of_the_provider(
    gateway: Running, provider: FaultProvider
) -> None:
    """It sends lists of token ids, up to 300,000 a request; what is too long it cuts and averages itself."""
    documents = [
        f"Document {number}: " + " ".join(f"w{(number * 31 + i) % 997}" for i in range(110))
        for number in range(1_000)
    ]
    documents[500] = " ".join(f"long{i % 601}" for i in range(6_000))
    vectors, asked = [], []
    for base_url in (provider.base_url, gateway.base_url):
        before = len(provider.calls)
        embeddings = OpenAIEmbeddings(base_url=base_url, api_key=KEY, model="text-embedding-3-small")
        vectors.append(embeddings.embed_documents(documents))
        asked.append([call.json["input"] for call in provider.calls[before:]])
    direct, through = vectors
    assert sum(len(tokens) for tokens in itertools.chain(*asked[0])) > 200_000
    assert asked[1] == asked[0], "lists of token ids, as they were sent"
    assert len(through) == 1_000 and through == direct
    assert len({tuple(vector) for vector in through}) == 1_000
