"""Counts the tokens of a request, for a client that asks only for the count.

If the provider of the target that would be asked first can count, the count is exact. Otherwise it is
estimated with the ratio learned for that target. Nothing is charged, no answer is requested and no receipt
is written. A request that may not be sent to a provider is not sent there to be counted either.
"""

import asyncio

from msgspec import Struct

from farthing.brain.compose import compose
from farthing.errors import (
    FarthingError,
    KeyRejected,
    NoProviderLeft,
    ProviderError,
    ProviderRejected,
    forget_frames,
)
from farthing.evaluation.guard import guard_request
from farthing.pipeline.optional import optional
from farthing.pipeline.steps import Steps
from farthing.protocols import Provider, Router, TokenSizes, Transport
from farthing.runtime.loop_batch import in_task
from farthing.text.media import CHARS_PER_TOKEN
from farthing.types import NO_TERMS, Prompt, Receipt, Request, Target, Traits

COUNT_S = 10.0
"""How long a provider may take to count; then it is estimated."""
COUNT_BYTES_MAX = 65_536
WRONG_REQUEST = frozenset({400, 413})
"""What a provider answers that would not take the request either: the client is told so."""
NOTHING_KNOWN = Traits()


class Counted(Struct, frozen=True):
    tokens: int
    estimated: bool


class PromptCounter:
    """Counts the tokens of requests under one configuration."""

    def __init__(
        self,
        steps: Steps,
        rules: Router,
        transport: Transport,
        sizes: TokenSizes,
    ) -> None:
        """`rules` choose the target; no model is asked to route. `sizes` estimates for a target whose
        provider cannot count."""
        self._steps = steps
        self._rules = rules
        self._transport = transport
        self._sizes = sizes

    async def count(self, request: Request) -> Counted:
        """Raises:
        RequestError: its model leads nowhere, or a text of it must not pass. NoProviderLeft: its provider
            would not take the request.
        """
        steps = self._steps
        await in_task()
        if steps.guardrails or steps.guard_plugins:
            await guard_request(request, steps.guardrails, steps.guard_plugins)
        unkept = Receipt(request_id=request.id, at_unix_s=0.0, started_s=request.received_s)
        classifying = steps.classifier.classify(request)
        traits = await optional("classify", classifying, NOTHING_KNOWN, steps, unkept, Traits)
        route = await self._rules.route(request, traits)
        rough = traits.input_tokens or request.prompt_chars // CHARS_PER_TOKEN + request.media_tokens
        if route.targets:
            prompt = compose(request, traits, NO_TERMS)
            tokens = await self._ask(prompt, route.targets[0], request)
            if tokens is not None:
                return Counted(tokens, estimated=False)
            found = self._sizes.expected(route.targets[0], rough, request.media_tokens, request.body)
            rough = found.tokens
        return Counted(rough, estimated=True)

    async def _ask(self, prompt: Prompt, target: Target, request: Request) -> int | None:
        """The count by the provider of `target`. None: the request may not go there, or it cannot count, or
        did not in time.

        Raises:
            NoProviderLeft: as for `count`.
        """
        provider = self._steps.caller.within(request.endpoint, target)
        if provider is None or not provider.capabilities.counts_tokens:
            return None
        try:
            async with asyncio.timeout(COUNT_S):
                return await self._counted(provider, prompt, target, request)
        except ProviderRejected as error:
            forget_frames(error)
            if error.upstream_status not in WRONG_REQUEST:
                return None
            error.target = target.name
            raise NoProviderLeft((error,)) from None
        except (FarthingError, TimeoutError) as error:
            forget_frames(error)
            return None

    async def _counted(
        self, provider: Provider, prompt: Prompt, target: Target, request: Request
    ) -> int | None:
        """Raises:
        ProviderError: it tells no count. InvalidRequest: the request cannot be written for it.
        """
        credentials = provider.credentials
        number = 0 if credentials is None else await credentials.ready(COUNT_S)
        call = provider.count_call(prompt, target, request.id, request.passed)
        if call is None:
            return None
        exchange = await self._transport.send(provider.origin, *call, first_byte_s=COUNT_S, whole=True)
        body = await exchange.read(COUNT_BYTES_MAX)
        if exchange.status == 200:
            return provider.counted(body)
        error: ProviderError = provider.failure(exchange.status, exchange.headers, body)
        error.returned, _ = provider.down(exchange.headers, request.id)
        if credentials is not None and isinstance(error, KeyRejected):
            credentials.refused(number, lacks_right=error.lacks_right)
        raise error
