"""Build src/farthing/data/catalogue.jsonl from two MIT-licensed price lists.

    pip download --no-deps litellm genai-prices -d wheels
    python tools/build_catalogue.py wheels/litellm-*.whl wheels/genai_prices-*.whl

Needs pydantic (for reading genai-prices); Farthing itself does not. Which source is believed:

1. Context and output sizes: the larger of litellm's `max_input_tokens` and genai-prices'
   `context_window` (a window stated too small would refuse what the provider takes).
2. Price known to one source only: that one.
3. Both agree within 1 %: genai-prices' history of dated prices, with the batch and cache-write
   prices that only litellm has.
4. They disagree: genai-prices when the price it holds today carries a start date and its rule names the
   model exactly, because somebody then saw the change; litellm otherwise. Every case is printed.
5. A price that changes with the hour of the day is taken at its highest, so that budgets hold.
6. Zero is unknown, not free, except for names that end in `:free`.
7. A service tier, and a batch if the list says what it charges for cached input, whose every listed
   price is the same multiple of the plain one, up to rounding, is kept as that multiple; else as prices
   of its own. What a tier does not list although the plain price has it
   (cached input, writes to the prefix cache, long prompts) follows its input price.
8. A search that is charged by its depth is taken at its dearest.
9. More than $1,000 per million tokens is a slip of units, and a cached price above the plain one a
   mistake: neither is taken.
10. What a model can and cannot do is litellm's word alone, and only where it says so; what is not said is
   in neither list. OpenAI's and Azure's models that reason want `max_completion_tokens` and no sampling.
11. The day of a release is that in a model's name, at whichever provider it stands; neither source has
   it otherwise, nor the day at which a model's knowledge ends.
12. A row that both sources price says whether they agree (`checked`); names that genai-prices knows only
   by a rule are compared too, and take nothing from it.
"""

import argparse
import datetime
import importlib
import json
import re
import sys
import types
import zipfile
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from farthing.models.pricing.listed.features import with_releases
from farthing.models.pricing.listed.litellm import (
    FIREWORKS,
    Entry,
    Source,
    believable,
    not_text,
    read_list,
    with_places,
)
from farthing.models.pricing.listed.prices import compact, pusd
from farthing.models.pricing.rows import ALWAYS, written

OUT = Path(__file__).resolve().parent.parent / "src/farthing/data/catalogue.jsonl"
GENAI_PROVIDERS = {
    "openai": ("openai",),
    "anthropic": ("anthropic",),
    "google": ("gemini", "vertex"),
    "groq": ("groq",),
    "mistral": ("mistral",),
    "deepseek": ("deepseek",),
    "openrouter": ("openrouter",),
    "together": ("together",),
    "x-ai": ("xai",),
    "azure": ("azure",),
    "aws": ("bedrock",),
    "fireworks": ("fireworks",),
    "cerebras": ("cerebras",),
    "moonshotai": ("moonshot",),
    "perplexity": ("perplexity",),
    "cohere": ("cohere",),
    "novita": ("novita",),
    "baseten": ("baseten",),
    "minimax": ("minimax",),
    "zai": ("zai",),
    "ovhcloud": ("ovhcloud",),
}
DATES = {"released", "retires", "deprecated"}
WELL_KNOWN = re.compile(
    r"^(gpt-[45]|o[134]|claude-|gemini-|deepseek-|grok-|mistral-(large|medium|small)|llama-3)"
)
VERTEX_NAMES = re.compile(r"^(gemini|claude|text-embedding|text-multilingual-embedding)-")
GEMINI_API = re.compile(r"^(gemini|gemma|learnlm|text-embedding|embedding)")


def same(one: int | None, other: int | None) -> bool:
    return one == other or (
        one is not None and other is not None and abs(one - other) <= max(one, other) / 100
    )


# -- litellm ----------------------------------------------------------------------------------------


def read_litellm(wheel: Path) -> Source:
    with zipfile.ZipFile(wheel) as archive:
        raw = archive.read("litellm/model_prices_and_context_window_backup.json")
    return read_list(json.loads(raw, parse_float=Decimal))


# -- genai-prices -----------------------------------------------------------------------------------


