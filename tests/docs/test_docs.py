"""The pages say what the program does: names are compared with the code, and every example is tried."""

import ast
import itertools
import json
import re
import shlex
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from tests.certified import certificate
from tests.conftest import StartGateway
from tests.docs.pages import DOCS, PAGES, ROOT, Block, anchors, blocks, code, links, rows
from tests.e2e.gateway import Running
from tests.faults.provider import FaultProvider

from farthing import config, errors
from farthing.brain.cache.keys import DROPPED
from farthing.brain.classify.words import DOMAIN_WORDS, TASK_SYNONYMS
from farthing.brain.route.expression import Expression
from farthing.brain.route.gate import ArmState
from farthing.brain.route.grammar import TYPES
from farthing.cli.main import cli
from farthing.config import DEFAULT_RULES, Config
from farthing.guarantees.drift.detect import DriftMonitor, Reference, Shape
from farthing.guarantees.monitor.routing import RouteMonitor
from farthing.guarantees.monitor.semantic_cache import SequentialBound
from farthing.ledger.gauges import ABOUT, UNTOLD
from farthing.ledger.metrics import RENAMED, Metrics
from farthing.models.calling import sending as calls
from farthing.models.health.outliers import FAILED_MIN, FAILED_SHARE, PROBE_S
from farthing.models.health.outliers import GOOD_MIN as EJECTED_GOOD_MIN
from farthing.models.pricing.catalogue import Catalogue, price_on
from farthing.types import Attempt, Receipt, Semantics, Signal, Usage

NAMES = (
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
    "AZURE_OPENAI_API_KEY",
    "AZURE_CLIENT_SECRET",
    "GEMINI_API_KEY",
    "OPENAI_KEY_A",
    "OPENAI_KEY_B",
    "AWS_BEARER_TOKEN_BEDROCK",
)
ENV = {name: f"sk-example-{name[-5:].lower()}" if "KEY_" in name else "sk-example" for name in NAMES}
GATEWAY = """
[providers.faults]
base_url = "{base_url}"

[tiers.cheap]
targets = ["faults/good"]

[endpoints.support-faq]
task = "faq"

[[prices]]
target = "faults/good"
input = 0.15
output = 0.60
"""
MADE_BY = {
    "claude", "curl", "diff", "docker", "export", "install", "make", "pip", "python3", "systemctl", "useradd",
}  # fmt: skip
"""First words of a line of shell beside `farthing`."""


# -- links ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_resolves(page: Path) -> None:
    for link in links(page):
        if link.startswith(("https://", "http://", "mailto:")):
            continue
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{page.name}: {link}"
        assert path.is_relative_to(ROOT), f"{page.name}: {link} leads outside"
        if anchor:
            assert anchor in anchors(path), f"{page.name}: {link}; there is {sorted(anchors(path))}"


def test_the_index_has_every_page_of_the_documentation() -> None:
    linked = {(DOCS / link.partition("#")[0]).resolve() for link in links(DOCS / "index.md")}
    assert {page for page in PAGES if page.is_relative_to(DOCS)} - {DOCS / "index.md"} <= linked


