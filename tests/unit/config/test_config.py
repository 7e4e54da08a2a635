"""A configuration is taken whole or refused with the line, the reason and the fix."""

import string
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing import config
from farthing.brain.route.expression import Expression
from farthing.config import Config, SqliteStoreConfig, toml
from farthing.errors import ConfigError

GOOD = """\
[providers.openai]
base_url = "https://api.openai.com/v1"
api_key = "${OPENAI_API_KEY}"

[providers.local]
base_url = "http://127.0.0.1:8080/v1"
auth = "none"
headers = { x-team = "search" }

[tiers.cheap]
targets = ["local/qwen3-4b"]
[tiers.expensive]
targets = [
  "openai/gpt-5.2",
  "local/qwen3-4b",
]

[aliases]
small = "cheap"
faq = "farthing/support-faq"

[endpoints.support-faq]
calls_max = 3
deadline_s = 8
usd_max = 0.02

[[endpoints.support-faq.cache.keys]]
key = "faq:refund_policy"
phrases = ["how do I get a refund"]

[cache.store]
kind = "sqlite"
entries_max = 10

[[route.rules]]
when = 'task == "qa"'
tier = "cheap"
escalate = "expensive"
"""
ENV = {"OPENAI_API_KEY": "sk-canary"}


def faults(text: str, env: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config.loads(text, ENV if env is None else env)
    return str(caught.value).split("\n")


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)


def line_of(part: str) -> int:
    return GOOD[: GOOD.index(part)].count("\n") + 1


def test_a_good_file_becomes_typed_and_frozen() -> None:
    loaded = config.loads(GOOD, ENV)
    assert loaded.tiers["expensive"].targets == ("openai/gpt-5.2", "local/qwen3-4b")
    assert loaded.endpoints["support-faq"].usd_max == Decimal("0.02")
    assert loaded.endpoints["support-faq"].deadline_s == 8.0
    assert isinstance(loaded.endpoints["support-faq"].deadline_s, float)
    assert loaded.cache.store == SqliteStoreConfig(entries_max=10)
    assert loaded.providers["openai"].api_key == config.Secret("OPENAI_API_KEY", "sk-canary")
    with pytest.raises(AttributeError):
        loaded.server.port = 1  # type: ignore[misc]


def test_an_empty_file_is_the_defaults() -> None:
    assert config.loads("", {}) == Config()


def test_an_unknown_key_is_refused_with_line_and_nearest_name() -> None:
    line = line_of("calls_max")
    assert faults(changed("calls_max", "call_max")) == [
        f'farthing.toml:{line}: endpoints.support-faq: unknown key "call_max"; did you mean "calls_max"?'
    ]
    assert faults("[sever]\nport = 1\n") == ['farthing.toml:1: unknown key "sever"; did you mean "server"?']


