"""Which of several runs to keep, by scores that need no label of the target."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from acclimate.comparison import Comparison, FinishedRun, mean_and_deviation
from acclimate.errors import ConfigError

# Each counts the same in a vote; conf/selection/vote.yaml has the same ones.
VOTERS = ("bnm", "corr_c", "class_ami", "source_accuracy")
VOTE = "vote"
ENSEMBLE = "ensemble_agreement"
NOT_ACROSS_RUNS = {"rankme": "it grows with the width of the features"}
PREDICTIONS = "target_predictions.npz"


class Pick(NamedTuple):
    """What a score prefers among runs of the same data.

    Attributes:
        data: The overrides that say which images these are.
        by: The score.
        name: The method, with its settings, whose mean score over the seeds is highest.
        scores: The mean of every candidate, by its name.
        run: The folder of its run with the highest score.
        accuracy: Its mean target test accuracy; None if the target has no labels.
        oracle_name: What target test labels prefer; None if there are none.
        oracle_accuracy: Its mean target test accuracy.
    """

    data: frozenset[str]
    by: str
    name: str
    scores: dict[str, float]
    run: Path
    accuracy: float | None
    oracle_name: str | None
    oracle_accuracy: float | None


def default_score(comparisons: Sequence[Comparison]) -> str | None:
    """What all runs have: `information`, without a target `source_accuracy`, or None for runs that logged no scores."""
    metrics = [run for comparison in comparisons for run in comparison.metrics]
    return next((name for name in ("information", "source_accuracy") if all(f"score/{name}" in run for run in metrics)), None)


def pick(comparisons: Sequence[Comparison], by: str) -> list[Pick]:
    """The pick for each set of images, among all that was not selected by target labels.

    Args:
        comparisons: As `compare_runs` gives them.
        by: A score of `conf/selection`; `vote` takes the mean rank over `VOTERS`, and `ensemble_agreement` the agreement
            with the mean prediction of all runs.

    Raises:
        ConfigError: If a run lacks the score, or it cannot be compared across runs.
    """
    picks = []
    honest = [comparison for comparison in comparisons if not comparison.is_oracle]
    for data in dict.fromkeys(comparison.data for comparison in honest):
        candidates = [comparison for comparison in honest if comparison.data == data]
        scores = score_runs([run for candidate in candidates for run in candidate.runs], by)
        means = {candidate.name: mean_and_deviation([scores[run.folder] for run in candidate.runs])[0] for candidate in candidates}
        best = max(candidates, key=lambda candidate: means[candidate.name])
        accuracies = {
            candidate.name: mean_and_deviation(candidate.values("target/test_accuracy"))[0]
            for candidate in candidates
            if candidate.values("target/test_accuracy")
        }
        oracle = max(accuracies, key=lambda name: accuracies[name]) if len(accuracies) == len(candidates) else None
        picks.append(
            Pick(
                data,
                by,
                best.name,
                means,
                max((run.folder for run in best.runs), key=lambda folder: scores[folder]),
                accuracies.get(best.name),
                oracle,
                None if oracle is None else accuracies[oracle],
            )
        )
    return picks


def score_runs(runs: Sequence[FinishedRun], by: str) -> dict[Path, float]:
    """The score of each run, by its folder.

    Raises:
        ConfigError: If a run lacks it, or it cannot be compared across runs.
    """
    if by in NOT_ACROSS_RUNS:
        raise ConfigError(f"by={by} compares checkpoints of one run alone: {NOT_ACROSS_RUNS[by]}. Use by=information.")
    if by == ENSEMBLE:
        return _agreements(runs)
    if by == VOTE:
        import torch

        from acclimate.metrics.mean_ranks import mean_ranks

        ranks = mean_ranks(torch.tensor([[_logged(run, voter) for voter in VOTERS] for run in runs]))
        return dict(zip((run.folder for run in runs), ranks.tolist(), strict=True))
    return {run.folder: _logged(run, by) for run in runs}


def _logged(run: FinishedRun, score: str) -> float:
    key = f"score/{score}"
    if key not in run.metrics:
        known = sorted(name.removeprefix("score/") for name in run.metrics if name.startswith("score/"))
        allowed = ", ".join([VOTE, ENSEMBLE, *(name for name in known if name not in NOT_ACROSS_RUNS)]) if known else "none: train it again"
        raise ConfigError(f"by={score}: {run.folder} has no such score. It has {allowed}.")
    return float(run.metrics[key])


def _agreements(runs: Sequence[FinishedRun]) -> dict[Path, float]:
    import numpy as np
    import torch

    from acclimate.metrics.ensemble_agreement import ensemble_agreement

    missing = [str(run.folder) for run in runs if not (run.folder / PREDICTIONS).exists()]
    if missing:
        raise ConfigError(f"by={ENSEMBLE} needs {PREDICTIONS}, which {missing[0]} does not have: train it again, with a target.")
    predictions = [torch.from_numpy(np.load(run.folder / PREDICTIONS)["probabilities"]).float() for run in runs]
    if len({prediction.shape for prediction in predictions}) > 1:
        raise ConfigError(f"by={ENSEMBLE} needs runs that were validated on the same target images; these have different numbers of them.")
    return dict(zip((run.folder for run in runs), ensemble_agreement(torch.stack(predictions)).tolist(), strict=True))
