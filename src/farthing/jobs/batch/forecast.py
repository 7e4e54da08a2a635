"""Which questions of a plan would be sent in a batch, and at what price. Nothing is asked or spent."""

from msgspec import Struct

from farthing.errors import FarthingError
from farthing.jobs.batch.share import LINES_MIN
from farthing.jobs.prewarm.gather import Prepared, Stage
from farthing.jobs.prewarm.run import request_for
from farthing.types import Price


class Foreseen(Struct, frozen=True, kw_only=True):
    """Questions that would be sent together, as far as the configuration alone can tell: cache content at
    that time, and the remaining budget, may reduce them."""

    target: str
    keys: tuple[str, ...]
    price: Price
    """The list price; `catalogue.in_batch` gives the batch price."""

    @property
    def cheaper(self) -> bool:
        """Whether a batch price is known; otherwise the normal price is assumed."""
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
            continue  # it will fail when asked, and be reported then
        if target is not None and target.price is not None:
            groups.setdefault(target.name, []).append(key)
            prices[target.name] = target.price
    return [
        Foreseen(target=name, keys=tuple(keys), price=prices[name])
        for name, keys in groups.items()
        if len(keys) >= LINES_MIN
    ]
