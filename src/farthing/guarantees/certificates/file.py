"""Certificate files of every kind: JSON, written atomically, read strictly, valid for a quarter."""

from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import quote

import msgspec

from farthing.errors import ConfigError
from farthing.guarantees.certificates import renamed
from farthing.stores.atomic_write import write_whole

AGE_MAX_S = 90 * 86_400.0  # traffic drifts; a measurement is trusted for a quarter
AHEAD_MAX_S = 86_400.0  # the clocks of two machines may differ


class Versioned(Protocol):
    """A struct that carries the version of its format, and so can be stored here."""

    @property
    def version(self) -> int: ...


Kind = TypeVar("Kind", bound=Versioned)


def place(state_dir: Path, kind: str, endpoint: str) -> Path:
    """Path of the certificate of `endpoint`. Any endpoint name gives a safe file name."""
    return state_dir / "certificates" / f"{kind}-{quote(endpoint, safe='')}.json"


def save(path: Path, certificate: Versioned) -> None:
    """Write the certificate atomically.

    Raises:
        OSError: it cannot be written.
    """
    write_whole(path, msgspec.json.format(renamed.encode(certificate), indent=2) + b"\n")


def load(path: Path, kind: type[Kind], *, version: int, made_by: str) -> Kind | None:
    """The certificate in a file; None if there is no file.

    Raises:
        ConfigError: it cannot be read; the message names the command that makes a new one.
    """
    try:
        certificate = renamed.decode(path.read_bytes(), kind)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"the certificate {path} cannot be read: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is no certificate: {error}; make a new one with `{made_by}`") from error
    if certificate.version != version:
        raise ConfigError(
            f"the certificate {path} has version {certificate.version}, this Farthing reads {version}; "
            f"make a new one with `{made_by}`"
        )
    return certificate


def too_old(made_unix_s: float, now_unix_s: float) -> list[str]:
    """Why the certificate is too old; empty: it is not."""
    age_s = now_unix_s - made_unix_s
    if age_s < -AHEAD_MAX_S:
        return ["it was made in the future: the clock was wrong then, or is now"]
    if age_s <= AGE_MAX_S:
        return []
    return [f"it is {age_s / 86_400:.0f} days old, at most {AGE_MAX_S / 86_400:.0f} are allowed"]
