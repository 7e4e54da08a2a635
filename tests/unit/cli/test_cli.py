"""The frame of the command line: quick help, exit statuses, errors that say what to do."""

import io
import json
import os
import resource
import subprocess
import sys
import tomllib
import urllib.request
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

import farthing
from farthing import config
from farthing.cli.main import COMMANDS, main

SOURCE = str(Path(farthing.__file__).parents[1])


@dataclass(frozen=True)
class Told:
    """What a command said, and its exit status."""

    returncode: int
    stdout: str
    stderr: str


def process(*args: str, cwd: Path | None = None, **env: str) -> Told:
    """The real command in a process of its own, with nothing in its environment but `env`."""
    done = subprocess.run(
        [sys.executable, "-c", "from farthing.cli.main import main; main()", *args],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=30,
        env={"PYTHONPATH": SOURCE, "PATH": os.environ["PATH"], "HOME": str(cwd or "/nonexistent"), **env},
    )
    return Told(done.returncode, done.stdout, done.stderr)


def run(*args: str, cwd: Path | None = None, text: str = "", **env: str) -> Told:
    """The command as `process` runs it, in this one: to start it costs most of what it takes."""
    outside = {"PATH": os.environ["PATH"], "HOME": str(cwd or "/nonexistent"), **env}
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name in set(os.environ) - set(outside):
            patch.delenv(name)
        for name, value in outside.items():
            patch.setenv(name, value)
        patch.setattr(sys, "stdin", io.StringIO(text))
        if cwd is not None:
            patch.chdir(cwd)
        mask = os.umask(0)
        os.umask(mask)
        try:
            with pytest.raises(SystemExit) as left:
                main([*args])
        finally:
            os.umask(mask)
    return Told(int(left.value.code or 0), out.getvalue(), err.getvalue())


def test_help_names_every_command_and_imports_none_of_them() -> None:
    program = (
        "import sys\nfrom farthing.cli.main import main\n"
        "try: main(['--help'])\nexcept SystemExit as left: print('status', left.code)\n"
        "heavy = {'msgspec', 'rich', 'uvloop', 'httptools', 'apsw', 'asyncio', 'farthing.config'}\n"
        "print('imported', sorted(heavy.intersection(sys.modules)))"
    )
    env = {"PYTHONPATH": SOURCE, "PATH": os.environ["PATH"]}
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=env, timeout=30
    )
    assert "status 0" in told.stdout and "imported []" in told.stdout, told.stdout + told.stderr
    for name in (*COMMANDS, "version"):
        assert f"\n  {name} " in told.stdout


def test_help_takes_at_most_a_quarter_of_a_second_of_cpu() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert process("--help").returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.25


def test_version_is_the_package_version() -> None:
    assert run("version").stdout == run("--version").stdout == f"farthing {farthing.__version__}\n"
    assert json.loads(run("version", "--json").stdout) == {
        "name": "farthing",
        "version": farthing.__version__,
    }


@pytest.mark.parametrize("args", [["serv"], ["check", "--nope"], ["keys", "new"], []])
def test_a_wrong_call_is_status_2_and_shows_how_to_call(args: list[str]) -> None:
    told = run(*args)
    assert told.returncode == 2 and "farthing" in told.stderr and "Traceback" not in told.stderr


# -- check ------------------------------------------------------------------------------------------


def test_check_prints_what_a_good_file_comes_to(tmp_path: Path) -> None:
    (tmp_path / "farthing.toml").write_text(
        'providers.a = { base_url = "http://h/v1", api_key = "${A_KEY}" }\n'
        'prices = [{ target = "a/b", input = 1.5, output = 2 }]'
    )
    told = run("check", cwd=tmp_path, A_KEY="sk-canary", FARTHING__SERVER__PORT="9000")
    assert told.returncode == 0 and "canary" not in told.stdout
    shown = tomllib.loads(told.stdout)
    assert shown["server"]["port"] == 9000 and shown["providers"]["a"]["api_key"] == "${A_KEY}"
    as_json = json.loads(run("check", "farthing.toml", "--json", cwd=tmp_path, A_KEY="sk-canary").stdout)
    assert as_json["ok"] is True and as_json["config"]["prices"][0]["input"] == 1.5
    assert as_json["config"]["providers"]["a"]["api_key"] == "${A_KEY}"