def import_genai(wheel: Path) -> Any:
    """Import the data module alone: the package itself would pull in an HTTP client."""
    package = types.ModuleType("genai_prices")
    package.__path__ = [f"{wheel}/genai_prices"]
    sys.modules["genai_prices"] = package
    return importlib.import_module("genai_prices.data")


def flat(value: Any, over: int) -> Decimal | None:
    """The rate that holds for a prompt longer than `over` tokens."""
    if value is None or isinstance(value, Decimal | int):
        return None if value is None else Decimal(value)
    rate: Decimal = value.base
    for tier in value.tiers:
        if over >= tier.start:
            rate = tier.price
    return rate


def genai_rates(price: Any, over: int, operation: str) -> dict[str, Any]:
    def rate(field: str) -> int | None:
        found = flat(getattr(price, field, None), over)
        return None if found is None else pusd(found / 1_000_000)

    found = {
        "in": rate("input_mtok"),
        "out": rate("output_mtok"),
        "cached": rate("cache_read_mtok"),
        "write": rate("cache_write_mtok") or rate("cache_write_5m_mtok"),
        "write_long": rate("cache_write_1h_mtok"),
        "audio_in": rate("input_audio_mtok"),
        "audio_out": rate("output_audio_mtok"),
        "image_in": rate("input_image_mtok"),
        "image_out": rate("output_image_mtok"),
        "cached_audio": rate("cache_audio_read_mtok"),
    }
    return compact(found | ({"out": 0} if operation == "embeddings" else {}))


def genai_price(price: Any, name: str, operation: str) -> dict[str, Any] | None:
    result = genai_rates(price, 0, operation)
    if name.endswith(":free") and not result:
        result = {"in": 0, "out": 0}
    if "in" not in result or "out" not in result:
        return None
    starts = {
        t.start
        for field in ("input_mtok", "output_mtok")
        for t in getattr(getattr(price, field), "tiers", ())
    }
    long: dict[str, Any] | None = None
    for start in sorted(starts, reverse=True):
        tier = genai_rates(price, start, operation)
        if long:
            tier |= long
        long = {"long_over": start, "long": tier}
    return result | (long or {})


def current(history: list[dict[str, Any]], today: str) -> int:
    """Index of the price that holds on `today`; announced prices come after it."""
    return max(
        (index for index, price in enumerate(history) if price.get("since", ALWAYS) <= today), default=0
    )


def genai_history(model: Any, name: str, operation: str, today: str) -> list[dict[str, Any]]:
    """Dated prices, oldest first; hours of the day folded into the highest of today."""
    conditional = model.prices if isinstance(model.prices, list) else None
    if conditional is None:
        price = genai_price(model.prices, name, operation)
        return [price] if price else []
    by_date: dict[str, dict[str, Any]] = {}
    hourly = []
    for item in conditional:
        price = genai_price(item.prices, name, operation)
        if price is None:
            continue
        start = getattr(item.constraint, "start_date", None)
        if item.constraint is None or start is not None:
            by_date[start.isoformat() if start else ALWAYS] = price
        else:
            hourly.append(price)
    history = [compact({"since": "" if date == ALWAYS else date}) | by_date[date] for date in sorted(by_date)]
    if hourly and history:
        now = current(history, today)
        history[now] |= max([history[now], *hourly], key=lambda price: (price["in"], price["out"]))
    return history


def clauses(match: Any) -> Iterator[Any]:
    inner = getattr(match, "or_", None)
    if inner is None:
        yield match
    for part in inner or ():
        yield from clauses(part)


def genai_names(model: Any) -> dict[str, bool]:
    """Names that have the price of `model` -> whether genai-prices names them outright."""
    names = {model.id: True}
    for clause in clauses(model.match):
        if equal := getattr(clause, "equals", None):
            names.setdefault(equal, True)
        start = getattr(clause, "starts_with", None)
        if start and start[-1].isalnum() and re.search(r"\d", start):
            names.setdefault(start, False)
    return names


def batch_rates(model: Any, operation: str, day: str) -> dict[str, Any]:
    """The batch price that holds on `day`; empty when none is listed."""
    newest: tuple[str, dict[str, Any]] = ("", {})
    for variant in model.price_variants or ():
        start = getattr(variant.constraint, "start_date", None)
        since = start.isoformat() if start else ALWAYS
        if variant.when == {"processing": "batch"} and newest[0] <= since <= day:
            rates = genai_rates(variant.prices, 0, operation)
            newest = since, compact({"batch_in": rates.get("in"), "batch_out": rates.get("out")})
    return newest[1]