def test_several_faults_are_told_at_once_in_the_order_of_the_file() -> None:
    text = changed("calls_max = 3", 'calls_max = "three"').replace('auth = "none"', 'auth = "basic"')
    told = faults(text)
    assert told[0].startswith(f"farthing.toml:{line_of('auth = ')}: providers.local.auth: expected one of ")
    assert told[1] == (
        f"farthing.toml:{line_of('calls_max')}: endpoints.support-faq.calls_max: "
        'expected a whole number, got the text "three"'
    )
    assert len(told) == 2


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("calls_max = 3", "calls_max = 3.5", "expected a whole number, got the number 3.5"),
        ("calls_max = 3", "calls_max = true", "expected a whole number, got true"),
        ("calls_max = 3", "calls_max = 0", "expected more than 0"),
        ("deadline_s = 8", "deadline_s = -1", "expected more than 0"),
        ("deadline_s = 8", "deadline_s = inf", "expected a finite number"),
        ("usd_max = 0.02", "usd_max = nan", "expected a finite number"),
        ('targets = ["local/qwen3-4b"]', "targets = []", "no target"),
        ('targets = ["local/qwen3-4b"]', 'targets = "local/qwen3-4b"', 'write ["local/qwen3-4b"]'),
        (
            'targets = ["local/qwen3-4b"]',
            'targets = ["loca/qwen"]',
            'unknown provider "loca"; did you mean "local"?',
        ),
        ('targets = ["local/qwen3-4b"]', 'targets = ["qwen"]', 'write "provider/model"'),
        ('targets = ["local/qwen3-4b"]', 'targets = ["local/a", "local/a"]', "already in this tier"),
        ("[tiers.cheap]", "[tiers.cheep]", 'unknown tier "cheap"; did you mean "cheep"?'),
        ("[tiers.cheap]", "[tiers.none]", "answers without a model"),
        ('small = "cheap"', 'small = "chaep"', 'unknown tier "chaep"; did you mean "cheap"?'),
        ('small = "cheap"', 'small = "opena/x"', 'unknown provider "opena"'),
        ('faq = "farthing/support-faq"', 'faq = "farthing/faq"', 'unknown endpoint "faq"'),
        ('escalate = "expensive"', 'escalate = "better"', 'unknown tier "better"'),
        ("calls_max = 3", 'tier = "x"', 'unknown tier "x"'),
        ("calls_max = 3", 'baseline = "gpt-5"', 'write "provider/model"'),
        ('kind = "sqlite"', 'kind = "sqllite"', 'did you mean "sqlite"?'),
        ('kind = "sqlite"', "", 'the key "kind" is missing'),
        ('phrases = ["how do I get a refund"]', 'phrases = [" "]', "an empty phrase matches everything"),
        ('phrases = ["how do I get a refund"]', "", 'the key "phrases" is missing'),
        ("http://127.0.0.1:8080/v1", "127.0.0.1:8080", "expected an URL"),
        ("http://127.0.0.1:8080/v1", "http://u:p@127.0.0.1", "without user"),
        ("http://127.0.0.1:8080/v1", "http://127.0.0.1:port", "expected an URL"),
        ("http://127.0.0.1:8080/v1", "${LOCAL}", "set FARTHING__PROVIDERS__LOCAL__BASE_URL instead"),
        ("x-team", "Authorization", "a secret must not be in the file"),
        ('"search"', '"a\\r\\nb"', "not a header that can be sent"),
        ("[providers.local]", '[providers."a/b"]', "a name has letters"),
    ],
)
def test_what_cannot_work_is_refused_with_line_and_fix(old: str, new: str, said: str) -> None:
    told = [fault for fault in faults(changed(old, new)) if said in fault]
    assert told and told[0].startswith("farthing.toml:")
    assert int(told[0].split(":")[1]) > 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("server.port = 70000", "expected at most 65535"),
        ('server.host = "0.0.0.0"', "no key is configured"),
        ('server.host = "::"', "no key is configured"),
        ('[[keys]]\ntenant = "a"', "give either digest"),
        ('[[keys]]\ntenant = "a"\ndigest = "b2:12"', "64 hexadecimal digits"),
        ('[[keys]]\ntenant = ""\nkey = "${OPENAI_API_KEY}"', "give the tenant a name"),
        ('[[keys]]\ntenant = "a"\nkey = "${OPENAI_API_KEY}"\nendpoint = "x"', 'unknown endpoint "x"'),
        ('[[answers]]\nname = "a"\ntext = "b"', "would never match"),
        ('[[guard.deny]]\nname = "a"\ncontains = []', "would never match"),
        ('[[guard.deny]]\nname = "a"\ncontains = [""]', "an empty phrase"),
        ('[[prices]]\ntarget = "a/b"\ninput = -1\noutput = 1', "expected at least 0"),
        ('[[prices]]\ntarget = "a/b"\ninput = 1\noutput = 1\nsince = "May"', "expected a date"),
        ('report.baseline = "x"', 'write "provider/model"'),
        ('route.default = "best"', 'unknown tier "best"'),
        ('providers.farthing.base_url = "http://h/v1"', "choose another"),
        ('providers.a = "http://h/v1"', "expected a table"),
        ("keys = 5", "expected a list"),
        ("call.retry_share_max = 2", "expected at most 1"),
        ('state_dir = ""', "expected a path"),
    ],
)
def test_single_mistakes_are_refused(text: str, said: str) -> None:
    assert said in faults(text)[0]


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ('[keys]\ntenant = "a"', "keys: expected a list, got a table; write [[keys]], once for each"),
        ("[endpoints.a.cache.keys]", "write [[endpoints.a.cache.keys]], once for each"),
        ('guard.deny = { contains = ["a"] }', "write [[guard.deny]], once for each"),
        ("[[server]]\nport = 1", "server: expected a table, got a list; write [server]"),
        ('[[providers]]\nbase_url = "http://h/v1"', "write [providers.NAME]"),
        ('[[providers.a]]\nbase_url = "http://h/v1"', "write [providers.a]"),
        ('[[cache.store]]\nkind = "memory"', "write [cache.store]"),
        ('[[aliases]]\nsmall = "cheap"', "write [aliases]"),
    ],
)
def test_brackets_of_the_wrong_number_are_told_with_the_right_ones(text: str, fix: str) -> None:
    assert faults(text)[0].endswith(fix)