def test_check_does_not_print_a_header_whose_name_says_that_it_is_secret(tmp_path: Path) -> None:
    (tmp_path / "farthing.toml").write_text(
        'providers.a = { base_url = "http://h/v1", headers = { x-custom-token = "canary", x-team = "red" } }'
    )
    for more in ((), ("--json",)):
        told = run("check", *more, cwd=tmp_path)
        assert told.returncode == 0 and "canary" not in told.stdout
        assert "[secret]" in told.stdout and "red" in told.stdout


@pytest.mark.slow
def test_check_warns_of_a_semantic_cache_without_a_judge_and_only_of_that(tmp_path: Path) -> None:
    base = '[providers.a]\nbase_url = "http://h/v1"\n[tiers.cheap]\ntargets = ["a/first"]\n'
    base += '[[prices]]\ntarget = "a/first"\ninput = 0\noutput = 0\n'
    unjudged = f'{base}[endpoints.faq.cache.semantic]\nmode = "observe"\n'
    (tmp_path / "farthing.toml").write_text(unjudged)
    told = run("check", cwd=tmp_path)
    assert told.returncode == 0 and tomllib.loads(told.stdout)
    (line,) = told.stderr.splitlines()
    assert line.startswith("warning: farthing.toml:9: endpoints.faq.cache.semantic.judge: without a judge")
    assert "trips the monitor" in line and line.endswith("name a target as its judge")
    assert len(json.loads(run("check", "--json", cwd=tmp_path).stdout)["advice"]) == 1
    (tmp_path / "farthing.toml").write_text(f'{unjudged}judge = "a/first"\n')
    told = run("check", cwd=tmp_path)
    assert told.returncode == 0 and told.stderr == ""


@pytest.mark.parametrize("text", ["", "[server]\nport = 9000\n"])
def test_check_says_of_a_file_that_cannot_answer_what_serve_says(tmp_path: Path, text: str) -> None:
    (tmp_path / "farthing.toml").write_text(text)
    checked, served = run("check", cwd=tmp_path), process("serve", cwd=tmp_path)
    assert checked.returncode == served.returncode == 2
    assert checked.stderr == served.stderr
    assert checked.stderr.startswith("error: farthing.toml: nothing can answer; add [providers.NAME]")


def test_check_warns_of_words_that_no_request_can_have(tmp_path: Path) -> None:
    (tmp_path / "farthing.toml").write_text(
        'providers.a = { base_url = "http://h/v1" }\ntiers.cheap = { targets = ["a/b"] }\n'
        '[[route.rules]]\nwhen = \'task in ["faqs", "qa"]\'\ntier = "cheap"\n'
        '[[prices]]\ntarget = "a/b"\ninput = 0\noutput = 0\n'
    )
    told = run("check", cwd=tmp_path)
    assert told.returncode == 0
    assert told.stderr == (
        'warning: farthing.toml:4: route.rules[0].when: no request has the task "faqs"; write "faq"\n'
    )


def test_check_warns_where_the_extra_is_missing_that_serve_needs(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as util\n"
        "found = util.find_spec\n"
        "util.find_spec = lambda name, package=None: None if name == 'numkong' else found(name, package)\n"
    )
    (tmp_path / "farthing.toml").write_text(
        'providers.a = { base_url = "http://h/v1" }\ntiers.cheap = { targets = ["a/b"] }\n'
        '[endpoints.faq.cache.semantic]\nmode = "observe"\njudge = "a/b"\n'
    )
    told = process("check", cwd=tmp_path, PYTHONPATH=f"{tmp_path}:{SOURCE}")
    assert told.returncode == 0
    assert "the semantic cache cannot be used here: numkong is not installed: pip install" in told.stderr


