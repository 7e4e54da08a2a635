"""A request that is passed through: as its client sent it, but for the name of its model."""

from farthing.dialects.passing import form
from farthing.dialects.splice import spliced
from farthing.text.lenient_json import write_json
from farthing.types import Sent


def with_model(sent: Sent, model: str) -> bytes:
    """The body that goes up to the provider of `model`: the client's own bytes where they name no other.
    Where the client leaves its model to the provider, so do we."""
    said = sent.body.get("model")
    asked = sent.read.get("model")
    if said == model or (said is None and not asked):
        return sent.raw
    if sent.is_form:
        return form.with_model(sent.raw, sent.model_at, model)
    changed = spliced(sent.raw, {"model": model}, sent.body.keys())
    return write_json({**sent.body, "model": model}) if changed is None else changed
