"""Selection among several runs by scores that need no target labels."""

import logging
import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from acclimate.config.messages import did_you_mean
from acclimate.errors import ConfigError
from acclimate.runs.comparison import Comparison, FinishedRun

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)

# Scores with equal weight in a vote; the same as in conf/selection/vote.yaml.
VOTERS = ("bnm", "corr_c", "class_ami", "source_accuracy")
VOTE = "vote"
SOURCE_ACCURACY = "source_accuracy"
# With a target and without one. Checkpoints are selected by `information_corr_c`, but several methods maximise information,
# so a comparison of methods by it would measure their objective more than their accuracy; none maximises correlation.
DEFAULTS = ("corr_c", SOURCE_ACCURACY)
ENSEMBLE = "ensemble_agreement"
NOT_ACROSS_RUNS = {"rankme": "it grows with the width of the features"}
PREDICTIONS = "target_predictions.npz"


class Pick(NamedTuple):
    """The selected method and run among runs of the same data.

    Attributes:
        data: The overrides that define the data.
        by: The name of the score.
        name: The selected method with its settings: the one with the highest mean score over seeds and folds, the first by name of
            several.
        tied: The names of others with the same mean score.
        scores: The mean score of each candidate, by its name.
        run: The folder of the selected method's run with the highest score.
        accuracy: Mean target test accuracy of the selected method; None if it is unknown for any run.
        oracle_name: The method with the highest target test accuracy; None if the target has no labels.
        oracle_accuracy: Mean target test accuracy of that method.
        run_scores: The score of each run of each candidate, by its folder.
    """

    data: frozenset[str]
    by: str
    name: str
    tied: list[str]
    scores: dict[str, float]
    run: Path
    accuracy: float | None
    oracle_name: str | None
    oracle_accuracy: float | None
    run_scores: dict[Path, float]


def pick(comparisons: Sequence[Comparison], by: str) -> list[Pick]:
    """Select a run for each data set, among all runs that have the score and were not selected by target labels.

    Args:
        comparisons: The results of `compare_runs`.
        by: A score of `conf/selection`; `vote` is the mean rank over `VOTERS`, and `ensemble_agreement` the agreement with
            the mean prediction of all runs of the same fold.

    Raises:
        ConfigError: If no run has the score, or it cannot be compared across runs.
    """
    if by in NOT_ACROSS_RUNS:
        raise ConfigError(f"by={by} compares only checkpoints of one run: {NOT_ACROSS_RUNS[by]}. Use by={DEFAULTS[0]}.")
    honest = [comparison for comparison in comparisons if not comparison.is_oracle]
    scored = [comparison for comparison in honest if _all_have(comparison, by)]
    if not scored:
        raise ConfigError(f"by={by}: no run has a finite value of this score.{_others(by, honest)}")
    data = dict.fromkeys(comparison.data for comparison in scored)
    return [_pick_among([comparison for comparison in scored if comparison.data == one], by) for one in data]


def _others(by: str, honest: Sequence[Comparison]) -> str:
    """Return the end of a message about a score that no run has: the names of those that can be chosen."""
    if not honest:
        return " All runs were selected by target labels, so none is compared by a score."
    known = {name.removeprefix("score/") for one in honest for run in one.metrics for name in run if name.startswith("score/")}
    names = [name for name in (*sorted(known - {*NOT_ACROSS_RUNS}), VOTE, ENSEMBLE) if any(_all_have(one, name) for one in honest)]
    return f"{did_you_mean(by, names)} Choose one of {', '.join(names)}." if names else " They have no scores: leave out by."


def _all_have(comparison: Comparison, by: str) -> bool:
    return all(has_score(run, by) for run in comparison.runs)


def pick_by_default(comparisons: Sequence[Comparison]) -> list[Pick]:
    """Select for each data set by the first of `DEFAULTS` that a run has; return nothing for runs without scores."""
    picks = []
    honest = [comparison for comparison in comparisons if not comparison.is_oracle]
    for data in dict.fromkeys(comparison.data for comparison in honest):
        same = [comparison for comparison in honest if comparison.data == data]
        by = next((score for score in DEFAULTS if any(has_score(run, score) for comparison in same for run in comparison.runs)), None)
        if by is not None and (scored := [comparison for comparison in same if _all_have(comparison, by)]):
            picks.append(_pick_among(scored, by))
    return picks


