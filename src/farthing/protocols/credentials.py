"""Credentials that expire and are fetched: tokens of Entra and Google, keys of AWS."""

from typing import NamedTuple, Protocol


class Credentials(Protocol):  # models/credentials
    """What a provider proves itself by, where that is no fixed key. For one event loop; sans-I/O but for
    `ready`."""

    async def ready(self, within_s: float) -> int:
        """Return once there are credentials that hold for this call: their number, for `refused`.

        Without any I/O while those that are held are good for minutes. They are replaced ahead of time, in
        the background, by one fetch at a time; while that fails, those that still hold are used.

        Raises:
            ProviderUnavailable, ProviderTimeout: none are held, and who issues them cannot be asked now, or
                not within `within_s` seconds.
            KeyRejected: who issues them refuses what the configuration or the environment gives.
        """

    def refused(self, number: int) -> bool:
        """The provider did not take the credentials of that number. Whether another call with new ones may
        help; False: these are new themselves. Those of another number than are held now change nothing."""


class BearerToken(Credentials, Protocol):
    """A token that is one header line."""

    @property
    def line(self) -> bytes:
        """The line, with its end, as `authorization: Bearer …`; empty before the first `ready`."""


class SigningKeys(NamedTuple):
    """Keys that requests to AWS are signed with."""

    access_key: str
    secret: str
    session_token: str | None


class AwsCredentials(Credentials, Protocol):
    """Keys of AWS."""

    @property
    def keys(self) -> SigningKeys | None:
        """None before the first `ready`."""
