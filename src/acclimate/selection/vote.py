"""Checkpoint selection by a vote of several scores."""

import math
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from acclimate.scores.mean_ranks import mean_ranks
from acclimate.scores.mean_score import MeanScore
from acclimate.scores.target_score import TargetScore
from acclimate.selection.checkpoint_selection import Selection


class Vote(Selection):
    """Callback that keeps the checkpoint with the better mean rank over several scores, among all validations so far.

    Ranks need no common unit, and no single score decides. A checkpoint that has lost is deleted, so later validations
    cannot bring it back. During training, `selection/value` grows by the lead of each checkpoint that is kept, in mean ranks
    of [0, 1], and is below the value of the kept one otherwise, so it is only meaningful within a run. The value of the
    selected checkpoint, which sweeps maximise, is the mean of its scores.

    Args:
        scores: Scores by names of your choice; they should have the same range, such as [0, 1].

    Raises:
        ValueError: If there is no score.
    """

    score: MeanScore

    def __init__(self, scores: Mapping[str, TargetScore]) -> None:
        super().__init__(MeanScore(list(scores.values()), name="vote"))
        self.history: dict[int, list[float]] = {}
        self.kept = 0
        self.level = 0.0

    def judge(self, trainer: pl.Trainer) -> Tensor:
        mean: Tensor = self.score.compute()
        # Without a finite mean, the scores have no values for this validation.
        votes = trainer.state.fn == "fit" and mean.isfinite()
        return torch.tensor(self.contend(trainer.global_step, self.score.values.tolist())) if votes else mean

    def contend(self, step: int, values: list[float]) -> float:
        """Rank the scores of a validation and return the value to log; NaN, without a vote, if a score is not finite."""
        if not all(map(math.isfinite, values)):
            return math.nan
        self.history[step] = values
        ranks: dict[int, float] = dict(zip(self.history, mean_ranks(torch.tensor(list(self.history.values()))).tolist(), strict=True))
        lead = ranks[step] - ranks.get(self.kept, 0.0)
        if lead <= 0:
            return self.level + lead
        self.kept, self.level = step, self.level + lead
        return self.level

    def state_dict(self) -> dict[str, Any]:
        return {"history": self.history, "kept": self.kept, "level": self.level}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history, self.kept, self.level = state_dict["history"], state_dict["kept"], state_dict["level"]