def _pick_among(candidates: Sequence[Comparison], by: str) -> Pick:
    # The first of equal scores is picked, so target labels must not influence the order.
    candidates = sorted(candidates, key=lambda candidate: candidate.name)
    scores = score_runs([run for candidate in candidates for run in candidate.runs], by)
    means = {candidate.name: statistics.fmean(candidate.repeated(scores).values()) for candidate in candidates}
    best = max(candidates, key=lambda candidate: means[candidate.name])
    accuracies = {
        candidate.name: statistics.fmean(known.values())
        for candidate in candidates
        if (known := candidate.measured("target/test_accuracy"))
    }
    oracle = max(accuracies, key=lambda name: accuracies[name]) if len(accuracies) == len(candidates) else None
    return Pick(
        data=best.data,
        by=by,
        name=best.name,
        tied=[name for name, mean in means.items() if mean == means[best.name] and name != best.name],
        scores=means,
        run=max((run.folder for run in best.runs), key=lambda folder: scores[folder]),
        accuracy=accuracies.get(best.name),
        oracle_name=oracle,
        oracle_accuracy=None if oracle is None else accuracies[oracle],
        run_scores=scores,
    )


def has_score(run: FinishedRun, by: str) -> bool:
    """Return True if a run has finite values of all that the score needs; runs without a target may not."""
    if by == ENSEMBLE:
        return (run.folder / PREDICTIONS).exists() and _has_finite_predictions(run)
    return all(f"score/{name}" in run.metrics for name in (VOTERS if by == VOTE else (by,)))


def score_runs(runs: Sequence[FinishedRun], by: str) -> dict[Path, float]:
    """Return the score of each run, by its folder.

    Raises:
        ConfigError: If the runs were validated on different numbers of inputs.
    """
    if by == ENSEMBLE:
        return _agreements(runs)
    if by == VOTE:
        import torch

        from acclimate.scores.mean_ranks import mean_ranks

        ranks = mean_ranks(torch.tensor([[run.metrics[f"score/{voter}"] for voter in VOTERS] for run in runs]))
        return dict(zip((run.folder for run in runs), ranks.tolist(), strict=True))
    return {run.folder: run.metrics[f"score/{by}"] for run in runs}


def _agreements(runs: Sequence[FinishedRun]) -> dict[Path, float]:
    folds = defaultdict[str, list[FinishedRun]](list)
    for run in runs:
        # Each fold has validation inputs of its own.
        folds[run.repetition[1]].append(run)
    if len(folds) > 1 and (alone := [fold for fold, same in folds.items() if len(same) == 1]):
        raise ConfigError(f"by={ENSEMBLE} needs several runs in each fold; fold {alone[0]} has one. Train others, or use by={DEFAULTS[0]}.")
    return {folder: agreement for same in folds.values() for folder, agreement in _agreements_in_fold(same).items()}


def _agreements_in_fold(runs: Sequence[FinishedRun]) -> dict[Path, float]:
    import torch

    from acclimate.scores.ensemble_agreement import ensemble_agreement

    predictions = [_predictions(run) for run in runs]
    if len({prediction.shape for prediction in predictions}) > 1:
        raise ConfigError(f"by={ENSEMBLE} needs runs that were validated on the same target inputs; these have different numbers of them.")
    return dict(zip((run.folder for run in runs), ensemble_agreement(torch.stack(predictions)).tolist(), strict=True))


def _has_finite_predictions(run: FinishedRun) -> bool:
    try:
        return bool(_predictions(run).isfinite().all())
    # A damaged file can make NumPy raise anything.
    except Exception as error:
        log.warning("Left out: %s cannot be read: %s", run.folder / PREDICTIONS, error)
        return False


def _predictions(run: FinishedRun) -> "Tensor":
    import torch

    from acclimate.data.archives import read_arrays

    return torch.from_numpy(read_arrays(run.folder / PREDICTIONS, ("probabilities",))["probabilities"]).float()
