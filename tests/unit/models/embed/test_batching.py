"""Texts of many callers, worked on together."""

import asyncio
from collections.abc import Sequence

import pytest

from farthing.errors import StoreError
from farthing.models.embed.batching import Asked, Batcher


class Worker:
    """Turns texts into upper case when it is let go; remembers the batches."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.wanted: list[list[bool]] = []
        self.go = asyncio.Event()
        self.go.set()
        self.fail: BaseException | None = None

    async def __call__(self, batch: Sequence[Asked]) -> Sequence[str | None]:
        self.batches.append([asked.text for asked in batch])
        await self.go.wait()
        self.wanted.append([asked.wanted for asked in batch])
        if self.fail is not None:
            raise self.fail
        return [asked.text.upper() if asked.wanted else None for asked in batch]


def batcher(
    worker: Worker,
    *,
    texts: int = 4,
    chars: int = 1_000,
    waiting: int = 8,
    window_s: float = 0.0,
    at_once: int = 1,
) -> Batcher[str]:
    return Batcher(
        worker,
        name="the model",
        texts_max=texts,
        chars_max=chars,
        waiting_max=waiting,
        window_s=window_s,
        batches_max=at_once,
    )


async def soon() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_each_caller_gets_its_own_results_in_its_own_order() -> None:
    async def main() -> None:
        asking = batcher(Worker(), texts=3, waiting=100)
        calls = [[f"{caller}-{number}" for number in range(caller)] for caller in range(8)]
        found = await asyncio.gather(*(asking.ask(texts) for texts in calls))
        assert found == [[text.upper() for text in texts] for texts in calls]
        await asking.aclose()

    asyncio.run(main())


def test_what_arrives_while_a_batch_runs_makes_the_next_one() -> None:
    async def main() -> None:
        worker = Worker()
        asking = batcher(worker)
        worker.go.clear()
        first = asyncio.create_task(asking.ask(["a"]))
        await soon()
        others = [asyncio.create_task(asking.ask([text])) for text in "bcd"]
        await soon()
        worker.go.set()
        await asyncio.gather(first, *others)
        assert worker.batches == [["a"], ["b", "c", "d"]]
        await asking.aclose()

    asyncio.run(main())


@pytest.mark.slow
def test_a_window_gathers_what_comes_within_it_and_a_full_batch_does_not_wait_for_its_end() -> None:
    async def main() -> None:
        worker = Worker()
        asking = batcher(worker, texts=3, window_s=1.0)
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        alone = asyncio.create_task(asking.ask(["a"]))
        await asyncio.sleep(0.005)
        await asyncio.gather(alone, asking.ask(["b"]))
        assert worker.batches == [["a", "b"]]
        assert loop.time() - began_s >= 0.99
        began_s = loop.time()
        await asyncio.gather(*(asking.ask([text]) for text in "cde"))
        assert worker.batches[1:] == [["c", "d", "e"]]
        assert loop.time() - began_s < 0.9
        await asking.aclose()

    asyncio.run(main())


def test_a_batch_is_bounded_in_texts_and_in_characters_but_a_long_text_goes_alone() -> None:
    async def main() -> None:
        worker = Worker()
        asking = batcher(worker, texts=3, chars=10, waiting=100)
        worker.go.clear()
        calls = [
            asyncio.create_task(asking.ask([text]))
            for text in ("x", "aaaa", "bbbb", "c" * 50, "d", "e", "f", "g")
        ]
        await soon()
        worker.go.set()
        await asyncio.gather(*calls)
        assert worker.batches == [["x"], ["aaaa", "bbbb"], ["c" * 50], ["d", "e", "f"], ["g"]]
        await asking.aclose()

    asyncio.run(main())


def test_a_cancelled_caller_leaves_the_queue_and_is_not_worked_for() -> None:
    async def main() -> None:
        worker = Worker()
        asking = batcher(worker, waiting=2)
        worker.go.clear()
        running = asyncio.create_task(asking.ask(["running"]))
        await soon()
        waiting = asyncio.create_task(asking.ask(["left", "too"]))
        await soon()
        with pytest.raises(StoreError):
            await asking.ask(["no room"])
        waiting.cancel()
        await soon()
        after = asyncio.create_task(asking.ask(["after"]))  # its place is free again
        await soon()
        running.cancel()
        await soon()
        worker.go.set()
        assert await after == ["AFTER"]
        assert worker.batches == [["running"], ["after"]]
        assert worker.wanted == [[False], [True]], "the batch under way is told that nobody waits"
        await asking.aclose()

    asyncio.run(main())


def test_too_many_waiting_is_a_store_error_at_once_and_those_who_wait_are_served() -> None:
    async def main() -> None:
        worker = Worker()
        asking = batcher(worker, texts=2, waiting=3)
        worker.go.clear()
        kept = [asyncio.create_task(asking.ask([text])) for text in "abcd"]
        await soon()
        with pytest.raises(StoreError, match="3 texts waiting"):
            await asking.ask(["e"])
        worker.go.set()
        assert await asyncio.gather(*kept) == [["A"], ["B"], ["C"], ["D"]]
        await asking.aclose()

    asyncio.run(main())


def test_a_list_longer_than_the_queue_is_worked_off_part_by_part() -> None:
    async def main() -> None:
        worker = Worker()
        asking = batcher(worker, texts=2, waiting=3)
        texts = [f"t{number}" for number in range(25)]
        assert await asking.ask(texts) == [text.upper() for text in texts]
        assert max(len(batch) for batch in worker.batches) == 2
        await asking.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("error", [StoreError("down"), ZeroDivisionError("a bug")])
def test_a_failure_reaches_everybody_of_its_batch_and_nobody_else(error: Exception) -> None:
    async def main() -> None:
        worker = Worker()
        asking = batcher(worker)
        worker.fail = error
        worker.go.clear()
        first = asyncio.create_task(asking.ask(["a"]))
        await soon()
        second = [asyncio.create_task(asking.ask([text])) for text in "bc"]
        await soon()
        worker.go.set()
        found = await asyncio.gather(first, *second, return_exceptions=True)
        assert [type(each) for each in found] == [type(error)] * 3
        worker.fail = None
        assert await asking.ask(["d"]) == ["D"]
        await asking.aclose()

    asyncio.run(main())


def test_fewer_results_than_texts_are_an_error_and_not_somebody_elses() -> None:
    async def short(batch: Sequence[Asked]) -> Sequence[str | None]:
        return [asked.text for asked in batch][1:]

    async def main() -> None:
        asking: Batcher[str] = Batcher(short, name="the model", texts_max=4, chars_max=99, waiting_max=9)
        with pytest.raises(StoreError, match="gave 1 results for 2 texts"):
            await asking.ask(["a", "b"])
        await asking.aclose()

    asyncio.run(main())


def test_closing_ends_every_wait_and_is_safe_twice() -> None:
    async def main() -> None:
        worker = Worker()
        asking = batcher(worker)
        worker.go.clear()
        calls = [asyncio.create_task(asking.ask([text])) for text in "abc"]
        await soon()
        await asking.aclose()
        await asking.aclose()
        found = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(each) for each in found] == [StoreError] * 3
        with pytest.raises(StoreError, match="closed"):
            await asking.ask(["d"])

    asyncio.run(main())


def test_at_most_as_many_batches_as_allowed_run_beside_each_other() -> None:
    async def main() -> None:
        worker = Worker()
        asking = batcher(worker, texts=1, waiting=10, at_once=3)
        worker.go.clear()
        calls = [asyncio.create_task(asking.ask([text])) for text in "abcdef"]
        await soon()
        assert len(worker.batches) == 3
        worker.go.set()
        await asyncio.gather(*calls)
        assert [batch[0] for batch in worker.batches] == list("abcdef")
        await asking.aclose()

    asyncio.run(main())
