"""Credentials that are fetched, one object for each provider that has such; they outlive a reload that does
not change them."""

import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from farthing.config import AnyProviderConfig, Config, proof_of
from farthing.config.settings.credentials import AwsConfig, EntraConfig, GoogleConfig
from farthing.errors import ConfigError
from farthing.models.credentials import entra, google
from farthing.models.credentials.asking import Issuers
from farthing.models.credentials.aws import aws_keys
from farthing.models.credentials.entra import entra_token
from farthing.models.credentials.google import google_token
from farthing.models.transport.origin import HttpOrigin
from farthing.protocols import Credentials, Transport
from farthing.runtime.redact import Redactor

MAKERS: Mapping[
    str, tuple[type[Any], Callable[[Any, Mapping[str, str], Issuers, Callable[[], float]], Any]]
] = {
    "entra": (EntraConfig, entra_token),
    "google": (GoogleConfig, google_token),
    "aws": (AwsConfig, aws_keys),
}
"""By what `auth` says: the table that says more, which bears the same name, and what makes them."""
SIGNERS: Mapping[str, tuple[type[Any], Callable[[Any, Mapping[str, str]], Path | None]]] = {
    "entra": (EntraConfig, entra.signed_by),
    "google": (GoogleConfig, google.signed_by),
}
"""By what `auth` says: what tells the file whose key the gateway signs with."""
Reach = Callable[[str, AnyProviderConfig, str, bool], HttpOrigin]


class CredentialsParts:
    """What is held for the providers of the configurations of one process."""

    def __init__(self, transport: Transport, redact: Redactor, reach: Reach) -> None:
        """`reach` tells how an address is reached for the provider of that name, past its proxy or not."""
        self._transport = transport
        self._redact = redact
        self._reach = reach
        self._held: dict[str, tuple[object, Credentials]] = {}

    def of(
        self, name: str, config: AnyProviderConfig, env: Mapping[str, str] = os.environ
    ) -> Credentials | None:
        """Those of a provider; None: its key is fixed.

        Raises:
            ConfigError: what is given for them is incomplete, or of a kind that is not supported.
        """
        auth = proof_of(config)
        found = MAKERS.get(auth)
        if found is None:
            return None
        table, made = found
        given = getattr(config, auth) or table()
        key = (auth, given, config.ca_file, config.proxy)
        held = self._held.get(name)
        if held is not None and held[0] == key:
            return held[1]
        issuers = Issuers(
            name,
            self._transport,
            partial(self._reach, name, config),
            time.time,
            self._redact.learn_issued,
            self._redact.text,
        )
        try:
            credentials: Credentials = made(given, env, issuers, time.monotonic)
        except ConfigError as why:
            told = str(why)
            raise ConfigError(
                told if told.startswith("providers.") else f"providers.{name}.{auth}: {told}"
            ) from None
        self._held[name] = (key, credentials)
        return credentials

    def keep(self, names: Collection[str]) -> None:
        """Forget those of providers that are configured no more."""
        self._held = {name: one for name, one in self._held.items() if name in names}


def unsigned(config: Config, env: Mapping[str, str]) -> Iterator[str]:
    """A line for each provider whose credentials have to be signed and cannot be."""
    for name, provider in config.providers.items():
        auth = proof_of(provider)
        if auth not in SIGNERS:
            continue
        table, signed_by = SIGNERS[auth]
        given = getattr(provider, auth) or table()
        file = signed_by(given, env)
        if file is not None and not os.access(file.expanduser(), os.R_OK):
            yield (
                f"providers.{name}.{auth}: {file} cannot be read, so no token can be had; look at its path "
                "and its mode"
            )
        elif file is not None and find_spec("cryptography") is None:
            yield (
                f"providers.{name}.{auth}: tokens for {file} have to be signed, which needs the package "
                "cryptography; install farthing[cloud]"
            )


class _NoTransport:
    """For a look at a configuration that fetches nothing."""

    async def send(self, origin: Any, head: bytes, body: bytes, *, first_byte_s: float, whole: bool) -> Any:
        raise AssertionError("nothing is fetched to check a configuration")

    async def aclose(self) -> None:
        """Nothing is open."""


def check_credentials(name: str, config: AnyProviderConfig, env: Mapping[str, str], reach: Reach) -> None:
    """Raises:
    ConfigError: as `CredentialsParts.of`.
    """
    CredentialsParts(_NoTransport(), Redactor(), reach).of(name, config, env)
