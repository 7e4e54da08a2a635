"""Drift references in the state directory: `drift/ENDPOINT.json`, one per endpoint."""

import logging
from pathlib import Path
from urllib.parse import quote

import msgspec

from farthing.errors import ConfigError
from farthing.guarantees.drift.detect import Reference
from farthing.stores.atomic_write import write_whole

VERSION = 1
MADE_BY = "farthing drift --set"

log = logging.getLogger("farthing.drift")


def place(state_dir: Path, endpoint: str) -> Path:
    """Path of the reference of `endpoint`. Any endpoint name gives a safe file name."""
    return state_dir / "drift" / f"{quote(endpoint, safe='')}.json"


def save(state_dir: Path, reference: Reference) -> Path:
    """Write the reference atomically and return its path.

    Raises:
        OSError: it cannot be written.
    """
    path = place(state_dir, reference.endpoint)
    write_whole(path, msgspec.json.format(msgspec.json.encode(reference), indent=2) + b"\n")
    return path


def load(path: Path) -> Reference | None:
    """The reference in a file; None if there is no file.

    Raises:
        ConfigError: it cannot be read; the message names the command that makes a new one.
    """
    try:
        reference = msgspec.json.decode(path.read_bytes(), type=Reference)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"the reference {path} cannot be read: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is no reference: {error}; make a new one with `{MADE_BY}`") from error
    if reference.version != VERSION:
        raise ConfigError(
            f"the reference {path} has version {reference.version}, this Farthing reads {VERSION}; "
            f"make a new one with `{MADE_BY}`"
        )
    if not all(shape.sound for shape in reference.shapes.values()):
        raise ConfigError(f"{path} has impossible counts; make a new one with `{MADE_BY}`")
    return reference


class References:
    """The references of one state directory, with change detection."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir / "drift"
        self._stamp: tuple[tuple[str, int], ...] | None = None

    def changed(self) -> list[Reference] | None:
        """All references if any changed since the last call; None if none did. An unreadable one is left out
        and logged."""
        stamp = self._stamped()
        if stamp == self._stamp:
            return None
        self._stamp = stamp
        found = []
        for name, _ in stamp:
            try:
                reference = load(self._folder / name)
            except ConfigError as error:
                log.error("drift of %s is not monitored: %s", name, error)
                continue
            if reference is not None:
                found.append(reference)
        return found

    def _stamped(self) -> tuple[tuple[str, int], ...]:
        try:
            return tuple(sorted((path.name, path.stat().st_mtime_ns) for path in self._folder.glob("*.json")))
        except OSError:  # a file was replaced meanwhile: the next call sees it
            return self._stamp or ()
