"""Small ONNX models on one thread of the processor. Loaded when asked for, never at import."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from farthing.errors import ConfigError

MODELS = Path(__file__).resolve().parent.parent.parent / "data" / "models"
PACKAGES = ("numpy", "onnxruntime", "tokenizers")
CHARS_MAX = 4_096
"""A text is read this far. 256 tokens of English are about 1,200 characters, and reading has its price."""
_CHARS_AT_ONCE = 1_024
"""`encode` holds the interpreter's lock: half a microsecond a character of English, one of Chinese."""
_WORD_TOKENS_MAX = 100  # `max_input_chars_per_word`: a longer word is one token, [UNK]


def require(packages: tuple[str, ...] = PACKAGES) -> None:
    """Raises:
    ConfigError: one of `packages` is not installed.
    """
    missing = [name for name in packages if not _installed(name)]
    if missing:
        raise ConfigError(
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed: "
            "pip install 'farthing[semantic]'"
        )


def _installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def open_session(model: Path) -> Any:
    """An onnxruntime session on the calling thread alone. Takes 0.1 to 0.5 s: not on the event loop.

    Raises:
        ConfigError: a package or the file is missing, or the file is not a model.
    """
    require(("numpy", "onnxruntime"))
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # from 1.32 on its wheels send events home unless this is set
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    # The graph is fused as it should be; see tools/minilm_graph.py.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    if not model.is_file():
        raise ConfigError(f"the model {model} is not there")
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except model_errors() as error:
        raise ConfigError(f"the model {model} cannot be loaded: {error}") from error


def open_tokenizer(file: Path) -> Any:
    """A tokenizer that neither pads nor truncates.

    Raises:
        ConfigError: the package or the file is missing, or the file is no tokenizer.
    """
    require(("tokenizers",))
    import tokenizers

    try:
        raw = file.read_text(encoding="utf-8")
        msgspec.json.decode(raw)  # of a file that is not JSON it says nothing but Exception
        return tokenizers.Tokenizer.from_str(raw)
    except (OSError, ValueError) as error:
        raise ConfigError(f"the tokenizer {file} cannot be loaded: {error}") from error


def model_errors() -> tuple[type[Exception], ...]:
    """The exceptions of onnxruntime, whose only common base class is Exception."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    names = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoModel", "NoSuchFile")
    more = ("NotImplemented", "RuntimeException", "EPFail")
    return tuple(getattr(state, name) for name in names + more)


def read_tokens(tokenizer: Any, text: str, tokens_max: int) -> tuple[list[int], bool]:
    """The tokens of `text`, its first and its last mark included, and whether it was cut.

    It is cut to `tokens_max` tokens, and to `CHARS_MAX` characters where they have fewer. Any string will
    do. The interpreter's lock is held for about a millisecond at most.
    """
    if not text.isascii():
        text = text.encode(errors="replace").decode()  # half of a surrogate pair is no text
    long = len(text) > _CHARS_AT_ONCE
    ids: list[int] = tokenizer.encode(text[:_CHARS_AT_ONCE]).ids
    # The word at the cut may be half of one: what counts must end before it.
    if long and len(ids) <= tokens_max + _WORD_TOKENS_MAX:
        ids = tokenizer.encode_batch_fast([text[:CHARS_MAX]])[0].ids  # lets go of the lock
    if len(ids) > tokens_max:
        return ids[: tokens_max - 1] + ids[-1:], True
    return ids, len(text) > CHARS_MAX
