"""What a request cost and what the declared baseline would have charged for the same answer.

Unknown stays unknown: one attempt without a price or a usage makes the cost None, never 0. Usage that
the provider did not state is estimated and marked so.
"""

from collections.abc import Callable, Mapping, Sequence

from farthing.models.call import Called
from farthing.models.catalogue import cost_nusd
from farthing.types import Attempt, Prompt, Receipt, Request, Target, Usage


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
    ) -> None:
        self._baseline = baseline
        self._endpoint_baselines = endpoint_baselines
        self._targets = targets
        self._estimate_tokens = estimate_tokens
        self.price_version = price_version
        self.policy = policy
        self._clock = clock

    def account(self, called: Called, prompt: Prompt, receipt: Receipt, *, goes_out: bool = True) -> None:
        """Write what `called` used and cost. Twice is safe: the later word counts. `goes_out`: its answer is
        the client's, as far as is known."""
        attempt = called.attempt
        reply, stream = called.reply, called.stream
        if reply is not None:
            usage = reply.usage
            if usage is None:
                usage = self._estimated(prompt, len(reply.text), 0)
        elif stream is not None:
            usage = stream.usage
            if usage is None or (not stream.reader.done and stream.reader.usage_event is None):
                usage = self._estimated(prompt, stream.reader.text_chars, stream.reader.chunks)
            ended_s = self._clock() if called.ended_s is None else called.ended_s
            attempt.total_ms = (ended_s - receipt.started_s) * 1000 - attempt.started_ms
        else:
            return
        attempt.usage = usage
        attempt.cost_nusd = cost_nusd(called.target.price, usage)
        if goes_out:
            receipt.usage = usage
            receipt.target = called.target.name
            receipt.tier = attempt.tier

    def _estimated(self, prompt: Prompt, text_chars: int, chunks: int) -> Usage:
        output_tokens = max(chunks, self._estimate_tokens("", text_chars)) if text_chars or chunks else 0
        return Usage(input_tokens=prompt.input_tokens, output_tokens=output_tokens, estimated=True)

    def fixed_usage(self, request: Request, text: str) -> Usage:
        """What a model would have used to say `text`, estimated: the baseline of a direct answer."""
        return Usage(
            input_tokens=self._estimate_tokens(request.text, request.prompt_chars),
            output_tokens=self._estimate_tokens(text, len(text)),
            estimated=True,
        )

    def choose_baseline(self, receipt: Receipt, pinned: str | None) -> None:
        """Name the target that this request is compared with: its own when the client named it."""
        receipt.baseline_target = pinned or self._endpoint_baselines.get(receipt.endpoint, self._baseline)

    def total(self, receipt: Receipt) -> None:
        """Add up cost, baseline and time. Twice is safe."""
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
                receipt.baseline_nusd = None if baseline is None else cost_nusd(baseline.price, usage)
        total_ms = (self._clock() - receipt.started_s) * 1000
        receipt.total_ms = total_ms
        receipt.model_ms = model_ms
        overhead_ms = total_ms - model_ms - receipt.queue_ms
        receipt.overhead_ms = overhead_ms if overhead_ms > 0.0 else 0.0


def _waited_ms(attempts: Sequence[Attempt]) -> float:
    """How long any of them ran, in the order they began: what ran at the same time counts once."""
    waited_ms = until_ms = 0.0
    for attempt in attempts:
        began_ms = attempt.started_ms
        ended_ms = began_ms + (attempt.total_ms or 0.0)
        if ended_ms > until_ms:
            waited_ms += ended_ms - max(began_ms, until_ms)
            until_ms = ended_ms
    return waited_ms
