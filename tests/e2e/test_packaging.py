"""The container image and the unit of systemd run the gateway that there is, as they say; CI and hooks call
targets that exist."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import click
import pytest
import yaml
from tests.conftest import StartGateway
from tests.e2e.gateway import ROOT, Running
from tests.faults.provider import FaultProvider

from farthing import config
from farthing.cli.main import cli
from farthing.wiring.process import OPENS

UNIT = ROOT / "packaging" / "farthing.service"
CONFIG = """
[server]
hosts = ["gateway.example"]
[[keys]]
tenant = "acme"
digest = "b2:{digest}"
[providers.a]
base_url = "{url}"
[tiers.cheap]
targets = ["a/good"]
"""


class Step(NamedTuple):
    """One instruction of the Dockerfile."""

    name: str
    rest: str


def dockerfile() -> list[Step]:
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [Step(*line.split(" ", 1)) for line in lines]


def last_stage() -> list[Step]:
    steps = dockerfile()
    start = max(at for at, step in enumerate(steps) if step.name == "FROM")
    return steps[start:]


def value_of(name: str) -> str:
    """What the image that runs says under this instruction, which stands there once."""
    (found,) = [step.rest for step in last_stage() if step.name == name]
    return found


def variables_of_image() -> dict[str, str]:
    return dict(word.split("=", 1) for word in shlex.split(value_of("ENV")))


def settings_of_unit() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            name, value = line.split("=", 1)
            found.setdefault(name, []).append(value)
    return found


def parses(words: list[str]) -> None:
    """There is such a command, and it takes these options."""
    context = click.Context(cli)
    command = cli.get_command(context, words[0])
    assert command is not None
    command.make_context(words[0], words[1:], parent=context)


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


# -- the image ------------------------------------------------------------------------------------------


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    taken = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        source
        for step in dockerfile()
        if step.name == "COPY" and "--from=" not in step.rest
        for source in step.rest.split()[:-1]
    }
    assert copied == taken
    assert all((ROOT / source).exists() for source in copied)


def test_the_image_has_all_that_the_package_is_built_from() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    copied = " ".join(step.rest for step in dockerfile() if step.name == "COPY").split()
    (readme,) = re.findall(r'^readme = "(.*)"', project, re.MULTILINE)
    (licences,) = re.findall(r"^license-files = (\[.*\])", project, re.MULTILINE)
    assert {readme, *json.loads(licences), "pyproject.toml", "src"} <= set(copied)


def test_the_image_runs_as_nobody_in_particular_and_keeps_its_state_in_a_volume() -> None:
    variables = variables_of_image()
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", value_of("USER"))
    assert value_of("VOLUME") == variables["FARTHING__STATE_DIR"]
    assert value_of("EXPOSE") == str(config.PORT)
    order = [step.name for step in last_stage()]
    assert order.index("USER") > max(at for at, name in enumerate(order) if name in ("RUN", "COPY"))


def test_the_image_is_of_a_python_that_the_package_is_for() -> None:
    (version,) = re.findall(r"PYTHON=(\S+)", dockerfile()[0].rest)
    assert f'"Programming Language :: Python :: {version}"' in (ROOT / "pyproject.toml").read_text()


def test_the_command_of_the_image_serves_and_its_health_check_tells_whether_it_does(
    start_gateway: StartGateway, upstream: FaultProvider, tmp_path: Path
) -> None:
    entry, command = json.loads(value_of("ENTRYPOINT")), json.loads(value_of("CMD"))
    assert entry == ["farthing"]
    parses(command)
    check = json.loads(value_of("HEALTHCHECK").partition(" CMD ")[2])
    assert check[0] == "python"
    gateway = start_gateway(CONFIG.format(url=upstream.base_url, digest="0" * 64), tmp_path / "up")
    assert healthy(check, gateway)
    gateway.stop()
    assert not healthy(check, gateway)


def healthy(check: list[str], gateway: Running) -> bool:
    env = {**os.environ, "FARTHING__SERVER__PORT": str(gateway.port)}
    done = subprocess.run([sys.executable, *check[1:]], env=env, capture_output=True, timeout=50)
    return done.returncode == 0


def test_every_command_in_the_image_finds_the_mounted_file_and_the_state(tmp_path: Path) -> None:
    variables = variables_of_image()
    mounted = Path(variables["XDG_CONFIG_HOME"]) / "farthing" / "farthing.toml"
    assert str(mounted) == "/etc/farthing/farthing.toml"
    (tmp_path / "farthing").mkdir()
    (tmp_path / "farthing" / "farthing.toml").write_text("")
    found = config.default_file({**variables, "XDG_CONFIG_HOME": str(tmp_path)})
    assert found == tmp_path / "farthing" / "farthing.toml"


def test_what_listens_on_all_addresses_asks_for_keys(tmp_path: Path) -> None:
    assert "--host" in json.loads(value_of("CMD")) and "host_widened" in OPENS
    env = {**os.environ, **variables_of_image(), "XDG_CONFIG_HOME": str(tmp_path), "PATH": os.defpath}
    env |= {"OPENAI_API_KEY": "none", "FARTHING__STATE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT / "src")}
    words = [sys.executable, "-m", "farthing", *json.loads(value_of("CMD")), "--port", "0"]
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=50)
    assert done.returncode == 2
    assert "allow_keyless" in done.stderr


# -- the unit -------------------------------------------------------------------------------------------


def test_the_unit_starts_a_command_that_there_is_and_stops_it_as_the_gateway_drains() -> None:
    settings = settings_of_unit()
    (start,) = settings["ExecStart"]
    path, command, *rest = shlex.split(start)
    assert path.endswith("/bin/farthing")
    parses([command, *rest])
    assert float(settings["TimeoutStopSec"][0]) == config.ServerConfig().drain_s + 10
    assert int(settings["LimitNOFILE"][0]) > 2 * config.ServerConfig().connections_max
    assert settings["Environment"] == ["FARTHING__STATE_DIR=%S/" + settings["StateDirectory"][0]]
    assert settings["ExecReload"] == ["/bin/kill -HUP $MAINPID"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_systemd_finds_no_fault_in_the_unit_and_little_that_it_exposes(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={sys.executable}", UNIT.read_text(), flags=re.M))
    said = analysed("verify", "--man=no", str(unit))
    assert [line for line in said.splitlines() if UNIT.name in line] == []
    said = analysed("security", "--offline=true", str(unit))
    if "Overall exposure" not in said:
        pytest.skip("this systemd cannot judge a unit that is not loaded")
    (exposure,) = re.findall(r"Overall exposure level for \S+ ([\d.]+)", said)
    assert float(exposure) < 2.0, said


def analysed(*words: str) -> str:
    done = subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, timeout=50)
    return done.stdout + done.stderr


# -- CI and hooks ---------------------------------------------------------------------------------------


def test_ci_runs_targets_of_the_makefile_with_no_rights_but_to_read() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    assert workflow["permissions"] == {"contents": "read"}
    lines = [
        line
        for job in workflow["jobs"].values()
        for step in job["steps"]
        for line in step.get("run", "").splitlines()
    ]
    made = [re.match(r"make ([a-z]+)", line) for line in lines]
    called = {match[1] for match in made if match}
    assert {"check", "test", "image", "conformance"} == called <= targets()
    assert all("timeout-minutes" in job for job in workflow["jobs"].values())


def test_hooks_are_of_this_repository_and_call_targets_of_the_makefile() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [one["repo"] for one in hooks["repos"]] == ["local"]
    entries = [hook["entry"].split() for one in hooks["repos"] for hook in one["hooks"]]
    assert all(words[0] == "make" and words[1] in targets() for words in entries)
    assert ["make", "check"] in entries


def test_every_target_is_told_of_by_make_alone() -> None:
    text = (ROOT / "Makefile").read_text()
    help_text = text.partition("\nhelp:")[2].partition("\n\n")[0]
    assert set(re.findall(r"make ([a-z]+)", help_text)) == targets() - {"help"}
    (phony,) = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert set(phony.split()) == targets()
