"""A fitted model of how good each answer would be: weighted and calibrated heads, in one file.

It is relative to one reference, the model that was right most often. It predicts whether the reference is
right, and how far each other model falls short of it: that difference decides which model is asked, and
predicting it directly is more accurate than taking the difference of two predictions.
"""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from farthing.brain.route.learned.features import NAMES, VERSION, Floats, Reading, Readings
from farthing.brain.route.learned.heads import KINDS, Head, Rows
from farthing.errors import ConfigError

STRUCTURE_BOUND = 4.0  # standard deviations; values further out carry no more information
_FILE_VERSION = 1
_BYTES_MAX = 268_435_456
_PROBABILITY_MIN = 0.01


class Space(Struct, frozen=True):
    """How rows are prepared; fitted to the texts alone."""

    structure_mean: Floats
    structure_scale: Floats
    embedding_mean: Floats
    """Empty: fitted without embeddings."""
    embedding_scale: Floats
    axes: Floats
    """Shape (dims, parts): the principal axes of the embeddings."""

    @property
    def embeds(self) -> bool:
        return len(self.embedding_mean) > 0

    def rows(self, readings: Readings, vectors: Floats | None) -> Rows:
        """Raises:
        ValueError: `vectors` are missing or have another size than those it was fitted to.
        """
        structure: Floats = (readings.structure - self.structure_mean) * self.structure_scale
        np.minimum(structure, STRUCTURE_BOUND, out=structure)
        np.maximum(structure, -STRUCTURE_BOUND, out=structure)  # np.clip takes twice as long for a single row
        if not self.embeds:
            return Rows(structure, None, None, readings.words)
        if vectors is None or vectors.shape[1] != len(self.embedding_mean):
            raise ValueError(f"this model reads embeddings of {len(self.embedding_mean)} numbers")
        moved: Floats = vectors - self.embedding_mean
        embedding: Floats = moved * self.embedding_scale
        parts: Floats = moved @ self.axes
        return Rows(structure, embedding, parts, readings.words)


class About(Struct, frozen=True, kw_only=True):
    """The origin of a model."""

    embedder: str
    """Name of the embedder whose vectors it reads; empty: none."""
    data: str
    """Digest of the texts and outcomes it was fitted to."""
    examples: int
    made: str
    """ISO date."""


class RouteModel(Struct, frozen=True, kw_only=True):
    """Predicts how good the answer of each model would be."""

    about: About
    models: tuple[str, ...]
    """Tiers or targets: the reference first, then those fitted with it, then those that joined later."""
    fitted: int
    """How many of `models` were fitted together."""
    space: Space
    heads: Mapping[str, Head]
    weights: Floats
    """Shape (heads, fitted): the weight of each head for each output."""
    intercepts: Floats
    joined: Floats
    """Shape (heads * fitted + 1, joined): the weights of all head outputs, and the intercept, for the models
    that joined later."""
    calibration_error: Floats
    """Shape (models,): mean distance between predicted and actual in ten classes, on held-out data."""

    def probabilities(self, readings: Readings, vectors: Floats | None) -> Floats:
        """Shape (n, models): the probability that the answer is good enough, clipped 0.01 short of certainty.

        Raises:
            ValueError: `vectors` are missing or of another size.
        """
        return self.calibrated(self.predict(readings, vectors))

    def predict(self, readings: Readings, vectors: Floats | None) -> Floats:
        """Shape (n, heads, fitted): every head's predictions."""
        rows = self.space.rows(readings, vectors)
        return np.concatenate([head.predict(rows)[:, None] for head in self.heads.values()], axis=1)

    def calibrated(self, predicted: Floats) -> Floats:
        """`probabilities`, from the heads' predictions."""
        outputs = combined(predicted, self.weights, self.intercepts)
        found = outputs[:, :1] - outputs
        found[:, 0] = outputs[:, 0]
        if self.joined.shape[1]:
            flat = predicted.reshape(len(predicted), -1)
            found = np.concatenate([found, flat @ self.joined[:-1] + self.joined[-1]], axis=1)
        np.minimum(found, 1.0 - _PROBABILITY_MIN, out=found)
        np.maximum(found, _PROBABILITY_MIN, out=found)
        return found

    def one(self, reading: Reading, vector: Floats | None) -> list[float]:
        """`probabilities` for one text, in the order of `models`; 0.1 ms."""
        readings = Readings(reading.structure[None], (reading.words,))
        row: list[float] = self.probabilities(readings, None if vector is None else vector[None])[0].tolist()
        return row

    def save(self, path: Path) -> None:
        """Write one file atomically.

        Raises:
            OSError: it cannot be written.
        """
        arrays: dict[str, NDArray[Any]] = {
            "file_version": np.array(_FILE_VERSION),
            "features": np.array(VERSION),
            "names": np.array(NAMES),
            "models": np.array(self.models),
            "fitted": np.array(self.fitted),
            "about": np.array(
                [self.about.embedder, self.about.data, str(self.about.examples), self.about.made]
            ),
            "heads": np.array(tuple(self.heads)),
            "weights": self.weights,
            "intercepts": self.intercepts,
            "joined": self.joined,
            "calibration_error": self.calibration_error,
        }
        for name in self.space.__struct_fields__:
            arrays[f"space.{name}"] = getattr(self.space, name)
        for head, fitted in self.heads.items():
            for name, array in fitted.arrays().items():
                arrays[f"head.{head}.{name}"] = array
        beside = path.with_name(path.name + ".part")
        with beside.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
        beside.replace(path)


