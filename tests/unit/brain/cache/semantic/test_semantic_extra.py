"""The extra `semantic`: the gateway runs without it, says what is missing, and its parts bear each other."""

import subprocess
import sys

from farthing.models.embed.session import MODELS

BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"numpy", "onnxruntime", "tokenizers", "numkong", "onnx"}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocked())
"""


def run(code: str) -> str:
    path = f"import sys; sys.path[:0] = {[entry for entry in sys.path if entry]!r}\n"
    done = subprocess.run(
        [sys.executable, "-c", path + code], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-2000:]}"
    return done.stdout


def test_the_gateway_and_its_commands_can_be_imported_without_the_extra() -> None:
    names = ("wiring.build", "wiring.process", "cli.main", "protocols")
    code = f"import {', '.join(f'farthing.{name}' for name in names)}; print('fine')"
    assert run(BLOCKED + code) == "fine\n"


def test_importing_the_gateway_loads_nothing_of_the_extra() -> None:
    code = """
import farthing.wiring.build, farthing.cli.main
print(sorted({"numpy", "onnxruntime", "tokenizers", "numkong"} & sys.modules.keys()))
"""
    assert run(code) == "[]\n"


def test_an_embedder_without_the_extra_names_it() -> None:
    code = """
from farthing.errors import ConfigError
from farthing.models.embed.onnx import OnnxEmbedder
try:
    OnnxEmbedder()
except ConfigError as error:
    print(error)
"""
    said = run(BLOCKED + code)
    assert "numpy, onnxruntime, tokenizers are not installed" in said
    assert "pip install 'farthing[semantic]'" in said


def test_the_index_may_be_loaded_before_the_model() -> None:
    """The two libraries' own copies of C++ get into each other's way when loaded in the wrong order."""
    code = """
import farthing.stores.vector.partitions
from farthing.models.embed.session import MODELS, open_session, open_tokenizer
open_tokenizer(MODELS / "minilm-l6.tokenizer.json")
open_session(MODELS / "minilm-l6.int8.onnx")
print("fine")
"""
    assert run(code) == "fine\n"


def test_the_model_that_is_shipped_is_as_small_as_promised() -> None:
    assert (MODELS / "minilm-l6.int8.onnx").stat().st_size <= 24_000_000
