"""The trained verifier: rules, then a cheap model, then for near candidates a pair model that reads both
texts."""

import math
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from msgspec import Struct

from farthing.brain.cache.semantic.verify.features import NAMES, features
from farthing.brain.cache.semantic.verify.network import Network, Rows, sigmoid
from farthing.brain.cache.semantic.verify.parse import parse
from farthing.brain.cache.semantic.verify.rules import CHARS_MAX, Finding, finding_of
from farthing.errors import ConfigError, StoreError
from farthing.protocols import PairModel
from farthing.types import Verdict

if TYPE_CHECKING:
    from farthing.protocols import Vector

WEIGHTS = Path(__file__).resolve().parents[4] / "data" / "models" / "verifier.npz"
VERSION = 3  # covers the rules, the features and the weights
SCORE_MAX = 5.0
DISAGREED_MAX = 0.2
"""If the rules reject the pair, its probability is multiplied by this."""
DOUBTED_MAX = 0.9
"""The same where the rules only doubt; the default threshold to serve lies above it."""

TOO_LONG = 0.1
"""The probability for texts too long to be judged."""


class Thresholds(Struct, frozen=True, kw_only=True):
    """Thresholds on the calibrated probability that the stored answer is right."""

    serve: float
    abstain: float
    """Between this and `serve` the verifier abstains; below, it is a miss."""


class Weights:
    """The two small networks, their bounds, and the default thresholds."""

    def __init__(self, cheap: Network, final: Network, numbers: dict[str, float], pair_model: str) -> None:
        self.cheap = cheap
        self.final = final
        self.doubt = numbers["doubt"]
        """Below this probability from the cheap model, a pair is a miss at once."""
        self.sure = numbers["sure"]
        """From this probability on, the cheap model decides alone."""
        self.thresholds = Thresholds(serve=numbers["serve"], abstain=numbers["abstain"])
        self.pair_model = pair_model

    def save(self, path: Path) -> None:
        numbers = {"doubt": self.doubt, "sure": self.sure,
                   "serve": self.thresholds.serve, "abstain": self.thresholds.abstain}  # fmt: skip
        arrays: dict[str, Any] = {"names": np.array(NAMES), "pair_model": np.array(self.pair_model)}
        arrays |= {name: np.float64(value) for name, value in numbers.items()}
        arrays |= self.cheap.arrays("cheap") | self.final.arrays("final")
        with path.open("wb") as file:
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path: Path = WEIGHTS) -> "Weights":
        """Raises:
        ConfigError: the file is missing, damaged, or made for other features than this version's.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = dict(file)
            if tuple(arrays["names"].tolist()) != NAMES:
                raise ConfigError(
                    f"the verifier's weights {path} were made for other features than this version has"
                )
            numbers = {name: float(arrays[name]) for name in ("doubt", "sure", "serve", "abstain")}
            return cls(
                Network.of(arrays, "cheap"), Network.of(arrays, "final"), numbers, str(arrays["pair_model"])
            )
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ConfigError(f"the verifier's weights {path} cannot be loaded: {error}") from error

    def cheap_probabilities(self, rows: Rows) -> Rows:
        """Shape (n,), from rows of `features`, as if the rules found nothing certain."""
        return sigmoid(self.cheap.logits(rows))

    def final_probabilities(self, rows: Rows, scores: Rows) -> Rows:
        """Shape (n,), from rows of `features` and the pair model's logits."""
        return sigmoid(self.final.logits(with_score(rows, scores)))


def with_score(rows: Rows, scores: Rows) -> Rows:
    """The final network's inputs: the cosine, and the logit up to `SCORE_MAX`.

    The pair model is better at saying "no" than at saying how surely "yes": above the bound, on texts unlike
    its training data, its logit ranks no better than the cosine.
    """
    return np.column_stack([rows[:, 0], np.clip(scores, -8.0, SCORE_MAX)]).astype(np.float32)