# -- examples ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_every_toml_example_loads(block: Block) -> None:
    assert config.loads(block.text, ENV, condition=Expression) != Config()


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_every_python_example_compiles_and_asks_this_gateway(block: Block) -> None:
    tree = ast.parse(block.text)
    names = {
        alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert {"Anthropic", "OpenAI"} & names
    base = f"127.0.0.1:{config.PORT}/v1" if "OpenAI" in names else f'127.0.0.1:{config.PORT}"'
    assert base in block.text


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_every_json_example_is_json(block: Block) -> None:
    assert isinstance(json.loads(block.text), dict)


@pytest.mark.parametrize("block", blocks("expression"), ids=str)
def test_every_expression_compiles(block: Block) -> None:
    assert Expression(block.text.strip()).text == block.text.strip()


def shell_lines() -> list[tuple[str, str]]:
    """Where, and one command, its continued lines joined and its comment gone."""
    found = []
    for block in blocks("sh", "bash"):
        for line in block.text.replace("\\\n", " ").splitlines():
            if line.strip():
                found.append((str(block), line.strip()))
    return found


@pytest.mark.parametrize(("where", "line"), shell_lines())
def test_every_shell_example_calls_what_there_is(where: str, line: str) -> None:
    words = own_words(shlex.split(line, comments=True))
    if words[0] == "farthing":
        check_command(words[1:])
        return
    assert words[0] in MADE_BY, f"{where}: {line}"
    if words[0] == "curl":
        check_curl(words)
    elif words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def own_words(words: list[str]) -> list[str]:
    """From our own command on, where the line runs it by its path, as another user or in a container."""
    if words[0] == "sudo":
        words = words[next(at for at, word in enumerate(words) if word.endswith("/bin/farthing")) :]
    elif words[:2] == ["docker", "exec"]:
        words = words[3:]
    return [Path(words[0]).name, *words[1:]]


def check_command(words: list[str]) -> None:
    """The command and each of its options exist, and take what they are given."""
    words = list(itertools.takewhile(lambda word: word not in ("<", ">"), words))
    command: click.Command = cli
    context = click.Context(cli, info_name="farthing")
    while isinstance(command, click.Group):
        if command.invoke_without_command and (not words or words[0].startswith("-")):
            break  # it is a command itself, and these are its options
        found = command.get_command(context, words.pop(0))
        assert found is not None
        command = found
        context = click.Context(command, parent=context)
    command.parse_args(context, words)


def check_curl(words: list[str]) -> None:
    """The body is JSON, and the path one of the gateway's."""
    from farthing.edge.routes import ROUTES

    url = next(word for word in words if word.startswith("http"))
    assert url.startswith(f"http://127.0.0.1:{config.PORT}/")
    assert url.removeprefix(f"http://127.0.0.1:{config.PORT}") in ROUTES
    assert isinstance(json.loads(words[words.index("-d") + 1]), dict)


# -- examples, against a running gateway -------------------------------------------------------------


@pytest.fixture(scope="module")
def gateway(upstream: FaultProvider, start_gateway: StartGateway) -> Running:
    return start_gateway(GATEWAY.format(base_url=upstream.base_url))


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_every_python_example_runs_and_prints_an_answer(
    block: Block, gateway: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    program = block.text.replace(f"127.0.0.1:{config.PORT}", f"127.0.0.1:{gateway.port}")
    assert program != block.text
    exec(compile(program, str(block), "exec"), {})
    assert "What is a farthing?" in capsys.readouterr().out  # the provider echoes


@pytest.mark.parametrize(("where", "line"), [one for one in shell_lines() if one[1].startswith("curl")])
def test_every_curl_example_is_answered(where: str, line: str, gateway: Running) -> None:
    words = shlex.split(line)
    path = next(word for word in words if word.startswith("http")).partition(str(config.PORT))[2]
    headers = dict(words[at + 1].split(": ") for at, word in enumerate(words) if word == "-H")
    reply = gateway.request("POST", path, words[words.index("-d") + 1].encode(), headers)
    assert reply.status == 200
    said = reply.json[{"/v1/messages": "content", "/v1/responses": "output"}.get(path, "choices")]
    assert "echo: What is a farthing?" in json.dumps(said)


@pytest.mark.parametrize("path", ["/llm-inference", "/v1/ask"])
def test_the_requests_of_the_page_are_taken_and_answered_with_the_documented_fields(
    path: str, gateway: Running
) -> None:
    page = (DOCS / "http-api.md").read_text()
    asked = json.loads(page.partition(f"## `POST {path}`")[2].partition("```json\n")[2].partition("```")[0])
    answered = page.partition("The answer:\n\n```json\n")[2].partition("```")[0]
    reply = gateway.post(path, asked)
    assert reply.status == 200, reply.body
    assert list(reply.json) == list(json.loads(answered))


def test_the_headers_of_the_pages_are_those_of_an_answer(gateway: Running) -> None:
    names = set(gateway.chat("a question nobody asked before").headers)
    for block in blocks("http"):
        shown = [line.partition(":")[0] for line in block.text.splitlines() if not line.startswith("HTTP/")]
        assert set(shown) <= names, str(block)


# -- figures ----------------------------------------------------------------------------------------


def cost_nusd(target: str, input_tokens: int, output_tokens: int) -> int:
    """By the shipped price list."""
    entry = Catalogue.load().find(*target.split("/"))
    price = None if entry is None else price_on(entry)
    assert price is not None, f"{target} is in no price list any more: take a current model"
    return round((input_tokens * price.input_pusd + output_tokens * price.output_pusd) / 1_000)


@pytest.mark.parametrize("page", [ROOT / "README.md", DOCS / "quickstart.md"], ids=lambda page: page.name)
def test_the_money_in_the_headers_of_an_example_is_that_of_its_models(page: Path) -> None:
    text = page.read_text()
    told = re.search(
        r"that of (\d+) tokens in and (\d+) out at the prices of `(.+)`\. With `(.+)`, the baseline, "
        r"the same tokens\s+would have cost (\S+);",
        text,
    )
    assert told is not None
    tokens = int(told[1]), int(told[2])
    cost, baseline = (cost_nusd(f"openai/{model}", *tokens) for model in told.groups()[2:4])
    first, *again = re.findall(r"cost-usd: (\S+)\nx-farthing-saved-usd: (\S+)", text)
    assert f"x-farthing-model: openai/{told[3]}\n" in text
    assert first == (usd_text(cost), usd_text(baseline - cost))
    assert told[5] == usd_text(baseline).rstrip("0")
    assert set(again) <= {(usd_text(0), usd_text(baseline))}


def test_the_tiers_that_the_quickstart_finds_are_those_of_the_price_list() -> None:
    text = (DOCS / "quickstart.md").read_text()
    found = re.findall(r"^(?:cheap|expensive) = (openai/\S+) \(\$(\d+\.\d\d)/M\)", text, re.MULTILINE)
    assert [target for target, _ in found] == ["openai/gpt-6-luna", "openai/gpt-6.1-sol"]
    for target, blended in found:
        assert f"{cost_nusd(target, 750_000, 250_000) / 1e9:.2f}" == blended


def usd_text(nusd: int) -> str:
    return f"{nusd / 1e9:.9f}"


# -- names ------------------------------------------------------------------------------------------


def commands(group: click.Group, path: str = "farthing") -> dict[str, click.Command]:
    context = click.Context(group)
    found: dict[str, click.Command] = {}
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found[f"{path} {name}"] = command
        if isinstance(command, click.Group):
            found |= commands(command, f"{path} {name}")
    return found


def test_every_command_is_documented_and_no_other() -> None:
    told = rows(DOCS / "operations.md", "## Serve")
    written = {name for first, others in told.items() for cell in (first, *others) for name in code(cell)}
    assert written - {"command"} == set(commands(cli))


def test_the_layout_has_every_part_of_the_package() -> None:
    table = rows(ROOT / "CONTRIBUTING.md", "## Layout")
    told = {name.rstrip("/") for first in table for name in code(first)}
    files = [path for path in (ROOT / "src" / "farthing").rglob("*") if path.is_file()]
    files = [path for path in files if "__pycache__" not in path.parts]  # which outlive a room that was moved
    parts = {path.relative_to(ROOT / "src" / "farthing").parts[0] for path in files}
    assert told == {part for part in parts if not part.startswith("__")} - {"py.typed"}


def test_every_place_to_look_is_there() -> None:
    table = rows(ROOT / "CONTRIBUTING.md", "## Where to look")
    places = [place for _, (cell, *_) in list(table.items())[1:] for place in code(cell)]
    assert len(places) >= 10
    for place in places:
        found = ROOT / "src" / "farthing" / place
        assert found.is_dir() if place.endswith("/") else found.is_file(), place


def test_no_room_is_crowded_and_the_journey_is_short() -> None:
    source = ROOT / "src" / "farthing"
    for room in {path.parent for path in source.rglob("*.py")}:
        files = [path for path in room.glob("*.py") if path.name != "__init__.py"]
        assert len(files) <= 15, room
    assert len((source / "pipeline" / "answer.py").read_text().splitlines()) < 150


def test_the_tests_of_units_stand_where_their_units_do() -> None:
    units = ROOT / "tests" / "unit"
    for room in {path.parent for path in units.rglob("test_*.py")}:
        assert (ROOT / "src" / "farthing" / room.relative_to(units)).is_dir(), room


def error_classes() -> list[type[errors.FarthingError]]:
    known = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    return [kind for kind in known if issubclass(kind, errors.FarthingError)]


def test_every_error_is_documented_with_what_goes_on_the_wire() -> None:
    table = rows(DOCS / "http-api.md", "## Errors")
    assert [f"`{kind.__name__}`" for kind in error_classes()] == [first for first in table if first[0] == "`"]
    for kind in error_classes():
        status, wire_type, wire_code, retry, _ = table[f"`{kind.__name__}`"]
        assert (status, wire_type, wire_code) == (str(kind.status), f"`{kind.kind}`", f"`{kind.code}`")
        sent = kind.status in (401, 409, 429) or kind.status >= 500 or kind is errors.RequestError
        assert retry == (str(kind.retry).lower() if sent and kind.retry is not None else "-")


def test_every_field_of_a_receipt_is_documented_in_its_order() -> None:
    table = rows(DOCS / "ledger.md", "## A receipt")
    assert [code(first)[0] for first in list(table)[1:]] == list(Receipt.__struct_fields__)
    assert code(table["`attempts`"][0]) == list(Attempt.__struct_fields__)
    assert code(table["`usage`"][0]) == list(Usage.__struct_fields__)


def test_every_field_of_a_signal_is_documented_in_its_order() -> None:
    table = rows(DOCS / "ledger.md", "## A signal")
    assert [code(first)[0] for first in list(table)[1:]] == list(Signal.__struct_fields__)


def test_every_metric_is_documented_with_its_type_and_labels() -> None:
    documented = documented_metrics()
    for name, (kind, labels) in families(exposition()).items():
        if name in RENAMED.values():
            continue
        assert documented[name][0] == kind
        assert set(filter(None, documented[name][1].split(", "))) == labels


def test_a_gateway_exposes_the_documented_metrics_and_no_other(gateway: Running) -> None:
    assert gateway.chat().status == 200
    exposed = families(gateway.request("GET", "/metrics").body.decode())
    assert {name: kind for name, (kind, _) in exposed.items()} == {
        name: cells[0] for name, cells in documented_metrics().items()
    } | {old: documented_metrics()[new][0] for new, old in RENAMED.items()}


def test_the_help_of_each_gauge_says_what_it_counts(gateway: Running) -> None:
    told = re.findall(r"^# HELP (\S+) (.*)$", gateway.request("GET", "/metrics").body.decode(), re.MULTILINE)
    assert {f"farthing_{name}" for name in ABOUT} <= {name for name, _ in told}
    assert not [name for name, about in told if about == UNTOLD]
    assert dict(told)["farthing_connections"] == "Client connections open now."


def documented_metrics() -> dict[str, list[str]]:
    table = rows(DOCS / "operations.md", "## Metrics")
    return {code(first)[0]: cells for first, cells in table.items() if first.startswith("`")}


def exposition() -> str:
    """Metrics after a request that touched every family."""
    drift = DriftMonitor(block=1)
    metrics = Metrics(drift=drift)
    receipt = Receipt(request_id="r", at_unix_s=0.0, started_s=0.0, tier="cheap", cache="miss", status=200)
    receipt.usage = Usage(input_tokens=1, output_tokens=1)
    attempt = Attempt(target="a/b", tier="cheap", started_ms=0.0, cost_nusd=2_000, reckoned_nusd=1_000)
    attempt.provider_ms = attempt.network_ms = attempt.connect_ms = attempt.tls_ms = 1.0
    receipt.attempts.append(attempt)
    hedge = Attempt(target="a/b", tier="cheap", started_ms=0.0, error="hedge_lost", lane="key 2", hedge=True)
    receipt.attempts.append(hedge)
    receipt.attempts.append(Attempt(target="a/b", tier="cheap", started_ms=0.0, continues=True))
    receipt.skipped["classify"] = "ValueError"
    receipt.ttft_ms = 1.0
    metrics.observe(receipt)
    looked = {"stage_ms": {"semantic": 1.0}, "audit": "agrees", "cache_would_hit": True}
    metrics.observe(msgspec.structs.replace(receipt, **looked))
    metrics.observe(msgspec.structs.replace(receipt, purpose="judge"))
    bound = SequentialBound()
    bound.configure({"default": Semantics(mode="on")})
    metrics.semantic.states = bound.states
    watch = RouteMonitor()
    watch.follow({"default@1": certificate("default")})
    state = watch.states()["default@1"]
    arm = ArmState(endpoint="default", arm="serving", number=1, share=1.0, refused="", watch=state)
    metrics.routing.states = lambda: [arm]
    then = Shape(counts={"en": 1})
    reference = Reference(
        endpoint="default",
        made_unix_s=0.0,
        since_unix_s=0.0,
        until_unix_s=0.0,
        n=1,
        shapes={"language": then},
    )
    drift.follow([reference])
    metrics.observe(receipt)
    metrics.learned(Signal(request_id="r", at_unix_s=0.0, source="check", quality=1.0))
    return metrics.exposition().decode()


def families(text: str) -> dict[str, tuple[str, set[str]]]:
    """Name -> type and labels, `le` aside."""
    found: dict[str, tuple[str, set[str]]] = {}
    for name, kind in re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE):
        samples = re.findall(rf"^{name}(?:_bucket|_sum|_count)?\{{(.*)\}} ", text, re.MULTILINE)
        labels = {label for sample in samples for label in re.findall(r'(\w+)="', sample)} - {"le"}
        found[name] = (kind, labels)
    return found


def test_the_default_rules_are_documented_in_their_order() -> None:
    table = rows(DOCS / "how-it-decides.md", "## The default rules")
    shown = [
        (code(name)[0], *[" ".join(code(cell)) for cell in cells]) for name, cells in list(table.items())[1:]
    ]
    assert shown == [(rule.name, rule.when, rule.tier, rule.escalate or "") for rule in DEFAULT_RULES]


def test_every_name_of_the_expression_language_is_documented_with_its_type() -> None:
    table = rows(DOCS / "how-it-decides.md", "## The expression language")
    assert {code(first)[0]: cells[0] for first, cells in list(table.items())[1:]} == TYPES


@pytest.mark.parametrize("symbol", ["or", "and", "not", "==", "!=", "<", "<=", ">", ">=", "in", "not in"])
def test_every_operator_is_documented_and_known(symbol: str) -> None:
    assert f"`{symbol}`" in (DOCS / "how-it-decides.md").read_text()
    example = {"not": "not stream", "in": "task in ['qa']", "not in": "task not in ['qa']"}.get(symbol)
    number = symbol not in ("or", "and")
    assert Expression(example or (f"complexity {symbol} 1" if number else f"stream {symbol} tools"))


def test_every_field_left_out_of_cache_keys_is_documented() -> None:
    table = rows(DOCS / "how-it-decides.md", "### What is the same")
    assert {code(first)[0] for first in list(table)[1:]} == DROPPED


def test_every_task_and_domain_is_documented() -> None:
    table = rows(DOCS / "how-it-decides.md", "## Traits")
    assert set(code(table["`task`"][0])) == set(TASK_SYNONYMS.values())
    assert set(code(table["`domain`"][0])) == {*DOMAIN_WORDS, "unknown"}


def test_the_limits_are_documented_as_they_are() -> None:
    defaults: dict[str, Any] = config.plain(Config())
    for key, default in [
        (code(cells[0])[0], code(cells[1])[0])
        for cells in list(rows(DOCS / "operations.md", "## Limits").values())[1:]
    ]:
        table, _, name = key.partition(".")
        assert str(defaults[table][name]) == default, key


def test_the_limits_of_a_provider_are_documented_as_they_are() -> None:
    text = (DOCS / "operations.md").read_text().partition("For each provider (`[providers.NAME]`): ")[2]
    told = dict(re.findall(r"`(\w+)` (\d+(?: MiB)?)", text.partition(". ")[0]))
    fields = {field.name: field.default for field in msgspec.structs.fields(config.ProviderConfig)}
    fields |= {"first_byte_s": calls.FIRST_BYTE_S, "whole_s": calls.WHOLE_S}
    assert f"{calls.ALONE_S:.0f} where no other target waits" in text
    for name, value in told.items():
        number = int(value.removesuffix(" MiB")) * (1_048_576 if value.endswith("MiB") else 1)
        assert fields[name] == number, name
    assert len(told) == 9


def test_the_numbers_of_retry_pause_and_breaker_are_those_of_the_defaults() -> None:
    text = (DOCS / "how-it-decides.md").read_text()
    call = config.CallConfig()
    assert f"`call.attempts_max` ({call.attempts_max})" in text
    assert f"`call.pause_s_max` ({call.pause_s_max:g} s)" in text
    assert f"`call.breaker_calls` ({call.breaker_calls})" in text
    assert f"`call.breaker_window_s` ({call.breaker_window_s:g} s)" in text
    assert f"`call.breaker_open_s` ({call.breaker_open_s:g} s)" in text
    assert f"{call.retry_share_max:.0%}".replace("%", " %") in text
    assert f"At least {FAILED_MIN}, and a fifth".replace("At", "at") in text and FAILED_SHARE == 0.2
    assert f"One request in {PROBE_S:g} s tries it. It is back after {EJECTED_GOOD_MIN} good" in text
    assert f"`brain.timeout_s` ({config.BrainConfig().timeout_s * 1000:.0f} ms)" in text


def test_nothing_is_said_to_be_installed_from_a_registry_it_is_not_in() -> None:
    for page in PAGES:
        text = page.read_text()
        assert not re.search(r"uvx farthing|pip install farthing", text), page.name
        # Only where it is installed already is its extra found by its name.
        assert page.name == "quickstart.md" or "pip install 'farthing[semantic]'" not in text, page.name


def test_security_and_hardening_name_what_starts_processes_and_what_listens() -> None:
    starts = {
        path.stem
        for path in (ROOT / "src" / "farthing").rglob("*.py")
        if "demo" not in path.parts
        and re.search(r"create_subprocess|Popen|multiprocessing", path.read_text())
    }
    assert starts == {"command", "regex"}
    for page in (ROOT / "SECURITY.md", DOCS / "operations.md"):
        text = page.read_text()
        assert all(kind in text for kind in starts), page.name
        assert "admin" in text and "semantic.db" in text and "no rate limits" not in text
        assert "starts no\n" not in text and "no process is started" not in text


def test_the_glossary_is_in_british_spelling_and_has_no_word_twice() -> None:
    words = list(rows(DOCS / "glossary.md"))
    lines = [line for line in (DOCS / "glossary.md").read_text().splitlines() if line.startswith("| ")]
    assert len(words) == len(lines)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_use_british_spelling(page: Path) -> None:
    wrong = (
        r"\b(normaliz|licens(?!e-)e(?=\s+(of|is|under))|summariz(?!ation`)|behavior|color\b|optimiz|recogniz)"
    )
    assert not re.findall(wrong, page.read_text()), page.name
