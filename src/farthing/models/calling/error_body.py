"""What a provider says where it refuses or fails."""

from farthing.errors import ProviderError, forget_frames
from farthing.models.providers.accounts import meant
from farthing.protocols import Exchange, Provider
from farthing.types import Prompt

ERROR_BODY_BYTES_MAX = 65_536
ERROR_BODY_S = 5.0  # an error is short; one that does not come costs its words, not the attempt's time


async def error_body(exchange: Exchange) -> bytes:
    """The body of an error reply; empty if it cannot be read."""
    try:
        return await exchange.read(ERROR_BODY_BYTES_MAX, within_s=ERROR_BODY_S)
    except ProviderError as error:
        forget_frames(error)
        return b""


async def refusal(provider: Provider, exchange: Exchange, prompt: Prompt, returned: bytes) -> ProviderError:
    """What a reply to `prompt` of another status than success means. `returned`: its header lines that the
    client may see."""
    error = provider.failure(exchange.status, exchange.headers, await error_body(exchange))
    error.returned = returned
    return meant(error, prompt, provider.name)