def weighed(probability: float, finding: Finding | None) -> float:
    """The probability adjusted by the rules' finding."""
    if finding is None:
        return probability
    return probability * (DISAGREED_MAX if finding.certain else DOUBTED_MAX)


class TrainedVerifier:
    """Implements `protocols.Verifier`. Without a pair model, or when it fails, the best outcome is
    `abstain`."""

    def __init__(
        self,
        pair_model: PairModel | None,
        *,
        weights: Weights | None = None,
        thresholds: Thresholds | None = None,
    ) -> None:
        """Raises:
        ConfigError: the weights cannot be loaded, or were fitted for another pair model.
        """
        self._weights = weights or Weights.load()
        self._pair_model = pair_model
        self.name = f"trained/{VERSION}+{pair_model.name if pair_model else 'none'}"
        """Changes when a pair's probability can change, which ends certificates."""
        self.thresholds = thresholds or self._weights.thresholds
        if not 0.0 <= self.thresholds.abstain <= self.thresholds.serve <= 1.0:
            raise ConfigError("thresholds of the verifier: 0 <= abstain <= serve <= 1")
        if pair_model is not None and pair_model.name != self._weights.pair_model:
            raise ConfigError(
                f"the verifier's weights are for {self._weights.pair_model}, not for {pair_model.name}"
            )

    async def verify(
        self,
        asked: str,
        stored: str,
        asked_vector: "Vector",
        stored_vector: "Vector",
        *,
        language: str = "en",
    ) -> Verdict:
        if asked == stored:
            return Verdict(outcome="serve", probability=1.0, reason="the same text")
        if len(asked) > CHARS_MAX or len(stored) > CHARS_MAX:
            return Verdict(outcome="abstain", probability=TOO_LONG, reason="too long to compare")
        a, b = parse(asked), parse(stored)
        finding = finding_of(a, b, english=language == "en")
        row = features(a, b, asked_vector, stored_vector, finding=finding)[None]
        cheap = weighed(float(self._weights.cheap_probabilities(row)[0]), finding)
        if not math.isfinite(cheap):
            return Verdict(outcome="miss", probability=0.0, reason="no vector to compare with")
        if finding and finding.certain:
            return Verdict(outcome="miss", probability=cheap, reason=finding.reason)
        if cheap < self._weights.doubt:
            return Verdict(outcome="miss", probability=cheap, reason=f"too far apart {cheap:.2f}")
        if cheap >= self._weights.sure:
            return Verdict(outcome=self._outcome(cheap), probability=cheap, reason=f"near alike {cheap:.2f}")
        return await self._read_both(asked, stored, row, cheap, finding)

    async def _read_both(
        self, asked: str, stored: str, row: Rows, cheap: float, finding: Finding | None
    ) -> Verdict:
        if self._pair_model is None:
            return self._without(cheap, "no pair model")
        try:
            scores = await self._pair_model.scores([(asked, stored)])
        except StoreError:
            return self._without(cheap, "the pair model did not answer")
        found = float(self._weights.final_probabilities(row, np.array(scores, np.float32))[0])
        probability = weighed(found, finding)
        doubt = f", {finding.reason}" if finding else ""
        return Verdict(
            outcome=self._outcome(probability),
            probability=probability,
            reason=f"pair model {found:.2f}{doubt}",
        )

    def _without(self, cheap: float, why: str) -> Verdict:
        """Where the cheap model is unsure, it is never enough to serve."""
        outcome: Literal["abstain", "miss"] = "miss" if self._outcome(cheap) == "miss" else "abstain"
        return Verdict(outcome=outcome, probability=min(cheap, self._weights.thresholds.abstain), reason=why)

    def _outcome(self, probability: float) -> Literal["serve", "abstain", "miss"]:
        if probability >= self.thresholds.serve:
            return "serve"
        return "abstain" if probability >= self.thresholds.abstain else "miss"
