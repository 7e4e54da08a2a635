"""`farthing train`: fit what learns, from files of scored examples."""

from pathlib import Path

import click
import msgspec

from farthing.cli.groups import SubcommandGroup
from farthing.errors import ConfigError
from farthing.wiring.routing import Trained
from farthing.wiring.routing import train as train_router


@click.group("train", cls=SubcommandGroup)
def command() -> None:
    """Fit what learns, from scored examples."""


@command.command("route")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="JSON lines, `.gz` or plain.")
@click.option(
    "--models",
    required=True,
    help="Columns with the quality of each model's answer, the cheap one first: tiers, or provider/model.",
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="The model file, for route.model."
)
@click.option(
    "--samples", type=click.Path(path_type=Path), help="Also write held-out scores for `calibrate route`."
)
@click.option("--no-embedding", is_flag=True, help="Read structure and words alone; quicker, and worse.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def route(
    data: Path, models: str, out: Path, samples: Path | None, no_embedding: bool, as_json: bool
) -> None:
    """Fit the learned router to --data and write it to --out.

    Each line has a `prompt` and, for each of --models, how good its answer was, from 0 to 1. A few hundred
    lines are the least; a few thousand are better.
    """
    names = [name.strip() for name in models.split(",") if name.strip()]
    if len(names) < 2 or len(set(names)) < len(names):
        raise ConfigError("--models: name two different columns or more, the cheap one first")
    try:
        trained = train_router(
            data, names, out, embed=not no_embedding, say=lambda line: click.echo(line, err=True)
        )
    except ValueError as error:
        raise ConfigError(f"{data}: {error}") from error
    except OSError as error:
        raise ConfigError(f"{out} cannot be written: {error.strerror}") from error
    if samples is not None:
        _write(samples, trained)
    if as_json:
        shown = {
            name: getattr(trained, name) for name in ("examples", "models", "quality", "calibration_error")
        }
        click.echo(msgspec.json.encode({**shown, "out": str(out)}))
        return
    for name, quality, gap in zip(trained.models, trained.quality, trained.calibration_error, strict=True):
        click.echo(f"{name:30} quality {quality:.3f}, predicted within {gap:.3f} on average")
    click.echo(f"{out} is fitted to {trained.examples} examples. To use it:")
    click.echo(f'  [route]\n  kind = "learned"\n  model = "{out}"')
    if samples is not None:
        click.echo(
            f"A threshold with a certificate: farthing calibrate route --endpoint NAME --samples {samples}"
        )


def _write(path: Path, trained: Trained) -> None:
    rows = zip(trained.scores, trained.outcomes, strict=True)
    lines = (
        msgspec.json.encode(
            {
                "request_id": f"row-{number}",
                "score": score,
                "cheap": quality[0],
                "expensive": max(quality[1:]),
            }
        )
        for number, (score, quality) in enumerate(rows, 1)
    )
    try:
        path.write_bytes(b"\n".join(lines) + b"\n")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
