"""Secret values: shown by the name of their variable, or kept as a digest."""

import hashlib


class Secret:
    """A value from the environment, shown only by the name of its variable."""

    __slots__ = ("name", "value")

    def __init__(self, name: str, value: str) -> None:
        self.name = name
        self.value = value

    def __repr__(self) -> str:
        return f"${{{self.name}}}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and (self.name, self.value) == (other.name, other.value)

    def __hash__(self) -> int:
        return hash((self.name, self.value))

    def __reduce__(self) -> str:
        raise TypeError("a Secret is never serialised")


class Address:
    """A URL that may contain credentials: written in the file without any, or completely in the
    environment."""

    __slots__ = ("_secret", "_text")

    def __init__(self, given: str | Secret) -> None:
        self._secret = given if isinstance(given, Secret) else None
        self._text = "" if isinstance(given, Secret) else given

    @property
    def secret(self) -> bool:
        """Whether it comes from the environment."""
        return self._secret is not None

    @property
    def value(self) -> str:
        return self._text if self._secret is None else self._secret.value

    def __repr__(self) -> str:
        return self._text if self._secret is None else repr(self._secret)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Address) and (self._text, self._secret) == (other._text, other._secret)

    def __hash__(self) -> int:
        return hash((self._text, self._secret))


def key_digest(key: str) -> str:
    """The stored digest of an API key: enough to recognise it, not enough to use it."""
    return "b2:" + hashlib.blake2b(key.encode(), digest_size=32, key=b"farthing api key v1").hexdigest()
