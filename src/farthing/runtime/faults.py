"""Logs the failure of a task that never ends by itself."""

import asyncio
import logging
from collections.abc import Callable


def log_fault(log: logging.Logger, message: str) -> Callable[["asyncio.Task[None]"], None]:
    """A callback for `add_done_callback`. It logs `message` and the traceback, as an error, if the task
    raised; of a task that was cancelled, or returned, it logs nothing."""

    def ended(task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error(message, exc_info=error)

    return ended
