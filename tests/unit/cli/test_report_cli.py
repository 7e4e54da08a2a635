"""`farthing report` at a prompt: which ledger it reads, what it groups by, what failed, at every width."""

import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from farthing.cli.main import cli
from farthing.errors import ConfigError, FarthingError
from farthing.insight.report import groups
from farthing.insight.report.failed import REASON_CHARS_MAX
from farthing.ledger import rows
from farthing.ledger.segments import SegmentLedger
from farthing.types import Attempt, Receipt, Usage

SONNET = "openrouter/anthropic/claude-sonnet-4.5-20250929"
SONNET_LATER = "openrouter/anthropic/claude-sonnet-4.5-20250930"
GEMINI = "vertex/publishers/google/models/gemini-2.5-flash-lite-preview-09-2025"
DAY_S = 86_400.0

Run = Callable[..., str]


def receipt(number: int, **changes: object) -> Receipt:
    fields: dict[str, object] = {
        "at_unix_s": time.time() - 60 - number,
        "endpoint": "faq",
        "tenant": "acme",
        "user": "a1b2c3d4e5f60718",
        "key": "b2:1a2b3c4d",
        "model_asked": "auto",
        "tier": "cheap",
        "target": SONNET,
        "cache": "miss",
        "status": 200,
        "calls": 1,
        "total_ms": 10.0,
        "usage": Usage(input_tokens=10, output_tokens=5),
        "cost_nusd": 1_000,
        "baseline_nusd": 4_000,
        "baseline_target": "x/big",
        **changes,
    }
    return Receipt(request_id=f"r{number}", started_s=0.0, **fields)  # type: ignore[arg-type]


def ledger(path: Path, *receipts: Receipt) -> Path:
    book = SegmentLedger(path)
    for one in receipts:
        book.record(one)
    book.close()
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory and home; nothing of this machine's configuration."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "FARTHING__STATE_DIR", "FARTHING__LEDGER__PATH"):
        monkeypatch.delenv(name, raising=False)
    return work


@pytest.fixture
def run(here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def run(*words: str, columns: int = 120) -> str:
        monkeypatch.setenv("COLUMNS", str(columns))
        assert cli.main(list(words), standalone_mode=False) in (0, None)
        return capsys.readouterr().out

    return run


def told(run: Run, *words: str) -> Any:
    return json.loads(run(*words, "--json"))


# -- which ledger -----------------------------------------------------------------------------------


def in_the_working_directory(here: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str]:
    (here / "farthing.toml").write_text('state_dir = "mine"\n')
    return here / "mine" / "ledger", "state_dir of farthing.toml"


def in_the_home(here: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str]:
    folder = here.parent / "home" / ".config" / "farthing"
    folder.mkdir(parents=True)
    (folder / "farthing.toml").write_text('[ledger]\npath = "book"\n')
    return folder / "book", f"ledger.path of {folder}/farthing.toml"


def in_the_xdg_directory(here: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str]:
    folder = here.parent / "xdg" / "farthing"
    folder.mkdir(parents=True)
    (folder / "farthing.toml").write_text("")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder.parent))
    state = here.parent / "home" / ".local" / "state" / "farthing"
    return state / "ledger", f"the default state directory, for {folder}/farthing.toml"


def by_a_variable_over_the_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str]:
    in_the_working_directory(here, monkeypatch)
    monkeypatch.setenv("FARTHING__STATE_DIR", str(here / "other"))
    return here / "other" / "ledger", "as FARTHING__STATE_DIR says"


def by_a_variable_without_a_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str]:
    monkeypatch.setenv("FARTHING__LEDGER__PATH", str(here / "book"))
    return here / "book", "as FARTHING__LEDGER__PATH says"


def by_default(here: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str]:
    state = here.parent / "home" / ".local" / "state" / "farthing"
    return state / "ledger", "the default state directory; no configuration file was found"


