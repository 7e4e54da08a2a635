"""Where output goes: a terminal has a width of its own, a file or a pipe gets one that is read well."""

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 120  # of what goes to a file or a pipe, unless COLUMNS says otherwise


def console(*, stderr: bool = False) -> "Console":
    """For tables and marked-up text on standard output, or on standard error."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    told = stream.isatty() or os.environ.get("COLUMNS", "").isdecimal()
    return Console(stderr=stderr, highlight=False, width=None if told else WIDTH)