@pytest.mark.parametrize(
    ("host", "fix"),
    [
        ("", 'write "127.0.0.1" for this machine alone'),
        ("256.1.1.1", 'write "127.0.0.1" for this machine alone'),
        ("my host", 'write "127.0.0.1" for this machine alone'),
        ("0.0.0.0:8960", 'write "0.0.0.0", and the port 8960 as port'),
        ("http://localhost:8960/", 'write "localhost", and the port 8960 as port'),
        ("[::1]", 'write "::1", without brackets'),
    ],
)
def test_a_host_that_is_no_address_is_told_as_that_and_nothing_else(host: str, fix: str) -> None:
    (told,) = faults(f'server.host = "{host}"')
    assert told.startswith(f'farthing.toml:1: server.host: "{host}" is not an address') and fix in told
    (told,) = faults(f'admin = {{ port = 1, host = "{host}" }}')
    assert told.startswith(f'farthing.toml:1: admin.host: "{host}" is not an address') and fix in told


@pytest.mark.parametrize("host", ["localhost", "::1", "llm.example.com", "my-host", "my_service", "host."])
def test_an_address_or_a_name_is_a_host(host: str) -> None:
    assert config.loads(f'server = {{ host = "{host}", allow_keyless = true }}', {}).server.host == host


@pytest.mark.parametrize(
    "written",
    ["${0_KEY}", "${OPENAI-KEY}", "${}", "$KEY", "${KEY:-x}", "{{ KEY }}", "%KEY%", "env:KEY", "${MINE"],
)
def test_what_names_no_variable_is_told_as_that_with_a_name_that_does(written: str) -> None:
    for text in (
        f'[[keys]]\ntenant = "a"\nkey = "{written}"',
        f'[providers.0]\nbase_url = "http://h/v1"\napi_key = "{written}"',
        f'[providers.0]\nbase_url = "http://h/v1"\nproxy = "{written}"',
    ):
        (told,) = faults(text)
        assert "this is not an environment variable" in told and written not in told
        fix = told.split('write "')[1].split('"')[0]
        config.loads(text.replace(written, fix), {fix[2:-1]: "http://h:1"})


def test_a_variable_where_none_is_taken_is_told_with_what_works_there() -> None:
    (told,) = faults('[[keys]]\ntenant = "${TENANT}"\nkey = "${OPENAI_API_KEY}"')
    assert told.endswith(
        "keys[0].tenant: only secrets can be taken from the environment like this; write the text itself"
    )
    (told,) = faults('providers.a.base_url = "${0_URL}"')
    assert told.endswith("set FARTHING__PROVIDERS__A__BASE_URL instead")
    (told,) = faults('providers.a.base_url = "https://${HOST}/v1"')
    assert "only secrets can be taken from the environment like this; write the whole URL" in told


def test_what_is_open_is_allowed_with_keys_or_on_purpose_or_on_loopback() -> None:
    config.loads('server = { host = "0.0.0.0", allow_keyless = true }', {})
    config.loads('server.host = "0.0.0.0"\n[[keys]]\ntenant = "a"\nkey = "${K}"', {"K": "sk"})
    config.loads('server.host = "127.0.0.2"', {})


def test_built_in_rules_may_lead_to_tiers_that_are_not_there() -> None:
    config.loads('providers.a.base_url = "http://h/v1"\ntiers.best.targets = ["a/b"]', {})


