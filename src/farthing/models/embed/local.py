"""A small model with its tokenizer, in a thread of its own, so the event loop never waits for it."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from farthing.errors import ConfigError, StoreError
from farthing.models.embed.session import model_errors, open_session, open_tokenizer, require

T = TypeVar("T")

log = logging.getLogger(__name__)


class LocalModel:
    """Loads on first use, or by `warm`. `name` is how people are told of it.

    Raises:
        ConfigError: a package of the extra `semantic` is not installed.
    """

    def __init__(self, model: Path, tokenizer: Path, *, name: str, thread: str) -> None:
        require()
        self._model = model
        self._tokenizer_file = tokenizer
        self._name = name
        self._errors: tuple[type[Exception], ...] = ()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=thread)
        self.session: Any = None
        self.tokenizer: Any = None

    async def warm(self) -> None:
        """Load the model, off the event loop. A second call does nothing.

        Importing onnxruntime holds the interpreter lock for some 20 ms, so call this before the first
        request.

        Raises:
            ConfigError: a file is missing or is not of the expected kind.
        """
        await asyncio.get_running_loop().run_in_executor(self._thread, self._load)

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` in the thread, after earlier work, with `session` and `tokenizer` loaded, and return its
        result.

        Raises:
            StoreError: the model cannot be loaded, or failed.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._guarded, work)

    def _load(self) -> None:
        if self.session is None:
            tokenizer = open_tokenizer(self._tokenizer_file)
            session = open_session(self._model)
            self.tokenizer, self._errors, self.session = tokenizer, model_errors(), session

    def _guarded(self, work: Callable[[], T]) -> T:
        try:
            self._load()
        except ConfigError as error:
            log.error("the semantic cache is without %s: %s", self._name, error)
            raise StoreError(str(error)) from error
        try:
            return work()
        except self._errors as error:
            raise StoreError(f"{self._name} failed: {error}") from error

    def close(self, *, cancel: bool) -> None:
        """End the thread after its current work; `cancel`: drop the work that waits. A second call is
        harmless."""
        self._thread.shutdown(wait=False, cancel_futures=cancel)
