"""What is booked for an answer of a provider, by the parts that do it in a gateway: the provider's reader,
whole or streamed, the price list with the operator's prices, and the accounting.
"""

from collections.abc import Sequence
from typing import cast

from tests.bills.drawn import Drawn, Wire

from farthing import config
from farthing.config import Config
from farthing.models.calling.request import CallResult
from farthing.models.discovery.presets import usage_form
from farthing.models.health.health import Health
from farthing.models.pricing.catalogue import Catalogue
from farthing.models.providers.host import HostFacts
from farthing.models.providers.kinds import make
from farthing.models.stream import Stream
from farthing.models.targets import Targets
from farthing.models.transport.origin import HttpOrigin
from farthing.protocols import StreamDecoder
from farthing.types import Attempt, Prompt, Receipt, Usage
from farthing.wiring.build import build_money

HOST = "127.0.0.1"


def configured(billers: Sequence[Wire], base_url: str = f"http://{HOST}:1") -> str:
    """A configuration with these providers, each with its model `m`, and their rates. Each has a place of its
    own at the address."""
    names = [biller.name for biller in billers]
    text = '[cache]\nexact = "off"\n'
    text += f'[tiers.cheap]\ntargets = ["{names[0]}/m"]\n[tiers.expensive]\ntargets = ["{names[0]}/m"]\n'
    for biller in billers:
        path = "" if biller.kind == "anthropic" else "/v1"
        text += f'[providers.{biller.name}]\nbase_url = "{base_url}/{biller.name}{path}"\nauth = "none"\n'
        text += f'kind = "{biller.kind}"\n'
        text += 'region = "us-east-1"\n' if biller.kind == "bedrock" else ""
        for model, prices in (("m", biller.prices), *biller.others):
            text += f'[[prices]]\ntarget = "{biller.name}/{model}"\n{prices}'
    return text


class Accounts:
    """The accounting of one provider."""

    def __init__(self, biller: Wire) -> None:
        loaded: Config = config.loads(configured([biller]), {})
        catalogue = Catalogue("test", {}).with_overrides(loaded.prices)
        targets = Targets(loaded, catalogue)
        found = targets.get(f"{biller.name}/m")
        assert found is not None
        self._target = found
        self._money = build_money(loaded, targets, catalogue.version)
        self._provider = make(
            biller.name,
            HttpOrigin(biller.name, HOST, 1, False),
            loaded.providers[biller.name],
            path="/v1",
            host=HostFacts(usage_form=usage_form(biller.name, HOST)),
        )
        self._biller = biller

    def whole(self, drawn: Drawn) -> Attempt:
        prompt = _prompt(drawn, stream=False)
        result = self._result()
        result.reply = self._provider.whole({}, self._biller.whole(drawn), prompt)
        return self._booked(result, prompt)

    def streamed(self, drawn: Drawn, piece_bytes: int) -> Attempt:
        prompt = _prompt(drawn, stream=True)
        result = self._result()
        reader = self._provider.decoder(1_000_000, prompt)
        events = self._biller.events(drawn)
        for begin in range(0, len(events), piece_bytes):
            reader.feed(events[begin : begin + piece_bytes])
        reader.end()
        result.stream = cast(Stream, _Read(reader))
        result.ended_s = 0.0
        return self._booked(result, prompt)

    def _result(self) -> CallResult:
        attempt = Attempt(target=self._target.name, tier="", started_ms=0.0)
        return CallResult(self._target, attempt, cast(Health, None))

    def _booked(self, result: CallResult, prompt: Prompt) -> Attempt:
        self._money.account(result, prompt, Receipt(request_id="r", at_unix_s=0.0, started_s=0.0))
        return result.attempt


class _Read:
    """A stream that was read to its end."""

    def __init__(self, reader: StreamDecoder) -> None:
        self.reader = reader

    @property
    def usage(self) -> Usage | None:
        return self.reader.usage


def _prompt(drawn: Drawn, stream: bool) -> Prompt:
    body = {"model": "m", "messages": [{"role": "user", "content": "How cold is it?"}], **drawn.asked}
    return Prompt(body=body, input_tokens=5, input_tokens_bound=None, output_tokens_max=None, stream=stream)