def test_expressions_are_compiled_where_a_compiler_is_given() -> None:
    text = changed('task == "qa"', "tsk == 1")
    config.loads(text, ENV)
    with pytest.raises(ConfigError) as caught:
        config.loads(text, ENV, condition=Expression)
    start = f"farthing.toml:{line_of('when =')}: route.rules[0].when: "
    assert str(caught.value).startswith(start) and 'did you mean "task"' in str(caught.value)
    answer = '[[answers]]\nname = "a"\ntext = "b"\nwhen = "and"'
    with pytest.raises(ConfigError, match=r"^farthing\.toml:4: answers\[0\]\.when: "):
        config.loads(answer, {}, condition=Expression)


def test_the_same_key_twice_is_refused_however_it_is_written() -> None:
    digest = config.key_digest("sk-one")
    text = f'[[keys]]\ntenant = "a"\ndigest = "{digest}"\n[[keys]]\ntenant = "b"\nkey = "${{K}}"\n'
    assert faults(text, {"K": "sk-one"}) == [
        "farthing.toml:4: keys[1]: the same key as keys[0]; a key belongs to one tenant"
    ]


def test_the_name_of_a_key_is_its_own_and_no_secret() -> None:
    digest = config.key_digest("sk-secret")
    one = f'[[keys]]\ntenant = "a"\nname = "ci"\ndigest = "{digest}"\n'
    other = '[[keys]]\ntenant = "b"\nname = "ci"\nkey = "${K}"\n'
    with pytest.raises(ConfigError, match=r"keys\[1\].name: keys\[0\] has this name") as why:
        config.loads(one + other, {"K": "sk-other"})
    assert "sk-other" not in str(why.value)
    with pytest.raises(ConfigError, match=r"keys\[0\].name: this is the key itself") as why:
        config.loads(one.replace('"ci"', '"sk-secret"'), {})
    assert "sk-secret" not in str(why.value)


def test_without_secrets_an_unset_variable_is_no_fault_but_all_else_is() -> None:
    text = (
        '[[keys]]\ntenant = "a"\nkey = "${A}"\n[[keys]]\ntenant = "b"\nkey = "${B}"\n'
        '[providers.p]\nbase_url = "http://h/v1"\napi_key = "${P}"\nproxy = "${PROXY}"\n'
    )
    with pytest.raises(ConfigError, match="environment variable A is not set"):
        config.loads(text, {})
    found = config.loads(text, {"P": "sk-p"}, secrets=False)
    assert found.providers["p"].api_key == config.Secret("P", "sk-p")
    assert config.policy_version(found) == config.policy_version(
        config.loads(text, {"A": "1", "B": "2", "P": "3", "PROXY": "http://h:1"})
    )
    with pytest.raises(ConfigError, match="a secret must not be in the file"):
        config.loads(text.replace('"${P}"', '"sk-p"'), {}, secrets=False)


def test_a_literal_secret_is_refused_without_being_repeated() -> None:
    told = faults(changed("${OPENAI_API_KEY}", "sk-literal-secret"))
    assert told == [
        f"farthing.toml:{line_of('api_key')}: providers.openai.api_key: a secret must not be in the file; "
        'set an environment variable and write "${OPENAI_API_KEY}"'
    ]


def test_a_literal_secret_in_a_list_gets_a_name_of_its_provider() -> None:
    told = faults(changed('api_key = "${OPENAI_API_KEY}"', 'api_keys = ["sk-a", "sk-b"]'))
    assert [line.rpartition(" ")[2] for line in told] == ['"${OPENAI_API_KEY_1}"', '"${OPENAI_API_KEY_2}"']


def test_a_missing_or_empty_variable_is_named() -> None:
    assert "OPENAI_API_KEY is not set" in faults(GOOD, {})[0]
    assert "OPENAI_API_KEY is empty" in faults(GOOD, {"OPENAI_API_KEY": " "})[0]
    bad = faults(GOOD, {"OPENAI_API_KEY": "sk-canary\r\nx: y"})[0]
    assert "OPENAI_API_KEY contains characters" in bad and "canary" not in bad


def test_a_secret_is_shown_nowhere() -> None:
    loaded = config.loads(GOOD, ENV)
    assert "canary" not in repr(loaded) and "canary" not in config.render(loaded)
    assert 'api_key = "${OPENAI_API_KEY}"' in config.render(loaded)


