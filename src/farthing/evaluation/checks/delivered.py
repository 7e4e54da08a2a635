"""Check answers after they were delivered: schema, known answer, pattern, command.

`Checks` belong to one configuration. `CheckResources` are shared across configurations: the process that
searches patterns, and the lock that lets one command run at a time. `Checking` queues answers and checks them
one by one, after the client has its answer; what does not fit is dropped and counted.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from farthing.evaluation.checks import command, exact, regex, schema
from farthing.protocols import Ledger
from farthing.text import answer_text
from farthing.types import CacheHit, Receipt, Request, Signal, replace

log = logging.getLogger("farthing.errands")

QUEUE_MAX = 200
WAITING_CHARS_MAX = 33_554_432  # questions, answers and schemas together
DETAIL_CHARS_MAX = 200


class Checked(Struct, frozen=True):
    """The result of one check of one answer."""

    passed: bool | None
    """None: undecided."""
    why: str = ""
    """For people; never contains text of the answer. Empty if it passed."""

    @property
    def quality(self) -> float | None:
        return None if self.passed is None else float(self.passed)


class Test(Protocol):
    """One check of an endpoint."""

    name: str

    async def look(self, request: Request, text: str) -> Checked | None:
        """The result for `text` as the answer to `request`; None: the check does not apply to this
        request."""


class CheckResources:
    """Resources that all checks share, whatever the configuration. One event loop."""

    def __init__(self) -> None:
        self.searcher = regex.Searcher()
        self.one_command = asyncio.Lock()

    async def aclose(self) -> None:
        """Safe to call twice."""
        await self.searcher.aclose()


class SchemaTest:
    """The answer is JSON that fits a schema."""

    def __init__(self, name: str, wanted: Any = None) -> None:
        """`wanted` None: the schema that the request itself asks for."""
        self.name = name
        self._wanted = wanted

    async def look(self, request: Request, text: str) -> Checked | None:
        wanted = schema.schema_of(request) if self._wanted is None else self._wanted
        if wanted is None:
            return None
        try:
            fault = await asyncio.to_thread(schema.check_json, text, wanted)
        except schema.CannotTell as why:
            return Checked(None, str(why))
        return Checked(fault is None, fault or "")


class ExactTest:
    """The answer equals the expected one."""

    def __init__(self, name: str, expected: exact.Expected) -> None:
        self.name = name
        self._expected = expected

    async def look(self, request: Request, text: str) -> Checked | None:
        right = exact.check_exact(request.text, text, self._expected)
        return None if right is None else Checked(right, "" if right else "not the expected answer")


class RegexTest:
    """The answer contains a pattern, or must not contain it."""

    def __init__(self, name: str, pattern: str, resources: CheckResources, *, absent: bool) -> None:
        """Raises:
        ConfigError: the pattern is invalid.
        """
        self.name = name
        self._pattern = regex.compiled(pattern)
        self._resources = resources
        self._absent = absent

    async def look(self, request: Request, text: str) -> Checked | None:
        found = await self._resources.searcher.found(self._pattern, text)
        if found is None:
            return Checked(None, "the search took too long")
        if found != self._absent:
            return Checked(True)
        return Checked(False, "contains the pattern" if found else "does not contain the pattern")


class CommandTest:
    """A command accepts the answer."""

    def __init__(
        self,
        name: str,
        words: Sequence[str],
        resources: CheckResources,
        *,
        timeout_s: float,
        memory_bytes_max: int,
    ) -> None:
        self.name = name
        self._words = tuple(words)
        self._resources = resources
        self._timeout_s = timeout_s
        self._memory_bytes_max = memory_bytes_max

    async def look(self, request: Request, text: str) -> Checked | None:
        async with self._resources.one_command:
            ran = await command.run(
                self._words,
                text,
                question=request.text,
                timeout_s=self._timeout_s,
                memory_bytes_max=self._memory_bytes_max,
            )
        return Checked(ran.passed, ran.reason)


class Checks:
    """The checks of the endpoints of one configuration. See also `explore.PairChecks`."""

    def __init__(self, tests: Mapping[str, Sequence[Test]]) -> None:
        """`tests` by endpoint."""
        self._tests = {endpoint: tuple(those) for endpoint, those in tests.items() if those}

    def has(self, endpoint: str) -> bool:
        """Whether answers of `endpoint` can be checked. Quick."""
        return endpoint in self._tests

    async def look(self, request: Request, text: str) -> dict[str, Checked]:
        """The results by name, in the order of the checks; checks that do not apply are absent."""
        found = {}
        for test in self._tests.get(request.endpoint.name, ()):
            try:
                checked = await test.look(request, text)
            except Exception:  # a bug in one check must not stop the others
                log.exception("the check %s failed by a fault of ours", test.name)
                checked = Checked(None, "failed by a fault of ours")
            if checked is not None:
                found[test.name] = checked
        return found

    async def check(self, request: Request, text: str) -> Mapping[str, float | None]:
        """The qualities from `look` alone. Never raises."""
        return {name: checked.quality for name, checked in (await self.look(request, text)).items()}


class Checking:
    """Checks queued answers. Belongs to one event loop and outlives configurations."""

    def __init__(self, ledger: Ledger, *, clock_unix_s: Callable[[], float]) -> None:
        self.dropped = 0
        """Answers not checked because the queue was full."""
        self._ledger = ledger
        self._clock_unix_s = clock_unix_s
        self._waiting: asyncio.Queue[tuple[Checks, Request, str, str, int]] = asyncio.Queue(QUEUE_MAX)
        self._waiting_chars = 0
        self._worker: asyncio.Task[None] | None = None

    def submit(self, checks: Checks, request: Request, answer: CacheHit, receipt: Receipt) -> bool:
        """Queue one answer; False if it will not be checked (queue full, not plain text). Quick."""
        text = answer_text.text_of(answer)
        if text is None:
            return False
        request, chars = _kept(request)
        chars += len(text)
        if self._waiting.full() or self._waiting_chars + chars > WAITING_CHARS_MAX:
            self.dropped += 1
            return False
        self._waiting.put_nowait((checks, request, text, receipt.target, chars))
        self._waiting_chars += chars
        if self._worker is None or self._worker.done():
            self._worker = asyncio.get_running_loop().create_task(self._work())
        return True

    async def _work(self) -> None:
        while True:
            checks, request, text, target, chars = await self._waiting.get()
            self._waiting_chars -= chars
            for name, checked in (await checks.look(request, text)).items():
                self._ledger.signal(
                    Signal(
                        request_id=request.id,
                        at_unix_s=self._clock_unix_s(),
                        source="check",
                        quality=checked.quality,
                        kind=name,
                        target=target,
                        tenant=request.tenant.name,
                        endpoint=request.endpoint.name,
                        detail=checked.why[:DETAIL_CHARS_MAX],
                    )
                )

    async def aclose(self) -> None:
        """Drop queued answers unchecked. Safe to call twice."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)


def _kept(request: Request) -> tuple[Request, int]:
    """The part of a request that checks use, and its size in characters: the queue holds no conversations."""
    wanted = request.body.get("response_format")
    if wanted is None:
        return replace(request, body={}), len(request.text)
    chars = len(msgspec.json.encode(wanted)) + len(request.text)
    return replace(request, body={"response_format": wanted}), chars
