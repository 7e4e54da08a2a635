"""Whose certificates are believed, and what a refused one means. Nothing here turns verification off."""

import ssl
from collections.abc import Mapping
from pathlib import Path

from farthing.config.settings.providers import no_password

UNKNOWN_AUTHORITY = frozenset({2, 18, 19, 20, 21})
"""OpenSSL's codes for a chain that ends in nobody who is trusted (X509_V_ERR_…)."""
ADVICE = (
    "if it is signed by an authority of your own (a company's proxy often signs anew), put that authority's "
    "certificate into a PEM file and name it as ca_file of the provider, or in SSL_CERT_FILE for all"
)


def ca_of_environment(env: Mapping[str, str]) -> Path | None:
    """The authorities that `REQUESTS_CA_BUNDLE` names, as other Python programs read it: a file, or a
    directory as OpenSSL wants it. None: it names none, or `SSL_CERT_FILE` or `SSL_CERT_DIR` is set, which
    OpenSSL reads by itself."""
    if env.get("SSL_CERT_FILE") or env.get("SSL_CERT_DIR"):
        return None
    named = env.get("REQUESTS_CA_BUNDLE", "").strip()
    return Path(named) if named else None


def missing_ca_of_environment(env: Mapping[str, str]) -> str | None:
    """Name of the variable that names authorities which are not there; OpenSSL says nothing of that."""
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        named = env.get(name, "").strip()
        if named and not Path(named).exists():
            return name
    return None


def client_context(
    ca: Path | None, client_cert: Path | None = None, client_key: Path | None = None, *, more: bool = False
) -> ssl.SSLContext:
    """A verifying context; reading the system's authorities takes 20 ms.

    `ca` are the authorities to trust instead of the system's, or with `more` besides them. `client_cert`
    is ours, for a server that asks for one; its key may be in the same file.

    Raises:
        OSError (of which ssl.SSLError is one): a file cannot be read, or is no PEM file.
    """
    if ca is None or more:
        context = ssl.create_default_context()
    else:
        context = ssl.create_default_context(cafile=_file(ca), capath=_folder(ca))
    if ca is not None and more:
        context.load_verify_locations(_file(ca), _folder(ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if client_cert is not None:
        context.load_cert_chain(client_cert, client_key, password=no_password)
    return context


def no_tls(place: str, error: ssl.SSLError) -> str:
    """Why TLS could not be established with `place`, in words."""
    said = f"no TLS with {place}: {error.reason or error}"
    return f"{said}; it seems to speak plain HTTP, which is http:// in base_url" if _is_plain(error) else said


def _is_plain(error: ssl.SSLError) -> bool:
    return error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG")


def certificate_refused(place: str, error: ssl.SSLCertVerificationError) -> str:
    """Why the certificate of `place` was rejected, and the fix if there is one on this side."""
    said = f"the certificate of {place} was refused: {error.verify_message}"
    return f"{said}; {ADVICE}" if error.verify_code in UNKNOWN_AUTHORITY else said


def _file(ca: Path) -> Path | None:
    return None if ca.is_dir() else ca


def _folder(ca: Path) -> Path | None:
    return ca if ca.is_dir() else None