def test_variables_win_over_the_file() -> None:
    env = ENV | {
        "FARTHING__SERVER__PORT": "9000",
        "FARTHING__SERVER__HOSTS": '["a.example"]',
        "FARTHING__ENDPOINTS__SUPPORT_FAQ__CALLS_MAX": "7",
        "FARTHING__CACHE__EXACT": "off",
        "FARTHING__CACHE__COALESCE": "false",
        "FARTHING__LOG__LEVEL": "debug",
        "FARTHING_CMD": "not one of them",
    }
    loaded = config.loads(GOOD, env)
    assert (loaded.server.port, loaded.server.hosts) == (9000, ("a.example",))
    assert loaded.endpoints["support-faq"].calls_max == 7
    assert (loaded.cache.exact, loaded.cache.coalesce, loaded.log.level) == ("off", False, "debug")


def test_a_wrong_variable_is_named() -> None:
    assert faults(GOOD, ENV | {"FARTHING__SERVER__PORT": "high"}) == [
        'FARTHING__SERVER__PORT: server.port: expected a whole number, got the text "high"'
    ]
    assert faults(GOOD, ENV | {"FARTHING__SERVER__PROT": "1"}) == [
        'FARTHING__SERVER__PROT: server: unknown key "prot"; did you mean "port"?'
    ]
    assert "does not name a key" in faults(GOOD, ENV | {"FARTHING__ROUTE__RULES__0__TIER": "cheap"})[0]


def test_bad_toml_tells_its_line() -> None:
    assert faults("a = 1\nb = \n")[0].startswith("farthing.toml:2: not TOML: ")
    assert faults("a = '")[0].startswith("farthing.toml:1: not TOML: ")
    assert faults("\n\na = [1,")[0].startswith("farthing.toml:3: not TOML: ")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "[server]\nport = high",
            '2: not TOML: "port" has a value that is not valid TOML (column 8); write "te',
        ),
        ("a = 1\nb = \n", '2: not TOML: "b" has no value (column 5); write "text", a number'),
        ("x = [\n 1,\n foo\n]", "3: not TOML: this has a value that is not valid TOML (column 2); write"),
        ("a = 1\na = 2", '2: not TOML: "a" has a value already; keep one of the two'),
        ("[a]\n[a]\n", "2: not TOML: the table [a] is defined here a second time (column 3); join them"),
        ('a = "x\nb = 2', '1: not TOML: the text of "a" does not end on its line (column 7); close it'),
    ],
)
def test_bad_toml_is_told_by_its_key_and_the_fix(text: str, told: str) -> None:
    assert faults(text)[0].startswith(f"farthing.toml:{told}")


def test_what_is_no_toml_is_not_repeated_for_it_may_be_a_secret() -> None:
    assert "sk-1234" not in faults("[providers.a]\napi_key = sk-1234")[0]


def test_many_faults_are_cut_off_with_a_count() -> None:
    told = faults("\n".join(f"key{number} = 1" for number in range(50)))
    assert len(told) == config.FAULTS_SHOWN_MAX + 1
    assert told[-1] == "farthing.toml: and 30 more"


def test_files_that_are_too_large_or_no_text_or_absent_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "farthing.toml"
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        config.load(path, {})
    path.write_bytes(b"#" * (config.CONFIG_BYTES_MAX + 1))
    with pytest.raises(ConfigError, match="larger than 1048576 bytes"):
        config.load(path, {})
    path.write_bytes(b"[log]\nlevel = '\xff'")
    with pytest.raises(ConfigError, match=r":2: not UTF-8"):
        config.load(path, {})


def test_paths_in_a_file_start_at_its_directory(tmp_path: Path) -> None:
    path = tmp_path / "farthing.toml"
    path.write_text('state_dir = "state"\nledger.path = "/var/lib/ledger"\n')
    loaded = config.load(path, {})
    assert (loaded.state_dir, loaded.ledger.path) == (tmp_path / "state", Path("/var/lib/ledger"))


def test_state_lives_under_the_xdg_directory_unless_configured() -> None:
    assert config.state_dir(Config(), {"XDG_STATE_HOME": "/x"}) == Path("/x/farthing")
    assert config.state_dir(Config(), {"XDG_STATE_HOME": "x", "HOME": "/h"}) == Path(
        "/h/.local/state/farthing"
    )
    assert config.state_dir(Config(state_dir=Path("/s")), {"XDG_STATE_HOME": "/x"}) == Path("/s")


