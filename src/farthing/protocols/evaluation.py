"""What judges answers: guardrails, which fail closed; checks before delivery; looks afterwards."""

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

from farthing.types import (
    CacheHit,
    CandidateAnswer,
    CheckResult,
    Comparison,
    Json,
    Receipt,
    Request,
    Route,
)


class Guardrail(Protocol):  # evaluation: guard
    def check(self, text: str) -> None:
        """Raises:
        Blocked: `text` must not pass; the message names the rule, never the text.
        """

    def check_long(self, text: str) -> Iterator[None]:
        """As `check`, in pieces: each step takes a few milliseconds, however long `text` is.

        Raises:
            Blocked: in the course of it.
        """


class AsyncGuardrail(Protocol):  # wiring: foreign
    async def check(self, texts: Sequence[str]) -> None:
        """Look at every text of a request, its history included.

        Raises:
            Blocked: the request must not pass. GuardrailFailed: that could not be told, so it does not pass.
        """


class Ask(Protocol):  # pipeline: cascade
    """Asks a model within the request that is being answered: under its contract, in its receipt."""

    async def __call__(self, body: Json, target: str | None) -> CandidateAnswer | None:
        """The answer of `target` (None: of the target that gave the draft) to `body`, an object in OpenAI's
        form whose model does not matter. None: it did not answer, or the contract does not allow the call.
        """


class ModelWatch(Protocol):  # guarantees/monitor: models
    """Hears which model each answer names, to tell of a silent change."""

    def answered(
        self, target: str, asked: str, endpoint: str, model: str, fingerprint: str, lane: str = ""
    ) -> None:
        """Take what an answer of `target` names; empty: nothing. `asked` is the target's model, `endpoint`
        that of the client who gets the answer; empty: no client does. `lane` is the label of the lane that
        gave it; empty: there is one. Quick; never raises."""


class AnswerCheck(Protocol):  # evaluation/checks
    """Says whether an answer is good enough to go out, before a dearer model is asked."""

    name: str

    async def doubt(self, draft: CandidateAnswer, ask: Ask) -> CheckResult:
        """What speaks against `draft`. No reason is no proof that it is right."""


class Inspector(Protocol):  # evaluation/feedback: inspect
    """Looks at answers after they were given, to learn how good they are. None of this may wait."""

    def asked(self, request: Request, receipt: Receipt) -> None:
        """Every request of a client that says who asks, by session or user, is told here once it is
        classified: one that repeats another within a moment says something about the answer that had. The
        receipt is not finished yet."""

    def wants(self, request: Request, route: Route) -> bool:
        """Whether the answer to `request` will be looked at, so that its text has to be kept until then."""

    def inspect(self, request: Request, route: Route, answer: CacheHit, receipt: Receipt) -> None:
        """Take a complete answer that `wants` asked for; `route.shadow`, where there is one, is to be asked
        too. Quick: what takes long is queued within bounds."""


class RouteAudit(Protocol):  # guarantees/policy: applied
    """Keeps the loss of quality under a routing policy within what its certificate says."""

    def opened(self, receipt: Receipt) -> None:
        """An explored request was answered: its receipt has endpoint, traits, score and policy. Told once,
        before anybody judges; `lost` follows. Quick; without a policy, or of another router or tiers than its
        certificate's, nothing happens."""

    def lost(self, request_id: str, loss: float | None) -> None:
        """By how much the cheap answer to an explored request is worse than the expensive one, from 0, as
        good or better, to 1. None: it will never be known (no room, no answer, no verdict). One that its
        policy keeps with the expensive tier lost nothing, whatever is said, and counts now, as others do. Of
        one that was not opened, or was given up, nothing happens."""


class HitMonitor(Protocol):  # guarantees/monitor: semantic_cache
    """Keeps the share of wrong answers among those served from the semantic cache under its budget."""

    def allows(self, endpoint: str, partition: bytes) -> bool:
        """Whether answers of `partition` may be served to `endpoint` now. Pure and quick; where it says no,
        would-be hits are answered anew and noted, so that it can learn better."""

    def note(self, endpoint: str, partition: bytes, wrong: bool | None, audit: str = "") -> None:
        """Take one audited outcome: a would-be hit, drawn by chance or because nothing is served, whose
        stored answer was right or `wrong`. None: a judge will say, under the same `audit`."""


class AnswerJudge(Protocol):  # evaluation/judges: equivalence
    """Says whether two answers agree where their words differ. It may ask a paid model, later."""

    def ask(self, comparison: Comparison) -> Literal["queued", "none", "full"]:
        """Queue one comparison and return at once; the verdict goes to the cache's `judged`.

        `none`: no judge is configured for that endpoint. `full`: too many wait; nobody will judge it.
        """
