"""Error texts for unknown names, with suggestions. Bounded: anybody may ask for anything."""

import difflib
from collections.abc import Sequence

from farthing.config import ENDPOINT_PREFIX

NAME_CHARS_MAX = 100  # of an unknown name, shown and compared
COMPARED_MAX = 100  # comparing costs some 10 us each
SHOWN_MAX = 10
PROVIDERS_SHOWN_MAX = 3


def unknown(what: str, name: str, known: Sequence[str]) -> str:
    """The error for an unknown `what` of that name."""
    name = name[:NAME_CHARS_MAX]
    nearest = difflib.get_close_matches(name, known[:COMPARED_MAX], 3, 0.5)
    hint = f"did you mean {' or '.join(nearest)}?" if nearest else f"known: {', '.join(known[:SHOWN_MAX])}"
    return f'there is no {what} "{name}": {hint}'


def unknown_model(name: str, known: Sequence[str], near: Sequence[str], providers: Sequence[str]) -> str:
    """The error for an unknown or ambiguous model name. `near` are names of providers' models that may be
    meant."""
    name = name[:NAME_CHARS_MAX]
    if len(near) > 1 and all(one.casefold().endswith(f"/{name}".casefold()) for one in near):
        return f'more than one provider has "{name}": ask for {" or ".join(near)}'
    bare = [one for one in known if one.casefold() == f"{ENDPOINT_PREFIX}{name}".casefold()]
    own = bare or difflib.get_close_matches(name, known[:COMPARED_MAX], 3, 0.6)
    meant = list(dict.fromkeys([*near, *own]))[:3]
    more = ", and more in GET /v1/models" if len(known) > SHOWN_MAX else ""
    listed = f"known: {', '.join(known[:SHOWN_MAX])}{more}."
    hint = f"did you mean {' or '.join(meant)}?" if meant else listed
    return f'there is no model "{name}": {hint} {_by_provider(name, providers)}'


def _by_provider(name: str, providers: Sequence[str]) -> str:
    """How to ask for a model that is not listed anywhere."""
    if name.partition("/")[0] in providers or not providers:
        return "Ask for an unlisted model as provider/model"
    ways = [f"{provider}/{name}" for provider in providers[:PROVIDERS_SHOWN_MAX]]
    return f"Ask for an unlisted model with its provider: {' or '.join(ways)}"