def test_check_refuses_a_bad_file_with_every_fault_and_status_2(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("[server]\nprot = 1\nhost = 5\n")
    told = run("check", "bad.toml", cwd=tmp_path)
    assert told.returncode == 2 and told.stdout == ""
    assert told.stderr.splitlines() == [
        'error: bad.toml:2: server: unknown key "prot"; did you mean "port"?',
        "error: bad.toml:3: server.host: expected text in quotes, got the number 5",
    ]
    told = run("check", "bad.toml", "--json", cwd=tmp_path)
    assert told.returncode == 2 and len(json.loads(told.stdout)["errors"]) == 2


@pytest.mark.parametrize("words", [("check",), ("precompute",), ("serve", "--no-detect")])
def test_without_any_file_all_places_that_were_looked_at_are_named(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    told = (process if "serve" in words else run)(*words, cwd=tmp_path, XDG_CONFIG_HOME=str(tmp_path / "xdg"))
    said = " ".join(told.stderr.split())
    assert told.returncode == 2 and "FARTHING_CONFIG is not set" in said
    assert f"neither farthing.toml nor {tmp_path}/xdg/farthing/farthing.toml" in said
    assert "--config" in said and "farthing init" in said


def test_check_takes_the_file_that_serve_would_find(tmp_path: Path) -> None:
    (tmp_path / "xdg" / "farthing").mkdir(parents=True)
    answers = '[providers.p]\nbase_url = "http://127.0.0.1:9/v1"\n[tiers.one]\ntargets = ["p/m"]\n'
    (tmp_path / "xdg" / "farthing" / "farthing.toml").write_text(f"{answers}[server]\nport = 9001\n")
    told = run("check", "--json", cwd=tmp_path, XDG_CONFIG_HOME=str(tmp_path / "xdg"))
    assert json.loads(told.stdout)["config"]["server"]["port"] == 9001
    (tmp_path / "farthing.toml").write_text(f"{answers}[server]\nport = 9002\n")
    told = run("check", "--json", cwd=tmp_path, XDG_CONFIG_HOME=str(tmp_path / "xdg"))
    assert json.loads(told.stdout)["config"]["server"]["port"] == 9002


@pytest.mark.slow
def test_a_file_that_a_variable_names_comes_before_those_that_are_found(tmp_path: Path) -> None:
    answers = '[providers.p]\nbase_url = "http://127.0.0.1:9/v1"\n[tiers.one]\ntargets = ["p/m"]\n'
    (tmp_path / "farthing.toml").write_text(f"{answers}[server]\nport = 9002\n")
    (tmp_path / "named.toml").write_text(f"{answers}[server]\nport = 9003\n")
    told = run("check", "--json", cwd=tmp_path, FARTHING_CONFIG="named.toml")
    assert json.loads(told.stdout)["config"]["server"]["port"] == 9003
    assert "FARTHING_CONFIG" not in told.stdout  # it is read, so nobody is warned of it
    told = run("report", cwd=tmp_path, FARTHING_CONFIG="named.toml", XDG_STATE_HOME=str(tmp_path))
    assert "named.toml" in told.stderr
    told = run("check", cwd=tmp_path, FARTHING_CONFIG="gone.toml")
    assert told.returncode == 2 and "gone.toml: cannot be read" in told.stderr  # no other one instead
    told = run("check", "--config", "farthing.toml", "--json", cwd=tmp_path, FARTHING_CONFIG="named.toml")
    assert json.loads(told.stdout)["config"]["server"]["port"] == 9002
    told = run("check", "named.toml", "--config", "farthing.toml", cwd=tmp_path)
    assert told.returncode == 2 and "name one of them" in told.stderr


def test_check_prints_the_published_schema() -> None:
    told = run("check", "--schema")
    assert json.loads(told.stdout) == config.schema()


# -- keys -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_new_key_is_printed_once_with_lines_that_let_it_in() -> None:
    told = json.loads(run("keys", "new", "--tenant", 'a"b', "--plan", "enterprise", "--json").stdout)
    assert told["key"].startswith("sk-farthing-") and len(told["key"]) == len("sk-farthing-") + 43
    (entry,) = config.loads(told["toml"], {}).keys
    assert (entry.tenant, entry.plan, entry.endpoint) == ('a"b', "enterprise", None)
    assert entry.digest == told["digest"] == config.key_digest(told["key"])
    assert told["key"] not in told["toml"]
    limited = run("keys", "new", "--tenant", "t", "--requests-per-minute", "60", "--json").stdout
    assert config.loads(json.loads(limited)["toml"], {}).keys[0].requests_per_minute == 60
    assert run("keys", "new", "--tenant", "t", "--requests-per-minute", "0").returncode == 2
    first, _, rest = run("keys", "new", "--tenant", "t", "--name", "ci").stdout.partition("\n")
    assert config.loads(rest, {}).keys[0].name == "ci"
    assert config.loads(rest, {}).keys[0].digest == config.key_digest(first)
    assert first != told["key"]


def test_the_digest_of_a_key_is_read_from_standard_input() -> None:
    assert run("keys", "digest", text="sk-x\n").stdout.strip() == config.key_digest("sk-x")
    assert run("keys", "digest", text="\n").returncode == 2


# -- serve ------------------------------------------------------------------------------------------


def test_serve_with_nothing_to_answer_with_says_how_to_go_on(tmp_path: Path) -> None:
    told = process("serve", "--no-detect", cwd=tmp_path)
    assert told.returncode == 2 and "leave out --no-detect" in told.stderr
    told = process("serve", cwd=tmp_path)
    if told.returncode == 2:  # else a model server runs on this machine, which is no fault
        assert "farthing demo" in told.stderr and "OPENAI_API_KEY" in told.stderr


def test_serve_refuses_a_file_that_cannot_answer_or_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "farthing.toml").write_text("[server]\nport = 1\n")
    told = process("serve", cwd=tmp_path)
    assert told.returncode == 2 and "farthing.toml: nothing can answer; add [providers.NAME]" in told.stderr
    assert "cannot be read" in process("serve", "--config", "none.toml", cwd=tmp_path).stderr


@pytest.mark.parametrize(
    ("variables", "args", "said"),
    [
        (
            {"FARTHING__STATE_DIR": "/dev/null/state"},
            [],
            ["error: state_dir: cannot write in /dev/null/state", "or set state_dir, or FARTHING__STATE_DIR"],
        ),
        (
            {"FARTHING__LEDGER__PATH": "/dev/null/ledger"},
            [],
            ["error: ledger.path: cannot write in /dev/null/ledger", "or set ledger.path to a directory"],
        ),
        (
            {"FARTHING__SERVER__ALLOW_KEYLESS": "true"},
            ["--host", "nosuch.invalid"],
            ["nosuch.invalid is no address of this machine: set server.host"],
        ),
        (
            {"FARTHING__SERVER__ALLOW_KEYLESS": "true"},
            ["--host", "192.0.2.1"],  # RFC 5737: of nobody
            ["192.0.2.1 is no address of this machine: set server.host"],
        ),
        (
            {"FARTHING__ADMIN__PORT": "9", "FARTHING__ADMIN__HOST": "127.0.0.1.invalid", "K": "sk"},
            [],
            ["127.0.0.1.invalid is no address of this machine: set admin.host"],
        ),
    ],
)
def test_what_cannot_be_had_at_the_start_is_told_by_its_own_knob(
    tmp_path: Path, variables: dict[str, str], args: list[str], said: list[str]
) -> None:
    (tmp_path / "farthing.toml").write_text(
        'admin.key = "${K}"\nproviders.a.base_url = "http://127.0.0.1:9/v1"'
    )
    told = process("serve", "--port", "0", *args, cwd=tmp_path, **{"K": "sk", **variables})
    assert told.returncode == 2
    assert all(part in told.stderr for part in said), told.stderr
    assert "--port" not in told.stderr


def test_options_of_serve_pass_the_same_checks_as_the_file(tmp_path: Path) -> None:
    (tmp_path / "farthing.toml").write_text('providers.a.base_url = "http://h/v1"')
    told = process("serve", "--host", "0.0.0.0", cwd=tmp_path)
    assert told.returncode == 2 and "no key is configured" in told.stderr


def test_serve_tells_where_it_listens_and_stops_with_status_0(tmp_path: Path) -> None:
    (tmp_path / "farthing.toml").write_text(
        'providers.a.base_url = "http://127.0.0.1:9/v1"\n'
        'tiers.cheap.targets = ["a/m"]\ntiers.expensive.targets = ["a/m"]\n'
    )
    serving = subprocess.Popen(
        [sys.executable, "-c", "from farthing.cli.main import main; main()", "serve", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={
            "PYTHONPATH": SOURCE,
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "PYTHONUNBUFFERED": "1",
        },
    )
    try:
        assert serving.stdout is not None
        told: list[str] = []
        while not told or 'model="auto"' not in told[-1]:
            told.append(serving.stdout.readline())
            assert told[-1], "it left before it was ready"
        (url,) = [line.split()[-1] for line in told if line.startswith("base URL")]
        assert f"data      {tmp_path}/.local/state/farthing\n" in told
        assert any(line.startswith(f"try       curl {url}/chat/completions") for line in told)
        with urllib.request.urlopen(url.removesuffix("/v1") + "/version", timeout=30) as answer:
            assert json.load(answer)["name"] == "farthing"
    finally:
        serving.terminate()
        _, errors = serving.communicate(timeout=60)
    assert serving.returncode == 0, errors


def test_check_tells_what_of_the_environment_would_stop_the_start(tmp_path: Path) -> None:
    (tmp_path / "farthing.toml").write_text(
        '[providers.a]\nbase_url = "https://api.example.com/v1/chat/completions"\n'
    )
    told = run("check", cwd=tmp_path, ALL_PROXY="socks5://me:CANARY@127.0.0.1:1080")
    assert told.returncode == 0, "where it will run, the environment may be another"
    assert "ALL_PROXY is a SOCKS5 proxy" in told.stderr and "CANARY" not in told.stderr + told.stdout
    assert 'write "https://api.example.com/v1"' in told.stderr
    assert run("check", cwd=tmp_path, HTTPS_PROXY="http://proxy:3128").stderr.count("warning") == 1


@pytest.mark.slow
def test_a_limit_on_money_without_a_price_is_refused_with_the_fix(tmp_path: Path) -> None:
    text = (
        '[providers.up]\nbase_url = "http://127.0.0.1:1/v1"\n[tiers.cheap]\ntargets = ["up/free"]\n'
        '[tiers.expensive]\ntargets = ["up/free"]\n[endpoints.agents]\nusd_max = 0.5\n'
    )
    (tmp_path / "farthing.toml").write_text(text)
    told = run("check", cwd=tmp_path)
    assert told.returncode == 2
    assert "endpoints.agents: usd_max = 0.5, and up/free, which it can reach, has no price" in told.stderr
    assert 'add [[prices]] with target = "up/free"' in told.stderr
    as_json = json.loads(run("check", "--json", cwd=tmp_path).stdout)
    assert as_json["ok"] is False and "up/free" in as_json["errors"][0]
    (tmp_path / "farthing.toml").write_text(f'{text}[[prices]]\ntarget = "up/free"\ninput = 0\noutput = 0\n')
    assert run("check", cwd=tmp_path).returncode == 0


def test_warnings_name_the_line_or_the_variable_as_errors_do(tmp_path: Path) -> None:
    (tmp_path / "farthing.toml").write_text(
        '[providers.a]\nbase_url = "http://h"\n\n[tiers.cheap]\ntargets = [\n  "a/m",\n]\n'
        '[[answers]]\nname = "x"\ntext = "y"\nwhen = \'task == "faqs"\'\n'
    )
    told = run("check", cwd=tmp_path, FARTHING__REPORT__BASELINE="a/b")
    assert [line.split(": ")[1] for line in told.stderr.splitlines()] == [
        "farthing.toml:2",
        "farthing.toml:11",
        "farthing.toml:6",
        "FARTHING__REPORT__BASELINE",
    ]


def test_check_says_which_variables_are_not_read_or_make_what_the_file_does_not_have(tmp_path: Path) -> None:
    (tmp_path / "farthing.toml").write_text(
        'providers.a.base_url = "http://h/v1"\n[endpoints.support-faq]\ntask = "faq"\n'
    )
    told = run(
        "check",
        cwd=tmp_path,
        FARTHING_SERVER_PORT="9000",
        FARTHING_CMD="something else's",
        FARTHING__ENDPOINTS__NOSUCH__CALLS_MAX="3",
        FARTHING__ENDPOINTS__NOSUCH__TASK="faq",
        FARTHING__ENDPOINTS__SUPPORT_FAQ__CALLS_MAX="3",
        FARTHING_PORT_8960_TCP="tcp://10.0.0.1:8960",  # as Kubernetes sets them
        FARTHING_SERVICE_HOST="10.0.0.1",
        FARTHING_PORT="tcp://10.0.0.1:8960",
    )
    assert told.returncode == 0
    assert told.stderr.splitlines() == [
        "warning: FARTHING__ENDPOINTS__NOSUCH__CALLS_MAX and 1 more make endpoints.nosuch, which the file "
        'does not have; there is "support-faq"',
        "warning: FARTHING_CMD is not read: variables that are read have two underscores between their "
        "parts, as FARTHING__SERVER__PORT",
        "warning: FARTHING_SERVER_PORT is not read: did you mean FARTHING__SERVER__PORT?",
    ]


def test_check_says_what_has_no_price_once_and_that_a_baseline_needs_one(tmp_path: Path) -> None:
    (tmp_path / "farthing.toml").write_text(
        '[providers.a]\nbase_url = "http://h/v1"\n[providers.openai]\nbase_url = "https://api.openai.com/v1"\n'
        '[tiers.cheap]\ntargets = ["a/m", "openai/gpt-4o-mini"]\n'
        '[tiers.expensive]\ntargets = ["a/big", "a/m"]\n'
    )
    told = run("check", cwd=tmp_path)
    first, second = told.stderr.splitlines()
    assert first.startswith("warning: farthing.toml:6: tiers.cheap.targets[0]: a/m has no known price")
    assert 'add [[prices]] with target = "a/m"' in first
    assert "farthing.toml:8: tiers.expensive.targets[0]: a/big has no known price" in second
    assert "compared with it as the baseline, is unknown" in second
