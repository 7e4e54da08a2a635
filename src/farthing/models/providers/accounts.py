"""Refusals of our own key or account that come with the status of a wrong request: told by how their words
begin, which some providers give no code of their own. A client whose request has these words itself teaches
nothing by them.
"""

from msgspec import Struct

from farthing.errors import KeyRejected, ProviderError, ProviderRejected
from farthing.models.providers.failures import key_rejected
from farthing.models.providers.learnt import is_asked
from farthing.types import Prompt


class Refusal(Struct, frozen=True):
    """What one provider says, in small letters."""

    status: int
    begins: str
    holds: str = ""
    """What stands behind that."""
    of_the_key: bool = False
    """It is the key that is wrong; else its account has no money left."""

    def matches(self, status: int | None, words: str) -> bool:
        return status == self.status and words.startswith(self.begins) and self.holds in words


REFUSALS = (
    Refusal(400, "incorrect api key provided", of_the_key=True),  # xAI
    Refusal(400, "api key not valid", of_the_key=True),  # Gemini, where it gives no details
    Refusal(400, "your credit balance is too low"),  # Anthropic
    Refusal(
        412, "account ", " is suspended, possibly due to reaching the monthly spending limit"
    ),  # Fireworks
)


def meant(error: ProviderError, prompt: Prompt, provider: str) -> ProviderError:
    """`error`, which `provider` answered to `prompt`, or what it means."""
    if not isinstance(error, ProviderRejected) or isinstance(error, KeyRejected) or error.spent:
        return error
    words = str((error.said or {}).get("message")).lower()
    refusal = next((one for one in REFUSALS if one.matches(error.upstream_status, words)), None)
    if refusal is None or is_asked((refusal.holds or refusal.begins).strip(), prompt):
        return error
    if not refusal.of_the_key:
        error.spent = True
        return error
    rejected = key_rejected(provider, refusal.status)
    rejected.returned = error.returned
    return rejected
