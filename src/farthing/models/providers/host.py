"""What is known of a provider's host besides the dialect that it speaks."""

from msgspec import Struct

from farthing.dialects.chat.embedded import ANY_INPUTS, InputsMax
from farthing.dialects.chat.requests.fitting import NO_QUIRKS, Quirks
from farthing.dialects.chat.usage import UNSAID, UsageForm
from farthing.dialects.passing.operations import PASSING
from farthing.types import Operation


class HostFacts(Struct, frozen=True, kw_only=True):
    """Facts about one host."""

    usage_form: UsageForm = UNSAID
    """How it counts what it does not explain."""
    list_from: tuple[str, str] = ("", "/models")
    """What to take off the end of a base URL, and to put there instead, to ask for its models."""
    operations: frozenset[Operation] = frozenset(PASSING)
    """What it has of the operations that are passed through."""
    quirks: Quirks = NO_QUIRKS
    """What it wants otherwise than OpenAI."""
    inputs_max: InputsMax = ANY_INPUTS
    """What one call of it for embeddings takes."""
    stored_completions: bool = False
    """It keeps chat completions that ask for it."""
    cache_key: bool = False
    """It takes `prompt_cache_key`."""


UNKNOWN_HOST = HostFacts()