def read_genai(wheel: Path, today: str) -> Source:
    source: Source = {}
    for listed in import_genai(wheel).providers:
        for provider in GENAI_PROVIDERS.get(listed.id, ()):
            source |= genai_entries(listed, provider, today)
    return source


def genai_entries(listed: Any, provider: str, today: str) -> Source:
    source: Source = {}
    named: Counter[str] = Counter(name for model in listed.models for name in genai_names(model))
    for model in listed.models:
        for name, exact in genai_names(model).items():
            if (named[name] > 1 and name != model.id) or not_text(name) or name.endswith((".ft-", "-")):
                continue
            if not is_name_at(provider, name):
                continue
            operation = "embeddings" if "embed" in name else "chat"
            history = genai_history(model, name, operation, today)
            # What a batch cost before today is not on record: only today's and announced prices have one.
            for price in history[current(history, today) :] if history else ():
                price |= batch_rates(model, operation, max(today, price.get("since", today)))
            if history or model.context_window:
                more = {"deprecated": True} if model.deprecated else {}
                source[provider, asked_by(provider, name)] = Entry(
                    operation, model.context_window, None, history, exact, more
                )
    return source


def is_name_at(provider: str, name: str) -> bool:
    """Whether a model can be asked for by `name`: genai-prices names some by families and habits."""
    match provider:
        case "gemini":
            return bool(GEMINI_API.match(name))
        case "vertex":
            return bool(VERTEX_NAMES.match(name))
        case "bedrock":
            return "." in name and "/" not in name and not name.startswith("regional.")
        case "perplexity" | "cerebras" | "moonshot" | "minimax" | "zai" | "ovhcloud":
            return ":" not in name and not name.startswith(f"{provider}/")
        case _:
            return True


def asked_by(provider: str, name: str) -> str:
    return FIREWORKS + name if provider == "fireworks" and "/" not in name else name


def by_rule(wheel: Path, source: Source, today: str) -> Source:
    """What genai-prices' rules say of the names of `source`."""
    found: Source = {}
    listed = {name: one for one in import_genai(wheel).providers for name in GENAI_PROVIDERS.get(one.id, ())}
    for (provider, name), entry in source.items():
        model = listed[provider].find_model(name) if provider in listed else None
        if model is not None:
            history = genai_history(model, name, entry.operation, today)
            if history:
                found[provider, name] = Entry(entry.operation, model.context_window, None, history, False)
    return found


def filled(price: dict[str, Any], rest: dict[str, Any]) -> dict[str, Any]:
    """`price` with what only `rest` has, prompts of the same length included."""
    found = price | {key: rate for key, rate in rest.items() if key not in price}
    if "long" in price and rest.get("long_over") == price.get("long_over"):
        found["long"] = filled(price["long"], rest["long"])
    return found


# -- merge ------------------------------------------------------------------------------------------


