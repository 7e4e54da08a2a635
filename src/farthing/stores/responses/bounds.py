"""How much a store of responses may hold."""

from msgspec import Struct

from farthing.protocols import StoredResponse

RESPONSE_BYTES = 512
"""What a response takes besides its texts, rounded up: columns, index entries, slack."""


class Bounds(Struct, frozen=True, kw_only=True):
    """Most that may be held at once."""

    responses_max: int
    bytes_max: int
    tenant_share: float = 0.5
    """Of both, what one tenant may have."""
    response_bytes_max: int

    def __post_init__(self) -> None:
        if min(self.responses_max, self.bytes_max, self.response_bytes_max) < 1 or self.tenant_share <= 0:
            raise ValueError("a store needs room for something")

    @property
    def tenant_responses_max(self) -> int:
        return max(1, int(self.responses_max * self.tenant_share))

    @property
    def tenant_bytes_max(self) -> int:
        return int(self.bytes_max * self.tenant_share)

    def fits(self, size_bytes: int) -> bool:
        """Whether a response of this size may be kept at all."""
        return size_bytes <= min(self.response_bytes_max, self.tenant_bytes_max)


def size_of(response: StoredResponse) -> int:
    """Bytes that count for it."""
    return len(response.body) + len(response.items) + RESPONSE_BYTES