def test_the_effective_configuration_loads_to_itself() -> None:
    loaded = config.loads(GOOD, ENV)
    assert config.loads(config.render(loaded), ENV) == loaded
    without_rules = config.loads("[route]\nrules = []", {})
    assert without_rules.route.rules == () and config.loads(config.render(without_rules), {}) == without_rules


def test_the_schema_says_what_the_loader_takes() -> None:
    schema = config.schema()
    definitions = schema["$defs"]
    assert definitions["EndpointConfig"]["properties"]["usd_max"]["anyOf"][0] == {"type": "number"}
    assert definitions["ServerConfig"]["additionalProperties"] is False
    secret = definitions["OpenAIProviderConfig"]["properties"]["api_key"]["anyOf"][0]
    assert secret["pattern"].startswith("^\\$\\{")


# -- lines and writing ------------------------------------------------------------------------------


def test_lines_are_found_in_every_form_of_toml() -> None:
    text = '''\
a.b = 1
"quoted \\"k\\"" = 2
[t] # comment [x]
list = [ # [
  "x]",
  { deep = """
two
lines""", other = 'y' },
]
next = 1979-05-27T07:32:00Z
[[many]]
k = 1
[many.inner]
k = 1
[[many]]
[[many.sub]]
z = [[1], [2,
 3]]
'''
    found = toml.lines(text)
    assert found["a", "b"] == 1 and found['quoted "k"',] == 2
    assert found["t", "list", 0] == 5 and found["t", "list", 1, "deep"] == 6
    assert found["t", "list", 1, "other"] == 8 and found["t", "next"] == 10
    assert found["many", 0, "inner", "k"] == 14 and found["many", 1] == 15
    assert found["many", 1, "sub", 0, "z", 1, 1] == 19 - 1


keys = st.text(string.ascii_letters + '-_." \n\\é', max_size=6)
plain = st.integers(-(2**60), 2**60) | st.booleans() | st.text(max_size=8) | st.floats(allow_nan=False)
values: st.SearchStrategy[Any] = st.recursive(
    plain | st.lists(plain | st.lists(plain, max_size=2), max_size=3),
    lambda inner: (
        st.dictionaries(keys, inner, max_size=3)
        | st.lists(st.dictionaries(keys, inner, max_size=3), min_size=1, max_size=3)
    ),
    max_leaves=12,
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.dictionaries(keys, values, max_size=4))
def test_what_is_written_reads_back_and_every_key_has_a_line(table: dict[str, Any]) -> None:
    text = toml.dumps(table)
    assert tomllib.loads(text) == table
    found = toml.lines(text)
    rows = text.split("\n")

    def visit(value: Any, path: toml.Path) -> None:
        if path and not isinstance(path[-1], int):
            assert 1 <= found[path] <= len(rows)
        if isinstance(value, dict):
            for key, item in value.items():
                visit(item, (*path, key))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                assert (*path, index) in found
                visit(item, (*path, index))

    visit(table, ())


PIECES = [
    "[",
    "]",
    "{",
    "}",
    '"',
    "'",
    '"""',
    "'''",
    "=",
    ".",
    "#",
    "\n",
    ",",
    "1",
    "true",
    "[[keys]]\n",
    "\\",
    "\x00",
    "é",
]


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(GOOD)), st.integers(0, 12), st.sampled_from(PIECES)), max_size=3)
)
def test_a_damaged_file_is_read_or_refused_and_never_breaks_the_reader(
    edits: list[tuple[int, int, str]],
) -> None:
    text = GOOD
    for start, length, piece in edits:
        text = text[:start] + piece + text[start + length :]
    try:
        config.loads(text, ENV)
    except ConfigError as refused:
        assert str(refused).startswith("farthing.toml:")
        assert "canary" not in str(refused)


def test_deep_nesting_is_refused() -> None:
    deep = "a = " + "[" * 50_000 + "]" * 50_000
    assert "nested too deeply" in faults(deep)[0] or "unknown key" in faults(deep)[0]


@pytest.mark.parametrize(
    "text",
    ["cache.reask_s = 0", "call.retry_wait_s_max = 0", "call.retry_share_max = 0", "server.drain_s = 0"],
)
def test_what_zero_turns_off_may_be_zero(text: str) -> None:
    config.loads(text, {})
