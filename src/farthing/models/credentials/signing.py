"""Signed assertions (RFC 7523): the one place that needs the package `cryptography`, and only if one is
made."""

from base64 import urlsafe_b64encode
from typing import Any

import msgspec

from farthing.errors import KeyRejected
from farthing.types import Json

_encode = msgspec.json.Encoder().encode


def part(value: bytes) -> str:
    """Base64 as assertions have it (RFC 7515, 2)."""
    return urlsafe_b64encode(value).rstrip(b"=").decode()


class Signer:
    """A private RSA key."""

    def __init__(self, pem: bytes, whose: str) -> None:
        """`whose` names the key in errors.

        Raises:
            KeyRejected: it is none, or the package is not installed.
        """
        try:
            from cryptography.hazmat.primitives.asymmetric import rsa
            from cryptography.hazmat.primitives.serialization import load_pem_private_key
        except ImportError:
            raise KeyRejected(
                f"{whose}: signing needs the package cryptography; install farthing[cloud]"
            ) from None
        try:
            key = load_pem_private_key(pem, None)
        except (ValueError, TypeError):  # no PEM; one with a password
            raise KeyRejected(
                f"{whose} is no private key in PEM form without a password; write it anew"
            ) from None
        if not isinstance(key, rsa.RSAPrivateKey):
            raise KeyRejected(f"{whose} is no RSA key; its issuer takes no other")
        self._key = key

    def assertion(self, header: Json, claims: Json, *, padding: str = "PKCS1v15") -> str:
        """A signed JWT: RS256, or PS256 with `padding` `PSS`."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding as paddings

        said = f"{part(_encode(header))}.{part(_encode(claims))}"
        how: Any = paddings.PKCS1v15()
        if padding == "PSS":
            how = paddings.PSS(mgf=paddings.MGF1(hashes.SHA256()), salt_length=32)
        return f"{said}.{part(self._key.sign(said.encode(), how, hashes.SHA256()))}"


def certificate_digest(pem: bytes, whose: str) -> str:
    """The SHA-256 of the first certificate in `pem`, as `x5t#S256` has it.

    Raises:
        KeyRejected: there is none.
    """
    import hashlib
    import ssl

    text = pem.decode("latin-1")
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    at, to = text.find(begin), text.find(end)
    try:
        der = ssl.PEM_cert_to_DER_cert(text[at : to + len(end)]) if at >= 0 < to else b""
    except ValueError:
        der = b""
    if not der:
        raise KeyRejected(f"{whose} has no certificate in PEM form; put it beside its key in that file")
    return part(hashlib.sha256(der).digest())
