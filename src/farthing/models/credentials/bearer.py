"""A token as the header line that carries it."""

from collections.abc import Awaitable, Callable

from farthing.errors import ProviderUnavailable
from farthing.models.credentials.renewed import Fresh, Renewed


class Bearer(Renewed[bytes]):
    """See `protocols.BearerToken`."""

    @property
    def line(self) -> bytes:
        return self.value or b""


def bearer_of(
    what: str,
    fetch: Callable[[], Awaitable[Fresh[str]]],
    learn: Callable[[str], None],
    clock: Callable[[], float],
    more: str = "",
) -> Bearer:
    """`fetch` gives tokens; each is kept out of logs and errors from the moment it comes. `more`: header
    lines that go with every one."""

    async def lines() -> Fresh[bytes]:
        fresh = await fetch()
        token = fresh.value
        if not (token and token.isascii() and token.isprintable() and " " not in token):
            raise ProviderUnavailable(f"{what} came with characters that HTTP does not allow", again=True)
        learn(token)
        return Fresh(f"authorization: Bearer {token}\r\n{more}".encode(), fresh.life_s, fresh.renew_s)

    return Bearer(what, lines, clock)
