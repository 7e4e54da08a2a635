"""What the price list costs, in microseconds of processor time:

    python -m benchmarks.catalogue [--json]

`load_us` reads the file at the start. `first_us` is the first look-up of a provider, which reads its names,
and `first_unknown_us` the first of a name that is not found as it is; the largest of all providers is told.
`warm_*` are look-ups of each listed name once its entry was asked for, `cold_*` the first of each entry, and
the others are names that are written otherwise, dated, or not listed. Percentiles are over names, each of
them the least of a few runs where that is possible; no garbage is collected meanwhile.
"""

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable, Iterable
from functools import partial

from benchmarks.machine import machine
from farthing.models.pricing.catalogue import Catalogue

LEAST_OF = 5
TIMES = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true", dest="as_json")
    options = parser.parse_args()
    gc.disable()
    figures = measured()
    if options.as_json:
        print(json.dumps({"machine": machine(), **figures}, indent=2))
        return
    for name, value in figures.items():
        print(f"{name:<28}{value:>10.2f}" if isinstance(value, float) else f"{name:<28}{value:>10}")


def measured() -> dict[str, float | int]:
    load = min(_us(Catalogue.load) for _ in range(LEAST_OF * 4))
    catalogue = Catalogue.load()
    first = [_us(partial(catalogue.names, provider)) for provider in catalogue.providers()]
    names = [(provider, name) for provider in catalogue.providers() for name in catalogue.names(provider)]
    cold = [_us(partial(catalogue.find, *one)) for one in names]
    unknown = [_us(partial(catalogue.find, provider, "no-such-model")) for provider in catalogue.providers()]
    warm = _each(catalogue, names)
    return {
        "models": len(names),
        "load_us": load,
        "first_us": max(first),
        "first_unknown_us": max(unknown),
        **_spread("cold", cold),
        **_spread("warm", warm),
        **_spread("upper_case", _each(catalogue, ((p, name.upper()) for p, name in names))),
        **_spread("dated", _each(catalogue, ((p, f"{name}-2031-01-01") for p, name in names))),
        **_spread("not_listed", _each(catalogue, ((p, f"no-such-{name}") for p, name in names))),
    }


def _each(catalogue: Catalogue, names: Iterable[tuple[str, str]]) -> list[float]:
    return [min(_us(partial(catalogue.find, *one), TIMES) for _ in range(LEAST_OF)) for one in names]


def _spread(name: str, values: list[float]) -> dict[str, float]:
    return {f"{name}_p50_us": statistics.median(values), f"{name}_worst_us": max(values)}


def _us(call: Callable[[], object], times: int = 1) -> float:
    began = time.process_time_ns()
    for _ in range(times):
        call()
    return (time.process_time_ns() - began) / 1_000 / times


if __name__ == "__main__":
    main()