def combined(predicted: Floats, weights: Floats, intercepts: Floats) -> Floats:
    """Shape (n, outputs), from shape (n, heads, outputs)."""
    found: Floats = (predicted * weights).sum(axis=1) + intercepts
    return found


def load(path: Path) -> RouteModel:
    """Read what `save` wrote. Executes nothing that is in the file.

    Raises:
        ConfigError: it is missing, damaged, not such a file, or made for other features than these.
    """
    try:
        if path.stat().st_size > _BYTES_MAX:
            raise ConfigError(f"the routing model {path} is larger than {_BYTES_MAX} bytes")
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        if str(arrays["features"]) != VERSION or tuple(arrays["names"].tolist()) != NAMES:
            raise ConfigError(
                f"the routing model {path} was made for features {arrays['features']}, but this version "
                f"reads {VERSION}: fit it again"
            )
        if int(arrays["file_version"]) != _FILE_VERSION:
            raise ConfigError(
                f"the routing model {path} has a format that this version does not know: fit it again"
            )
        model = _of(arrays)
        _try(model)
        return model
    except (OSError, ValueError, KeyError, TypeError, IndexError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigError(f"the routing model {path} cannot be loaded: {error}") from error


def _of(arrays: Mapping[str, NDArray[Any]]) -> RouteModel:
    heads: dict[str, Head] = {}
    for name in arrays["heads"].tolist():
        start = f"head.{name}."
        own = {key.removeprefix(start): array for key, array in arrays.items() if key.startswith(start)}
        heads[name] = KINDS[name](**own)
    embedder, data, examples, made = arrays["about"].tolist()
    return RouteModel(
        about=About(embedder=embedder, data=data, examples=int(examples), made=made),
        models=tuple(arrays["models"].tolist()),
        fitted=int(arrays["fitted"]),
        space=Space(**{name: arrays[f"space.{name}"] for name in Space.__struct_fields__}),
        heads=heads,
        weights=arrays["weights"],
        intercepts=arrays["intercepts"],
        joined=arrays["joined"],
        calibration_error=arrays["calibration_error"],
    )


def _try(model: RouteModel) -> None:
    """Raises:
    ValueError: its parts do not match each other.
    """
    heads, fitted = len(model.heads), model.fitted
    shapes = (model.weights.shape, model.intercepts.shape, model.joined.shape)
    if shapes != ((heads, fitted), (fitted,), (heads * fitted + 1, len(model.models) - fitted)):
        raise ValueError(f"its weights have shapes {shapes}")
    dims = len(model.space.embedding_mean)
    reading = Reading(np.zeros(len(NAMES), np.float32), np.array([0, 1], np.int32))
    found = model.one(reading, np.zeros(dims, np.float32) if dims else None)
    if len(found) != len(model.models) or not np.isfinite(found).all():
        raise ValueError("its parts do not match each other")