PLACES = [
    in_the_working_directory,
    in_the_home,
    in_the_xdg_directory,
    by_a_variable_over_the_file,
    by_a_variable_without_a_file,
    by_default,
]


@pytest.mark.parametrize("place", PLACES)
def test_the_ledger_is_that_of_the_configuration_which_serve_would_find_and_is_named(
    place: Callable[..., tuple[Path, str]],
    here: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    where, why = place(here, monkeypatch)
    with pytest.raises(ConfigError) as missing:
        run("report")
    assert f"no ledger at {where} ({why}): " in str(missing.value) and "--ledger" in str(missing.value)
    ledger(where, receipt(0))
    assert run("report", columns=1_000).splitlines()[0] == f"ledger {where} ({why})"
    found = told(run, "report")
    assert found["ledgers"] == [str(where)] and found["requests"] == 1
    monkeypatch.setenv("COLUMNS", "1000")
    for words in (
        ("explain", "r0"),
        ("quality",),
        ("policy", "compare", "--endpoint", "faq"),
        ("calibrate", "cache", "--endpoint", "faq"),
        ("drift", "--endpoint", "faq", "--set"),
    ):
        try:
            cli.main(list(words), standalone_mode=False)
        except FarthingError as refused:  # of too few rows, say: of this ledger
            assert "no ledger" not in str(refused)
        assert f"ledger {where} ({why})\n" in capsys.readouterr().err, words


def test_policy_and_cache_name_the_files_of_the_same_configuration(
    here: Path, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    in_the_working_directory(here, monkeypatch)
    cli.main(["policy", "list"], standalone_mode=False)
    assert capsys.readouterr().err == f"state {here}/mine (state_dir of farthing.toml)\n"
    with pytest.raises(
        ConfigError, match=rf"no semantic cache at {here}/mine/semantic.db \(state_dir of farth"
    ):
        run("cache", "show")


def test_who_only_looks_needs_none_of_the_secrets(here: Path, run: Run) -> None:
    (here / "farthing.toml").write_text(
        'state_dir = "mine"\n[admin]\nkey = "${ADMIN_UNSET}"\n'
        '[[keys]]\ntenant = "a"\nkey = "${A_UNSET}"\n[[keys]]\ntenant = "b"\nkey = "${B_UNSET}"\n'
        '[providers.a]\nbase_url = "http://h/v1"\napi_key = "${KEY_UNSET}"\nproxy = "${PROXY_UNSET}"\n'
        '[tiers.cheap]\ntargets = ["a/m"]\n[endpoints.faq]\ntarget_s = 2.0\n'
    )
    ledger(here / "mine" / "ledger", receipt(0))
    (cell,) = told(run, "report")["endpoints"]
    assert cell["target_s"] == 2.0
    assert "cheap (a/m)" in run("explain", "r0")


def test_a_named_ledger_is_read_though_the_file_here_is_no_good(
    here: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "farthing.toml").write_text("[server]\nprot = 1\n")
    where = ledger(here / "book", receipt(0))
    assert cli.main(["report", "--ledger", str(where)], standalone_mode=False) == 0
    assert "farthing.toml:2: server: unknown key" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="unknown key"):
        run("report")


def test_what_lies_beside_another_ledger_is_not_told_of_a_named_one(here: Path, run: Run) -> None:
    (here / "farthing.toml").write_text('state_dir = "mine"\n[endpoints.faq]\ntarget_s = 2.0\n')
    ledger(here / "mine" / "ledger", receipt(0))
    other = ledger(here / "other", receipt(1))
    assert told(run, "report", "--ledger", str(other))["endpoints"][0]["target_s"] is None
    assert told(run, "report", "--ledger", "mine/ledger")["endpoints"][0]["target_s"] == 2.0


@pytest.mark.parametrize(
    ("at", "since", "said"),
    [
        (None, "7d", "the ledger has no requests yet: send one to the gateway"),
        (DAY_S * 400, "7d", "2025-01-01 00:00:00Z: give an earlier --since, or --since all"),
    ],
)
def test_an_empty_report_says_why_and_what_helps(
    at: float | None, since: str, said: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    then_unix_s = 1_735_689_600.0
    where = ledger(here / "book", *([] if at is None else [receipt(0, at_unix_s=then_unix_s)]))
    cli.main(["report", "--ledger", str(where), "--since", since], standalone_mode=False)
    assert said in capsys.readouterr().err


def test_an_endpoint_that_is_not_there_is_told_with_those_that_are(
    here: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "farthing.toml").write_text('state_dir = "mine"\n[endpoints.quiet]\n')
    ledger(here / "mine" / "ledger", receipt(0), receipt(1, endpoint="support"))
    for words in (["report"], ["report", "--failed"], ["quality"]):
        cli.main([*words, "--endpoint", "suport"], standalone_mode=False)
        said = "there is no endpoint 'suport'; did you mean 'support'? There are faq, quiet, support"
        assert said in capsys.readouterr().err
        cli.main([*words, "--endpoint", "quiet"], standalone_mode=False)
        assert "no requests came to the endpoint 'quiet' in that time" in capsys.readouterr().err
        cli.main([*words, "--endpoint", "faq"], standalone_mode=False)
        assert "warning" not in capsys.readouterr().err
    cli.main(["policy", "show", "--endpoint", "suport"], standalone_mode=False)
    assert "farthing.toml has no endpoint 'suport'; there are quiet" in capsys.readouterr().err


# -- several ledgers --------------------------------------------------------------------------------


def test_several_ledgers_are_one_report_and_no_row_counts_twice(here: Path, run: Run) -> None:
    one = ledger(here / "a" / "ledger", *(receipt(number) for number in range(50)))
    two = ledger(here / "b" / "ledger", *(receipt(number) for number in range(100, 130)))
    shutil.copytree(one, here / "c" / "ledger")
    ledger(here / "c" / "ledger", receipt(200))
    (here / "link").symlink_to(one)
    both = ["--ledger", str(one), "--ledger", str(two)]
    assert told(run, "report", *both)["requests"] == 80
    for words in (
        ["--ledger", "*/ledger"],
        ["--ledger", "a", "b", "c"],  # as a shell makes it of a pattern
        [*both, "--ledger", str(here / "link"), "--ledger", "c/ledger"],
    ):
        found = told(run, "report", *words)
        assert found["requests"] == 81 and found["total"]["cost_nusd"] == 81_000
        assert len(found["ledgers"]) == 3
    assert "Request r110" in run("explain", "r110", *both)
    with pytest.raises(ConfigError, match="no ledger at nowhere"):
        run("report", "--ledger", "nowhere-*")


# -- groups -----------------------------------------------------------------------------------------


def test_requests_are_grouped_by_whom_they_were_for_what_answered_and_when(here: Path, run: Run) -> None:
    day_unix_s = 1_767_225_600.0  # 2026-01-01
    where = ledger(
        here / "book",
        receipt(0, at_unix_s=day_unix_s, cost_nusd=5_000),
        receipt(1, at_unix_s=day_unix_s + DAY_S, tenant="globex", user="", key="", target=GEMINI),
        receipt(2, at_unix_s=day_unix_s + DAY_S - 1, key="ci", cache="exact", cost_nusd=0),
        receipt(3, at_unix_s=day_unix_s, key=None, status=502, error="no_provider_left", target=""),
    )

    def by(*names: str) -> dict[tuple[str | None, ...], tuple[int, int]]:
        words = [word for name in names for word in ("--by", name)]
        found = told(run, "report", "--ledger", str(where), "--since", "all", *words)["grouped"]
        assert found["others"] is None
        return {
            tuple(group["values"].values()): (group["requests"], group["cost_nusd"])
            for group in found["groups"]
        }

    assert by("tenant") == {("acme",): (3, 6_000), ("globex",): (1, 1_000)}
    assert by("user") == {("a1b2c3d4e5f60718",): (3, 6_000), ("",): (1, 1_000)}
    assert by("key") == {
        ("b2:1a2b3c4d",): (1, 5_000),
        ("",): (1, 1_000),
        ("ci",): (1, 0),
        (None,): (1, 1_000),
    }
    assert by("model") == {(SONNET,): (2, 5_000), (GEMINI,): (1, 1_000), ("",): (1, 1_000)}
    assert list(by("day")) == [("2026-01-01",), ("2026-01-02",)]
    assert by("tenant,day") == by("tenant", "day") and len(by("tenant", "day")) == 2
    (group, *_) = told(run, "report", "--ledger", str(where), "--since", "all", "--by", "tenant")["grouped"][
        "groups"
    ]
    assert (group["errors"], group["hits"], group["saved_nusd"]) == (1, 1, -1_000 + 4_000 + 3_000)
    text = run("report", "--ledger", str(where), "--since", "all", "--by", "key,model")
    assert "unknown" in text and "(no key)" in text and "(none answered)" in text


def test_agents_are_told_apart_within_their_sessions_and_dialects(here: Path, run: Run) -> None:
    where = ledger(
        here / "book",
        receipt(0, dialect="messages", session="s-1"),
        receipt(1, dialect="messages", session="s-1", agent="a-7"),
        receipt(2, dialect="messages", session="s-1", agent="a-7"),
        receipt(3),
    )
    found = told(run, "report", "--ledger", str(where), "--by", "dialect,session,agent")["grouped"]["groups"]
    assert {tuple(one["values"].values()): one["requests"] for one in found} == {
        ("messages", "s-1", ""): 1,
        ("messages", "s-1", "a-7"): 2,
        ("chat", "", ""): 1,
    }
    text = run("report", "--ledger", str(where), "--by", "session,agent")
    assert "(no session)" in text and "(none named)" in text and "a-7" in text


def test_what_is_passed_through_is_told_apart_from_chats(here: Path, run: Run) -> None:
    where = ledger(here / "book", receipt(0), receipt(1), receipt(2, operation="images/generations"))
    found = told(run, "report", "--ledger", str(where), "--by", "operation")["grouped"]["groups"]
    assert {one["values"]["operation"]: one["requests"] for one in found} == {
        "chat": 2,
        "images/generations": 1,
    }


def test_a_word_that_is_no_dimension_is_answered_with_those_there_are(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(["report", "--by", "team"])
    assert left.value.code == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "'team': expected one or more of endpoint, tier, tenant, user, key, model, session" in said
    assert "agent, dialect, operation, day" in said


def test_groups_are_bounded_and_what_is_left_out_is_told(
    here: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "GROUPS_MAX", 10)
    where = ledger(here / "book", *(receipt(n, user=f"user-{n:02}", cost_nusd=n) for n in range(25)))
    words = ["report", "--ledger", str(where), "--by", "user"]
    found = told(run, *words)["grouped"]
    assert len(found["groups"]) == 10 and found["others"]["requests"] == 15
    assert sum(one["cost_nusd"] for one in found["groups"]) + found["others"]["cost_nusd"] == sum(range(25))
    text = run(*words, "--limit", "4")
    assert "others" in text and "user-09" in text and "user-00" not in text
    assert "not shown: 6 cheaper groups with 6 requests for $0.000000015" in text


# -- what failed ------------------------------------------------------------------------------------


def test_failed_requests_are_listed_newest_first_with_who_what_and_why(here: Path, run: Run) -> None:
    failed = [
        receipt(
            number,
            status=502,
            error="no_provider_left",
            target="",
            error_message=f"a/{number} is down\x1b[31m " + "why " * 100,
            attempts=[Attempt(target=SONNET, tier="cheap", started_ms=0.0, status=529)],
        )
        for number in range(5)
    ]
    where = ledger(
        here / "book",
        *failed,
        receipt(10, status=429, error="rate_limit_exceeded", key=None, calls=0, target=""),
        receipt(11, status=499, error="client_gone"),
        receipt(12),
        receipt(13, status=500, error="internal", purpose="judge"),
    )
    words = ["report", "--failed", "--ledger", str(where)]
    found = told(run, *words, "--limit", "3")
    assert (found["requests"], found["failed"], found["not_shown"], found["client_gone"]) == (8, 6, 3, 1)
    assert found["by_code"] == {"no_provider_left": 5, "rate_limit_exceeded": 1}
    assert [one["request_id"] for one in found["shown"]] == ["r0", "r1", "r2"]
    first = found["shown"][0]
    assert (
        first["tenant"],
        first["key"],
        first["model"],
        first["target"],
        first["status"],
        first["code"],
    ) == (
        "acme",
        "b2:1a2b3c4d",
        "auto",
        SONNET,
        502,
        "no_provider_left",
    )
    assert len(first["reason"]) == REASON_CHARS_MAX
    assert found["failed"] == told(run, "report", "--ledger", str(where))["total"]["errors"]
    text = run(*words, "--limit", "3")
    assert "6 of 8 requests failed (75.0%)" in text and "not shown: 3 older ones" in text
    assert "farthing explain r0" in text and "\x1b" not in text
    assert "client gone: 1 request whose client left early" in text
    assert "key unknown" in run(*words, "--since", "all")


# -- widths -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize(
    "words",
    [[], ["--by", "model"], ["--by", "tenant,key,model,day"], ["--failed"]],
    ids=["plain", "model", "many", "failed"],
)
def test_no_name_is_cut_and_no_line_is_wider_than_the_terminal(
    words: list[str], columns: int, here: Path, run: Run
) -> None:
    endpoints = ["customer-support-faq-production-emea", "customer-support-faq-production-apac"]
    targets = [SONNET, SONNET_LATER, GEMINI]
    where = ledger(
        here / "b",
        *(
            receipt(
                number,
                endpoint=endpoints[number % 2],
                target=targets[number % 3],
                cost_nusd=12_345_678_901,
                baseline_target=SONNET,
                **({"status": 502, "error": "no_provider_left"} if number % 4 == 0 else {}),
            )
            for number in range(60)
        ),
    )
    text = run("report", "--ledger", str(where), *words, columns=columns)
    lines = [line for line in text.splitlines() if str(where) not in line]  # only a terminal may break a path
    assert max(map(len, lines)) <= columns
    assert "…" not in text
    names = targets if words else endpoints
    assert all(any(name in line for line in lines) for name in names)


def test_a_wide_terminal_has_one_row_for_what_a_narrow_one_stacks(here: Path, run: Run) -> None:
    where = ledger(here / "b", *(receipt(number) for number in range(3)))
    words = ("report", "--ledger", str(where), "--by", "model")
    wide = [line for line in run(*words, columns=160).splitlines() if line.startswith(SONNET)]
    narrow = [line for line in run(*words, columns=80).splitlines() if line.startswith(SONNET)]
    assert len(wide) == 1 and "$0.000003" in wide[0]
    assert len(narrow) == 1 and narrow[0].strip() == SONNET


# -- the key in receipts ----------------------------------------------------------------------------


def test_a_receipt_of_before_keys_were_noted_is_read_with_an_unknown_one() -> None:
    names = [name for name in Receipt.__struct_fields__ if name != "key"]
    fields = {kind: list(known) for kind, known in rows.FIELDS.items()} | {"receipt": names}
    head = rows.Head(magic=rows.MAGIC, version=1, writer="w0", run="r", created_unix_s=0.0, fields=fields)
    old = rows.encode((rows.RECEIPT, [getattr(receipt(7), name) for name in names]))
    row = rows.RowReader(head, live=False).row(old)
    assert isinstance(row, Receipt) and (row.request_id, row.key) == ("r7", None)
    newer = {**fields, "receipt": [*Receipt.__struct_fields__, "later"]}
    head = rows.Head(magic=rows.MAGIC, version=1, writer="w0", run="r", created_unix_s=0.0, fields=newer)
    future = [getattr(receipt(8), name) for name in Receipt.__struct_fields__]
    row = rows.RowReader(head, live=False).row(rows.encode((rows.RECEIPT, [*future, "x"])))
    assert isinstance(row, Receipt) and row.key == "b2:1a2b3c4d"


@pytest.mark.parametrize("columns", [80, 120])
def test_a_baseline_without_a_price_is_named_and_not_called_undeclared(
    here: Path, run: Run, columns: int
) -> None:
    unpriced: dict[str, object] = {"baseline_nusd": None, "baseline_target": "up/[big]"}
    ledger(here / "one", *(receipt(number, **unpriced) for number in range(3)))
    said = " ".join(run("report", "--ledger", "one", columns=columns).split())
    assert (
        "Savings: unknown; the baseline up/[big] has no known price: correct a name that is mistyped" in said
    )
    assert "not in the saving: 3 requests" in said and "declared" not in said
    ledger(here / "two", receipt(9), *(receipt(number, **unpriced) for number in range(3)))
    said = " ".join(run("report", "--ledger", "two", columns=columns).split())
    assert "with x/big, over 1 request " in said
    assert "without a known cost or baseline; the baseline up/[big] has no known price: correct" in said
    assert told(run, "report", "--ledger", "two")["savings"]["baselines_unpriced"] == ["up/[big]"]


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_explain_and_the_line_of_the_ledger_fit_the_terminal_and_lose_nothing(
    here: Path, run: Run, capsys: pytest.CaptureFixture[str], columns: int
) -> None:
    path = ledger(here / "a-directory-with-a-rather-long-name" / "for-a-ledger" / "ledger", receipt(1))
    words = ("explain", "r1", "--ledger", str(path))
    narrow = run(*words, columns=columns)
    wide = run(*words, columns=1_000)
    assert wide.split() == narrow.split()
    assert all(len(row) <= columns or " " not in row.strip() for row in narrow.splitlines())
    labels = [row.split()[0] for row in wide.splitlines()]
    assert [row.split()[0] for row in narrow.splitlines() if row[2:3] != " "] == labels
    for row in run("report", "--ledger", str(path), columns=columns).splitlines()[:3]:
        assert len(row) <= columns or " " not in row.strip()


def test_fixed_answers_and_what_nothing_answered_are_two_rows_and_their_tiers_are_explained(
    here: Path, run: Run
) -> None:
    fixed = receipt(1, tier="none", target="", calls=0)
    refused = receipt(2, tier="", target="", calls=0, status=429, error="rate_limit_exceeded")
    where = str(ledger(here / "book", receipt(0), fixed, refused))
    rows = [line.split("  ")[0] for line in run("report", "--ledger", where, "--by", "model").splitlines()]
    assert {"(fixed answer)", "(none answered)"} <= set(rows)
    values = [
        one["values"]["model"]
        for one in told(run, "report", "--ledger", where, "--by", "model")["grouped"]["groups"]
    ]
    assert sorted(values)[:2] == ["", "none"]
    assert "tier -: no tier was chosen, since the client named a model" in run("report", "--ledger", where)
    by_tier = run("report", "--ledger", where, "--by", "tier")
    assert "(none chosen): the client named a model that is in none" in by_tier


@pytest.mark.parametrize("columns", [80, 120])
def test_what_stands_below_the_tables_is_counted_in_words_and_fits(
    here: Path, run: Run, columns: int
) -> None:
    where = str(ledger(here / "book", receipt(0), receipt(1, cost_nusd=None, status=499)))
    text = run("report", "--ledger", where, columns=columns)
    assert not re.search(r"(?<![\d,.])1 (requests|calls|rows)\b", text)
    assert "cost unknown: 1 request, without a known price or without token counts" in " ".join(text.split())
    below = text[text.index("\nSaved") :]
    assert max(map(len, below.splitlines())) <= columns
