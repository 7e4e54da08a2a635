"""Which price list is used: that of the package, or a newer one that was fetched into the state directory."""

import logging
from importlib import resources
from pathlib import Path

from farthing.models.pricing.catalogue import Catalogue
from farthing.models.pricing.rows import File
from farthing.stores.atomic_write import write_whole

log = logging.getLogger("farthing.catalogue")

NAME = "catalogue.jsonl"
KEPT_BYTES_MAX = 67_108_864
_TOLD_MAX = 100
_told: dict[Path, str] = {}
"""Which lists cannot be used, and why, as the log has it. A start reads its list several times."""


def packaged() -> File:
    """The list that came with this version of Farthing."""
    return File(resources.files("farthing").joinpath(f"data/{NAME}").read_bytes())


def kept(state_dir: Path) -> File | None:
    """The list that was fetched; None: there is none. One that cannot be used is reported, and there is
    none."""
    path = state_dir / NAME
    try:
        if path.stat().st_size > KEPT_BYTES_MAX:
            raise ValueError(f"it has more than {KEPT_BYTES_MAX:,} bytes")
        file = File(path.read_bytes())
        _told.pop(path, None)
        return file
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as why:
        if _told.get(path) != str(why):
            log.warning(
                "%s cannot be used: %s; the package's own price list is used instead: fetch it again by "
                "`farthing models refresh`, or remove it by `farthing models refresh --forget`",
                path,
                why,
            )
            if len(_told) < _TOLD_MAX:
                _told[path] = str(why)
        return None


def current(state_dir: Path) -> Catalogue:
    """The newer of the list that was fetched and that of the package, by the day in their versions."""
    ours, fetched = packaged(), kept(state_dir)
    newer = fetched is not None and fetched.header.version[:10] >= ours.header.version[:10]
    return Catalogue.of(fetched if fetched is not None and newer else ours)


def keep(state_dir: Path, content: bytes) -> Path:
    """Write the list down, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    path = state_dir / NAME
    _told.pop(path, None)
    write_whole(path, content)
    return path


def forget(state_dir: Path) -> bool:
    """Whether there was a fetched list; now there is none."""
    path = state_dir / NAME
    _told.pop(path, None)
    existed = path.exists()
    path.unlink(missing_ok=True)
    return existed
