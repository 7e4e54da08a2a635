"""docs/providers.md shows what each provider of OpenAI's form wants otherwise, as the code has it."""

from pathlib import Path

from farthing.dialects.chat.requests.fitting import Quirks
from farthing.models.discovery.quirks import known_quirks

PAGE = Path(__file__).parents[2] / "docs" / "providers.md"
HEAD = "| host, or name of the provider | limit of output | does not take | other differences |"


def named(names: frozenset[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


def others(quirks: Quirks) -> str:
    found = [f"`{name}` is `{other}`" for name, other in quirks.renamed.items()]
    found += [f"models `{pattern}`: not {named(names)}" for pattern, names in quirks.refused_by]
    if not quirks.developer:
        found.append("`developer` is `system`")
    if not quirks.names:
        found.append("messages have no `name`")
    if not quirks.demands:
        found.append("no demanded calls (`tool_choice`)")
    if not quirks.schemas:
        found.append("no `json_schema`")
    if quirks.short_call_ids:
        found.append("ids of calls have nine characters")
    if not quirks.stream_options:
        found.append("no `stream_options`: usage comes unasked")
    if quirks.strict:
        found.append("unknown fields of messages, calls and tools are refused")
    if quirks.thoughts != "reasoning_content":
        found.append(
            f"thoughts are `{quirks.thoughts}`" if quirks.thoughts else "no thoughts of earlier answers"
        )
    if not quirks.user_behind_tools:
        found.append("no user right behind what a tool gave: an answer (`.`) stands between")
    if quirks.proofs:
        found.append("calls of other models get the proof that Gemini 3 wants")
    return "; ".join(found)


def row(name: str, quirks: Quirks) -> str:
    limit = "either name" if quirks.limit is None else f"`{quirks.limit}`"
    cells = (f"`{name}`", limit, named(quirks.refused) or "-", others(quirks).replace("|", "\\|") or "-")
    return f"| {' | '.join(cells)} |"


def test_the_page_has_every_row_of_the_table_and_no_other() -> None:
    _, _, rest = PAGE.read_text().partition(f"{HEAD}\n|---|---|---|---|\n")
    rows = rest.partition("\n\n")[0].splitlines()
    assert rows == [row(name, quirks) for name, quirks in known_quirks().items()]
