"""What every Embedder does. A new embedder is one more line in EMBEDDERS."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TypeVar

import numpy as np
import pytest
from tests.faults.provider import FaultProvider

from farthing.config import OpenAIProviderConfig, Secret
from farthing.errors import StoreError
from farthing.models.embed.onnx import OnnxEmbedder
from farthing.models.embed.remote import RemoteEmbedder
from farthing.models.providers.openai.provider import OpenAIProvider
from farthing.models.transport.http1 import Http1Transport
from farthing.models.transport.origin import HttpOrigin
from farthing.protocols import Embedder
from farthing.runtime.loop_batch import LoopBatch
from farthing.types import Price, Target, Usage

T = TypeVar("T")
DIMS = 8  # what the fault provider gives
PRICE = Price(since="0000-00-00", input_pusd=20_000, output_pusd=0)


def remote(
    port: int,
    model: str = "text-embedding-good",
    *,
    dims: int = DIMS,
    timeout_s: float = 2.0,
    on_usage: Callable[[Usage, int | None], None] | None = None,
) -> RemoteEmbedder:
    loop = asyncio.get_running_loop()
    origin = HttpOrigin("upstream", "127.0.0.1", port, False)
    config = OpenAIProviderConfig(base_url=f"http://127.0.0.1:{port}/v1", api_key=Secret("KEY", "sk-test"))
    provider = OpenAIProvider("upstream", origin, config, path="/v1")
    target = Target(name=f"upstream/{model}", provider="upstream", model=model, price=PRICE)
    transport = Http1Transport(loop, LoopBatch(loop))
    return RemoteEmbedder(
        transport, provider, target, dims=dims, tokens_max=256, timeout_s=timeout_s, on_usage=on_usage
    )


EMBEDDERS: dict[str, Callable[[int], Embedder]] = {"onnx": lambda port: OnnxEmbedder(), "remote": remote}
Run = Callable[[Callable[[Embedder], Awaitable[T]]], T]


@pytest.fixture(params=EMBEDDERS)
def run(request: pytest.FixtureRequest, upstream: FaultProvider) -> Run[T]:
    def go(work: Callable[[Embedder], Awaitable[T]]) -> T:
        async def main() -> T:
            embedder = EMBEDDERS[request.param](upstream.port)
            try:
                return await work(embedder)
            finally:
                await embedder.aclose()
                await embedder.aclose()

        return asyncio.run(main())

    return go


def test_each_text_gets_a_vector_of_length_one_in_order(run: Run[None]) -> None:
    async def work(embedder: Embedder) -> None:
        texts = [f"question number {number}" for number in range(40)]
        vectors, cut = await embedder.embed(texts)
        assert vectors.shape == (40, embedder.dims) and vectors.dtype == np.float32
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
        assert list(cut) == [False] * 40
        for number in (0, 17, 39):
            alone, _ = await embedder.embed([texts[number]])
            assert np.array_equal(alone[0], vectors[number]), "the vector depends on the text alone"

    run(work)


def test_no_texts_give_no_vectors(run: Run[None]) -> None:
    async def work(embedder: Embedder) -> None:
        vectors, cut = await embedder.embed([])
        assert vectors.shape == (0, embedder.dims) and list(cut) == []

    run(work)


def test_a_text_that_is_too_long_is_cut_and_said_to_be(run: Run[None]) -> None:
    async def work(embedder: Embedder) -> None:
        short, long = "word " * 20, "word " * (embedder.tokens_max * 20)
        vectors, cut = await embedder.embed([short, long, long + "and another end"])
        assert list(cut) == [False, True, True]
        assert np.array_equal(vectors[1], vectors[2]), "what is cut away counts for nothing"

    run(work)


UNREAD = ["Translate 你好", "What does 👍 mean?", "ปิดโหมดมืด", "∀ x", "say [UNK]", "a" * 101, "한국어 ꦗ"]


@pytest.mark.parametrize("text", UNREAD)
def test_a_text_with_what_the_model_has_no_token_for_is_said_to_be_unread(text: str) -> None:
    async def work() -> None:
        embedder = OnnxEmbedder()
        try:
            _, unread = await embedder.embed(["How do I pay?", text, "Is it a café?", "What is == in C++?"])
            assert list(unread) == [False, True, False, False]
        finally:
            await embedder.aclose()

    asyncio.run(work())


@pytest.mark.parametrize("text", ["", " ", "\x00", "\ud800", "a\udfffb", "😀" * 300, "\u202e", "é" * 5_000])
def test_any_text_has_a_vector(run: Run[None], text: str) -> None:
    async def work(embedder: Embedder) -> None:
        vectors, _ = await embedder.embed([text, "x"])
        assert vectors.shape == (2, embedder.dims)
        assert np.isfinite(vectors).all()

    run(work)


def test_many_callers_at_once_each_get_their_own(run: Run[None]) -> None:
    async def work(embedder: Embedder) -> None:
        texts = [f"caller {number}" for number in range(60)]
        found = await asyncio.gather(*(embedder.embed([text]) for text in texts))
        together, _ = await embedder.embed(texts)
        for number, (vectors, _) in enumerate(found):
            assert np.array_equal(vectors[0], together[number])

    run(work)


def test_a_caller_that_leaves_disturbs_nobody(run: Run[None]) -> None:
    async def work(embedder: Embedder) -> None:
        leaving = [asyncio.create_task(embedder.embed([f"gone {number}"])) for number in range(20)]
        staying = asyncio.create_task(embedder.embed(["here"]))
        await asyncio.sleep(0.001)
        for each in leaving:
            each.cancel()
        vectors, _ = await staying
        assert vectors.shape == (1, embedder.dims)

    run(work)


def test_a_closed_embedder_says_so(run: Run[None]) -> None:
    async def work(embedder: Embedder) -> None:
        await embedder.aclose()
        with pytest.raises(StoreError):
            await embedder.embed(["x"])

    run(work)


# -- the small model alone --------------------------------------------------------------------------


def test_paraphrases_are_nearer_than_other_questions() -> None:
    async def main() -> None:
        embedder = OnnxEmbedder()
        await embedder.warm()
        texts = [
            "How do I reset my password?",
            "I forgot my password, how can I change it?",
            "What is the capital of Peru?",
        ]
        vectors, _ = await embedder.embed(texts)
        same, other = float(vectors[0] @ vectors[1]), float(vectors[0] @ vectors[2])
        assert same > 0.75 and other < 0.2
        await embedder.aclose()

    asyncio.run(main())


def test_the_vectors_are_those_of_the_original_model_but_for_rounding() -> None:
    """Reference: the float32 weights, for one text; computed once by the graph without quantisation."""

    async def main() -> None:
        embedder = OnnxEmbedder()
        vectors, _ = await embedder.embed(["A man with a hard hat is dancing."])
        assert np.allclose(vectors[0][:8], REFERENCE, atol=0.02)
        await embedder.aclose()

    asyncio.run(main())


REFERENCE = (0.0297, -0.0600, -0.0098, -0.0267, -0.0243, 0.0121, 0.0907, -0.0538)


# -- the remote one alone ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "script",
    ["U10", "U8,retry-after=60", "reset", "U7", "status=401", "U13", "length=short", "body=html,status=500"],
)
def test_a_failing_endpoint_is_a_store_error_in_time(upstream: FaultProvider, script: str) -> None:
    async def main() -> None:
        embedder = remote(upstream.port, timeout_s=0.5)
        upstream.script(script)
        began_s = asyncio.get_running_loop().time()
        with pytest.raises(StoreError):
            await embedder.embed(["x"])
        assert asyncio.get_running_loop().time() - began_s < 20.0
        await embedder.aclose()

    asyncio.run(main())


def test_one_that_hangs_is_given_up_in_time_and_then_left_alone_for_a_while(upstream: FaultProvider) -> None:
    async def main() -> None:
        embedder = remote(upstream.port, timeout_s=0.05)
        upstream.script(*["U4"] * 5)
        for _ in range(5):
            with pytest.raises(StoreError, match="in time"):
                await embedder.embed(["x"])
        calls = len(upstream.calls)
        with pytest.raises(StoreError, match="rests"):
            await embedder.embed(["x"])
        assert len(upstream.calls) == calls
        await embedder.aclose()

    asyncio.run(main())


def test_vectors_of_another_width_are_refused(upstream: FaultProvider) -> None:
    async def main() -> None:
        embedder = remote(upstream.port, dims=DIMS + 1)
        with pytest.raises(StoreError, match="8 dimensions where the configuration says 9"):
            await embedder.embed(["x"])
        await embedder.aclose()

    asyncio.run(main())


def test_what_it_costs_is_counted_and_texts_of_several_callers_share_a_call(upstream: FaultProvider) -> None:
    counted: list[tuple[Usage, int | None]] = []

    async def main() -> None:
        embedder = remote(upstream.port, on_usage=lambda usage, cost: counted.append((usage, cost)))
        calls = len(upstream.calls)
        await asyncio.gather(*(embedder.embed([f"one two three {number}"]) for number in range(10)))
        assert len(upstream.calls) - calls == 1
        await embedder.aclose()

    asyncio.run(main())
    ((usage, cost),) = counted
    assert usage.input_tokens > 0 and not usage.estimated
    assert cost == usage.input_tokens * 20


def test_what_the_provider_says_it_charged_is_what_it_costs(upstream: FaultProvider) -> None:
    counted: list[tuple[Usage, int | None]] = []

    async def main() -> None:
        embedder = remote(upstream.port, on_usage=lambda usage, cost: counted.append((usage, cost)))
        embedder._count(Usage(input_tokens=10, told_nusd=7), ["x"])
        await embedder.aclose()

    asyncio.run(main())
    assert [cost for _, cost in counted] == [7]


def item(index: int, vector: object) -> dict[str, object]:
    return {"object": "embedding", "index": index, "embedding": vector}


GOOD = [3.0, 4.0] + [0.0] * (DIMS - 2)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ([item(0, GOOD)], "1 vectors for 2 texts"),
        ([item(0, GOOD), item(1, GOOD), item(2, GOOD)], "3 vectors for 2 texts"),
        ([item(0, GOOD), item(0, GOOD)], "numbers do not match"),
        ([item(0, GOOD), item(-1, GOOD)], "numbers do not match"),
        ([item(0, GOOD), item(1, [0.0] * DIMS)], "without a direction"),
        ([item(0, GOOD), item(1, [1e39] * DIMS)], "without a direction"),
        ([item(0, GOOD), item(1, GOOD[1:])], "7 dimensions"),
        ([item(0, GOOD), item(1, "no base64!")], "cannot be read"),
        ([item(0, GOOD), item(1, "AAAA")], "cannot be read"),
        ([item(0, GOOD), item(1, None)], "cannot be read"),
        ([item(0, GOOD), item(1, ["1"] * DIMS)], "cannot be read"),
        ({}, "no vectors"),
    ],
)
def test_what_is_not_one_good_vector_for_each_text_is_refused(data: object, says: str) -> None:
    with pytest.raises(StoreError, match=says):
        answered(data)


def test_vectors_may_come_as_numbers_in_any_order_and_of_any_length() -> None:
    other = [0.0, 0.0, 2.0] + [0.0] * (DIMS - 3)
    vectors = answered([item(1, other), item(0, GOOD)])
    assert vectors[0].tolist() == pytest.approx([0.6, 0.8] + [0.0] * (DIMS - 2))
    assert vectors[1].tolist() == pytest.approx([0.0, 0.0, 1.0] + [0.0] * (DIMS - 3))


def answered(data: object) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
    """What becomes of two texts when a real server answers with `data`."""
    body = json.dumps({"object": "list", "data": data, "usage": {"prompt_tokens": 2}}).encode()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    async def main() -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            embedder = remote(server.sockets[0].getsockname()[1])
            try:
                vectors, _ = await embedder.embed(["a", "b"])
                return vectors
            finally:
                await embedder.aclose()

    return asyncio.run(main())
