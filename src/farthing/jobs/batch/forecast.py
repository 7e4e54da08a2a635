"""Which questions of a plan would go up in a batch, and at what price. Nothing is asked or spent."""

from msgspec import Struct

from farthing.errors import FarthingError
from farthing.jobs.batch.share import LINES_MIN
from farthing.jobs.prewarm.gather import Prepared, Stage
from farthing.jobs.prewarm.run import request_for
from farthing.types import Price


class Foreseen(Struct, frozen=True, kw_only=True):
    """Questions that would go up together, as far as the configuration alone can tell: what a cache has by
    then, and what the budget leaves room for, may make them fewer."""

    target: str
    keys: tuple[str, ...]
    price: Price
    """As it is listed: `catalogue.in_batch` says what a batch makes of it."""

    @property
    def cheaper(self) -> bool:
        """A batch price is known; else it is reckoned at the normal one."""
        return self.price.batch_input_pusd is not None or self.price.batch_output_pusd is not None


async def foresee(prepared: Prepared, stage: Stage) -> list[Foreseen]:
    """The batches of a plan, in the order of their first questions."""
    if stage.batch_target is None:
        return []
    groups: dict[str, list[str]] = {}
    prices: dict[str, Price] = {}
    for one in prepared.plan.questions:
        key = one.candidate.key
        try:
            request = request_for(prepared.asks[key], stage, request_id="", received_s=0.0)
            target = await stage.batch_target(request)
        except FarthingError:
            continue  # it would fail when it is asked, and say so then
        if target is not None and target.price is not None:
            groups.setdefault(target.name, []).append(key)
            prices[target.name] = target.price
    return [
        Foreseen(target=name, keys=tuple(keys), price=prices[name])
        for name, keys in groups.items()
        if len(keys) >= LINES_MIN
    ]