class Merge:
    """Applies the rules of the module's docstring and remembers every disagreement."""

    def __init__(self, litellm: Source, genai: Source, rules: Source, today: str) -> None:
        """`rules`: what genai-prices says of names that it does not name."""
        self.litellm = litellm
        self.genai = genai
        self.rules = rules
        self.today = today
        self.disagreements: list[str] = []
        self.windows: list[str] = []

    def checked(self, key: tuple[str, str]) -> str | None:
        """Whether both sources have today's price; None: only one has any."""
        ours, theirs = self.litellm.get(key), self.genai.get(key) or self.rules.get(key)
        if ours is None or theirs is None or not ours.prices or not theirs.prices:
            return None
        old, new = ours.prices[0], theirs.prices[current(theirs.prices, self.today)]
        return "agrees" if all(same(old[field], new[field]) for field in ("in", "out")) else "differs"

    def prices(self, key: tuple[str, str], ours: Entry | None, theirs: Entry | None) -> list[dict[str, Any]]:
        if ours is None or not ours.prices:
            return theirs.prices if theirs else []
        if theirs is None or not theirs.prices:
            return ours.prices
        now = current(theirs.prices, self.today)
        old, new = ours.prices[0], theirs.prices[now]
        agree = all(same(old[field], new[field]) for field in ("in", "out"))
        if agree:
            rest = {field: rate for field, rate in old.items() if field not in ("since", "in", "out")}
            return [*theirs.prices[:now], filled(new, rest), *theirs.prices[now + 1 :]]
        dated = "since" in new and theirs.exact
        self.disagreements.append(
            f"{'/'.join(key):55} litellm {old['in']:>9} {old['out']:>10}"
            f"   genai-prices {new['in']:>9} {new['out']:>10}"
            f"   {'genai-prices (since ' + new['since'] + ')' if dated else 'litellm'}"
        )
        if not dated:
            return ours.prices
        kept = {field: old[field] for field in ("factors", "fees") if field in old}  # they hold at any price
        return [*theirs.prices[:now], kept | new, *theirs.prices[now + 1 :]]

    def rows(self) -> Iterator[dict[str, Any]]:
        for key in sorted(self.litellm.keys() | self.genai.keys()):
            ours, theirs = self.litellm.get(key), self.genai.get(key)
            first = ours or theirs
            assert first is not None
            windows = [entry.context for entry in (ours, theirs) if entry and entry.context]
            if windows and not same(min(windows), max(windows)):
                self.windows.append("/".join(key))
            more = {**(theirs.more if theirs else {}), **(ours.more if ours else {})}
            yield compact(
                {
                    "provider": key[0],
                    "model": key[1],
                    "operation": "embeddings" if first.operation == "embeddings" else None,
                    "context": max(windows, default=None),
                    "output": ours.output if ours else None,
                    "prices": believable(key[1], self.prices(key, ours, theirs)),
                    "checked": self.checked(key),
                    **more,
                }
            )


def wheel_version(wheel: Path) -> str:
    return wheel.name.split("-")[1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("litellm", type=Path, help="litellm wheel")
    parser.add_argument("genai_prices", type=Path, help="genai-prices wheel")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--date", default=datetime.datetime.now(datetime.UTC).date().isoformat())
    options = parser.parse_args()
    litellm = read_litellm(options.litellm)
    genai = read_genai(options.genai_prices, options.date)
    rules = by_rule(options.genai_prices, litellm, options.date)
    merge = Merge(litellm, genai, rules, options.date)
    rows = with_places(with_releases(merge.rows()))
    sources = f"litellm-{wheel_version(options.litellm)} genai-prices-{wheel_version(options.genai_prices)}"
    options.out.write_bytes(written(f"{options.date} {sources}", rows))
    report(merge, rows, options.out)


def report(merge: Merge, rows: list[dict[str, Any]], out: Path) -> None:
    known = [line for line in merge.disagreements if WELL_KNOWN.match(line.split("/")[-1].strip())]
    print("Well-known models priced differently by more than 1 % (pico-dollars: input, output):")
    print("\n".join(known) or "none")
    print(f"... and {len(merge.disagreements) - len(known)} others")
    total, priced, embeddings = Counter[str](), Counter[str](), Counter[str]()
    for row in rows:
        total[row["provider"]] += 1
        priced[row["provider"]] += "prices" in row
        embeddings[row["provider"]] += row.get("operation") == "embeddings"
    for provider, count in total.items():
        counts = f"{count:5} models, {priced[provider]:5} priced, {embeddings[provider]:3} for embeddings"
        print(f"{provider:12} {counts}")
    dated = sum(any("since" in price for price in row.get("prices", ())) for row in rows)
    long = sum("long" in price for row in rows for price in row.get("prices", ()))
    known_to_both = Counter(row.get("checked") for row in rows if row.get("checked"))
    told = sum(bool(row.get("can")) for row in rows)
    full = sum(bool(row.get("can") and row.get("context") and DATES & row.keys()) for row in rows)
    print(f"both sources price {known_to_both.total()}: {dict(known_to_both)}")
    print(f"context windows that differ by more than 1 %: {len(merge.windows)}")
    print(f"{told} with capabilities, {full} of them with window and a date")
    print(f"{len(rows)} models, {priced.total()} priced, {dated} dated, {long} long-prompt prices")
    print(f"{out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
