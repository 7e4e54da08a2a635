"""What a provider says where it refuses or fails."""

from farthing.errors import ProviderError, forget_frames
from farthing.protocols import Exchange

ERROR_BODY_BYTES_MAX = 65_536
ERROR_BODY_S = 5.0  # an error is short; one that does not come costs its words, not the attempt's time


async def error_body(exchange: Exchange) -> bytes:
    """The body of an error reply; empty if it cannot be read."""
    try:
        return await exchange.read(ERROR_BODY_BYTES_MAX, within_s=ERROR_BODY_S)
    except ProviderError as error:
        forget_frames(error)
        return b""
