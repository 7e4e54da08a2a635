"""How this program is called again from where the person is."""

import os
import shlex
import shutil
import sys
from pathlib import Path

SCRIPT = "farthing"


def own_command() -> str:
    """What to type, at this prompt, for the `farthing` that runs: its name where the shell finds the same
    one, else the way to its script, else Python's way to the module."""
    script = Path(sys.argv[0])
    if script.name != SCRIPT or not script.is_file():
        script = Path(sys.executable).with_name(SCRIPT)
    found = shutil.which(SCRIPT)
    if found is not None and script.is_file() and os.path.samefile(found, script):
        return SCRIPT
    if script.is_file():
        return shlex.quote(_from_here(script))
    return f"{shlex.quote(_from_here(Path(sys.executable)))} -m farthing"


def _from_here(path: Path) -> str:
    """The shorter of the whole path and the one from the working directory. No link is followed: a virtual
    environment is found by the place of its links."""
    whole = os.path.abspath(path)
    short = os.path.relpath(whole)
    return whole if short.startswith("..") else short
