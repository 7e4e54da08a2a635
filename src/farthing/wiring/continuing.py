"""How the targets of a configuration go on with a broken stream, and whether any does where it is wanted."""

from collections.abc import Iterator

from farthing.config import Config
from farthing.models.continuing.forms import FormOf, form_at
from farthing.models.targets import Targets
from farthing.models.transport.origin import parse_base_url


def forms_of(config: Config) -> dict[str, FormOf]:
    """The form in which the targets of each provider go on."""
    forms = dict[str, FormOf]()
    for name, provider in config.providers.items():
        host, _, _, path = parse_base_url(provider.base_url)
        forms[name] = form_at(name, host, path, provider)
    return forms


def never_continued(config: Config, targets: Targets) -> Iterator[str]:
    """A line for each setting by which broken streams are to go on where no target of the tiers does."""
    everywhere = config.call.continue_broken_streams
    named = [name for name, one in config.endpoints.items() if one.continue_broken_streams]
    if not (everywhere or named):
        return
    forms = forms_of(config)
    able = {
        tier
        for tier, there in targets.tiers.items()
        if any((form := forms.get(one.provider)) is not None and form(one) is not None for one in there)
    }
    why = (
        "no target of {} goes on with an answer that is begun, so streams that break off end there: add one "
        "that does (docs/operations.md, Streams that break off), or leave the key out"
    )
    if everywhere and not able and targets.tiers:
        yield f"call.continue_broken_streams: {why.format('the tiers')}"
        return
    for name in named:
        endpoint = config.endpoints[name]
        own = set(targets.tiers) if endpoint.tier is None else {endpoint.tier}
        if endpoint.cascade is not None:
            own |= {endpoint.cascade.first, endpoint.cascade.then}
        if own and not own & able:
            yield f"endpoints.{name}.continue_broken_streams: {why.format('its tiers')}"
