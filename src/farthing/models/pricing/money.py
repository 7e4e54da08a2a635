"""The cost of a request, and what the declared baseline would have charged for the same answer.

Unknown stays unknown: if one attempt has no price or no usage, the cost is None, never 0. Usage that the
provider did not report is estimated and marked so. If the provider's preset accepts its own charge, that
is booked, with our figure beside it.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from farthing.dialects.chat.answers.shown import answer_chars, fees_shown, states_nothing
from farthing.dialects.chat.usage import as_stated, begun, tier_of, tier_shown
from farthing.dialects.passing.operations import passing_of
from farthing.models.calling.request import CallResult
from farthing.models.pricing.book import book
from farthing.models.pricing.cost import baseline_nusd, cost_nusd, flat_nusd
from farthing.models.pricing.expected import estimated_pass, expected_tokens
from farthing.models.stream import Stream
from farthing.protocols import Reply, StreamDecoder, TokenSizes
from farthing.runtime.seldom import Seldom
from farthing.types import OF_TEXT, Attempt, Prompt, Receipt, Request, Target, Usage, differs, replace

log = logging.getLogger("farthing.money")

TOLD_EVERY_S = 3_600.0  # between two warnings about the same target


class Money:
    """The prices and baselines of one configuration."""

    def __init__(
        self,
        *,
        baseline: str,
        endpoint_baselines: Mapping[str, str],
        targets: Callable[[str], Target | None],
        estimate_tokens: Callable[[str, int], int],
        price_version: str,
        policy: str,
        clock: Callable[[], float],
        sizes: TokenSizes | None = None,
    ) -> None:
        """`sizes` learns from the tokens that providers count, and estimates what others will count."""
        self._sizes = sizes
        self._baseline = baseline
        self._endpoint_baselines = endpoint_baselines
        self._targets = targets
        self._estimate_tokens = estimate_tokens
        self.price_version = price_version
        self.policy = policy
        self._clock = clock
        self._tells = Seldom(TOLD_EVERY_S, clock)
        """When we last warned of a target that charges other than our prices say."""

    def account(self, result: CallResult, prompt: Prompt, receipt: Receipt, *, goes_out: bool = True) -> None:
        """Record the usage and cost of `result`. A second call replaces the first. `goes_out`: the answer is
        sent to the client, as far as is known."""
        attempt = result.attempt
        reply, stream = result.reply, result.stream
        if passing_of(prompt) is not None:
            self._account_passed(result, receipt)
            return
        if reply is not None:
            usage = self._of_reply(reply, prompt, result.target)
        elif stream is not None:
            usage = self._of_stream(stream, prompt, result.target)
            self._time(result, receipt)
        else:
            return
        if self._sizes is not None and attempt.usage is None and attempt.error is None:
            self._sizes.learn(result.target, prompt, usage)
        attempt.usage = usage
        attempt.cost_nusd = cost = cost_nusd(result.target.price, usage)
        if cost is None or usage.told_nusd is not None or attempt.unpriced:
            book(attempt, result.target, usage, self._targets)
            self._warn(attempt)
        if result.prompt is not None:
            attempt.prompt_cache = result.prompt.told(usage, result.target.price)
        if goes_out:
            receipt.usage = usage
            receipt.target = result.target.name
            receipt.tier = attempt.tier

    def _time(self, result: CallResult, receipt: Receipt) -> None:
        """Write how long a stream took."""
        ended_s = self._clock() if result.ended_s is None else result.ended_s
        attempt = result.attempt
        attempt.total_ms = (ended_s - receipt.started_s) * 1000 - attempt.started_ms

    def _account_passed(self, result: CallResult, receipt: Receipt) -> None:
        """As `account`, of what was passed through: usage that is not told is unknown, since it need not be
        of tokens at all. What is priced by the call alone is known all the same."""
        attempt, target, source = result.attempt, result.target, result.reply or result.stream
        if source is None:
            return
        if source is result.stream:
            self._time(result, receipt)
        usage, price = source.usage, target.price
        flat = flat_nusd(price)
        if usage is not None:
            book(attempt, target, usage, self._targets)
        if attempt.cost_nusd is None:
            if usage is not None and not usage.input_tokens and not usage.output_tokens:
                usage = attempt.usage = None  # uses without a price: of tokens nothing is known
            if flat is not None:
                attempt.cost_nusd, attempt.unpriced = flat, ""
        receipt.usage, receipt.target, receipt.tier = usage, target.name, attempt.tier

    def _of_reply(self, reply: Reply, prompt: Prompt, target: Target) -> Usage:
        usage = reply.usage
        if usage is None or usage.estimated:
            usage = self._filled_by_reply(usage, target, prompt, reply.body)
        if (fees := fees_shown(prompt.body, target.model, cites=reply.cites)) is not None:
            usage = _with_fees(usage, fees)
        if not usage.tier and (asked := prompt.body.get("service_tier")) is not None:
            return _as_asked(usage, asked, target, reply.body)
        return usage

    def _of_stream(self, stream: Stream, prompt: Prompt, target: Target) -> Usage:
        usage, reader = stream.usage, stream.reader
        if usage is not None and not (reader.done or stream.counted or reader.usage_event):
            usage = begun(usage)
        if usage is None or usage.estimated:
            usage = self._filled_by_stream(usage, target, prompt, reader)
        if (fees := fees_shown(prompt.body, target.model, cites=reader.cites)) is not None:
            usage = _with_fees(usage, fees)
        if not usage.tier and (asked := prompt.body.get("service_tier")) is not None:
            return _as_asked(usage, asked, target, reader.first_payload, reader.usage_event)
        return usage

    def _filled_by_reply(self, usage: Usage | None, target: Target, prompt: Prompt, body: bytes) -> Usage:
        if "messages" not in prompt.body:
            return self._filled(usage, target, prompt, 0, 0)  # vectors are no text
        if states_nothing(body):
            return as_stated(usage)
        return self._filled(usage, target, prompt, answer_chars(body), 0)

    def _filled_by_stream(
        self, usage: Usage | None, target: Target, prompt: Prompt, reader: StreamDecoder
    ) -> Usage:
        if reader.states_nothing:
            return as_stated(usage)
        return self._filled(usage, target, prompt, reader.text_chars, reader.chunks)

    def _filled(
        self, usage: Usage | None, target: Target, prompt: Prompt, text_chars: int, chunks: int
    ) -> Usage:
        """`usage`, with estimates for what it does not count."""
        output_tokens = max(chunks, self._estimate_tokens("", text_chars)) if text_chars or chunks else 0
        if usage is None:
            tokens = expected_tokens(self._sizes, target, prompt)
            return Usage(input_tokens=tokens, output_tokens=output_tokens, estimated=True)
        tokens = usage.input_tokens or expected_tokens(self._sizes, target, prompt)
        filled: Usage = replace(
            usage,
            input_tokens=tokens,
            output_tokens=usage.output_tokens or output_tokens,
            passes=usage.passes and (*usage.passes, estimated_pass(usage, tokens, output_tokens)),
        )
        return filled

    def _warn(self, attempt: Attempt) -> None:
        """Log, now and then, that a provider's charge differs from ours."""
        told, ours = attempt.cost_nusd, attempt.reckoned_nusd
        if told is None or ours is None or not differs(attempt) or not self._tells.again(attempt.target):
            return
        log.warning(
            "%s says it charged $%.9f where our prices make $%.9f: booked as it says; correct its [[prices]]",
            attempt.target,
            told / 1e9,
            ours / 1e9,
        )

    def fixed_usage(self, request: Request, text: str) -> Usage:
        """The estimated usage of a model that gave `text` as its answer: the baseline of a fixed answer."""
        return Usage(
            input_tokens=self._estimate_tokens(request.text, request.prompt_chars),
            output_tokens=self._estimate_tokens(text, len(text)),
            estimated=True,
        )

    def choose_baseline(self, receipt: Receipt, target: str, *, pinned: bool) -> None:
        """Set the target that this request is compared with: `target`, which was chosen, if the client named
        it; else that of its endpoint, else that of the report, which is a chat model: what is no chat is
        compared with `target` in its place."""
        if pinned:
            receipt.baseline_target = target
            return
        baseline = self._baseline if receipt.operation in OF_TEXT else target
        receipt.baseline_target = self._endpoint_baselines.get(receipt.endpoint, baseline)

    def total(self, receipt: Receipt) -> None:
        """Add up cost, baseline and time. A second call replaces the first."""
        cost: int | None = receipt.embedding_nusd
        model_ms = 0.0
        attempts = receipt.attempts
        for attempt in attempts:
            model_ms += attempt.total_ms or 0.0
            spent = attempt.cost_nusd
            cost = None if cost is None or spent is None else cost + spent
        if len(attempts) > 1:
            model_ms = _waited_ms(attempts)
        receipt.cost_nusd = cost
        receipt.policy = self.policy
        receipt.price_version = self.price_version
        usage, compared = receipt.usage, receipt.baseline_target
        if usage is not None and compared:
            if compared == receipt.target and receipt.calls == 1:
                receipt.baseline_nusd = None if cost is None else cost - receipt.embedding_nusd
            else:
                baseline = self._targets(compared)
                # the baseline would have cached prefixes of its own: which is unknown, so the same are taken
                receipt.baseline_nusd = None if baseline is None else baseline_nusd(baseline.price, usage)
        total_ms = (self._clock() - receipt.started_s) * 1000
        receipt.total_ms = total_ms
        receipt.model_ms = model_ms
        overhead_ms = total_ms - model_ms - receipt.queue_ms
        receipt.overhead_ms = overhead_ms if overhead_ms > 0.0 else 0.0


def _with_fees(usage: Usage, fees: dict[str, int]) -> Usage:
    """`usage` with fees that are reported elsewhere; a count in `usage` itself takes precedence."""
    filled: Usage = replace(usage, fees={**fees, **(usage.fees or {})})
    return filled


def _as_asked(usage: Usage, asked: Any, target: Target, *said: bytes | None) -> Usage:
    """`usage` at the service tier that was `asked` for, if its model has such a price and nothing that was
    `said` names the tier that ran."""
    tier, price = tier_of(asked), target.price
    if not tier or price is None or not (tier in price.tiers or tier in price.factors):
        return usage
    if any(tier_shown(one) is not None for one in said):
        return usage
    at_tier: Usage = replace(usage, tier=tier)
    return at_tier


def _waited_ms(attempts: Sequence[Attempt]) -> float:
    """Milliseconds during which any of them ran, given in order of their start; simultaneous time counts
    once."""
    waited_ms = until_ms = 0.0
    for attempt in attempts:
        began_ms = attempt.started_ms
        ended_ms = began_ms + (attempt.total_ms or 0.0)
        if ended_ms > until_ms:
            waited_ms += ended_ms - max(began_ms, until_ms)
            until_ms = ended_ms
    return waited_ms
