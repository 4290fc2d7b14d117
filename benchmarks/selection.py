"""Comparison of scores that select without target labels: checkpoints of a run, hyper-parameters of a method, and methods.

It trains nothing, but reads the runs of `benchmarks/methods.py` and the predictions of all their checkpoints. The oracle
selects by the accuracy on the target's labelled validation images. The regret of a score is the difference in accuracy on the
target's test images between the oracle's selection and its own, which may be negative by chance.

    make benchmark-selection
    python benchmarks/selection.py outputs/benchmarks
"""

import argparse
import json
import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from program import FOLDER, Results
from rich.console import Console
from scipy.stats import spearmanr
from torch import Tensor

from acclimate.files.atomic_files import write_json
from acclimate.scores.all_scores import GROUPS
from acclimate.scores.automatic import Automatic
from acclimate.scores.ensemble_agreement import EnsembleAgreement, ensemble_agreement
from acclimate.scores.mean_ranks import mean_ranks
from acclimate.scores.ordering import nan_lowest
from acclimate.selection.model_selection import DEFAULTS, ENSEMBLE, NOT_ACROSS_RUNS, VOTE, VOTERS
from acclimate.selection.vote import Vote
from acclimate.types import Prediction

# Settings whose runs differ only in hyper-parameters, with their common data.
DATA = {
    "fonts_to_handwriting": ("fonts_to_handwriting", "low_rate", "high_rate"),
    "partial_overlap": ("partial_overlap",),
    "mnist_to_mnist_m": ("mnist_to_mnist_m",),
}
SINGLE = tuple(score for group in GROUPS for score in group)
LAST, ORACLE = "last", "oracle"
DEFAULT = Automatic().with_target.name
# As in training and `acclimate compare`: one score selects the checkpoint of each run, another one selects among the runs.
THEN = ", then "
AS_USED = f"{DEFAULT}{THEN}{DEFAULTS[0]}"
NAMES = (*(score.name for score in SINGLE), VOTE, ENSEMBLE, LAST, AS_USED)


class Run(NamedTuple):
    """A finished run.

    Attributes:
        scores: Scores of all checkpoints by name, in the order of training.
        probabilities: Probabilities of the target's validation images, shape (checkpoints, N, K).
        val: Accuracy of each checkpoint on the target's labelled validation images, which the oracle uses.
        test: Accuracy of each checkpoint on the target's test images.
    """

    setting: str
    method: str
    seed: str
    scores: dict[str, list[float]]
    probabilities: Tensor
    val: list[float]
    test: list[float]

    def chosen(self, name: str) -> int:
        """Return the index of the checkpoint that a score selects; ties go to the first one."""
        values = self.val if name == ORACLE else self.scores[name.partition(THEN)[0]]
        return max(range(len(values)), key=lambda place: nan_lowest(values[place]))


def read_run(folder: Path) -> Run:
    """Read a run with the scores of all its checkpoints, which are computed once and kept in its folder."""
    predictions = torch.load(folder / "predictions.pt", weights_only=True)
    accuracies = json.loads((folder / "checkpoints.json").read_text())
    kept = folder / "scores.json"
    if not kept.exists():
        write_json(kept, score_checkpoints(predictions))
    probabilities = torch.stack([logits.float().softmax(dim=1) for _, logits in predictions["target"]])
    val, test = ([checkpoint[key] for checkpoint in accuracies] for key in ("oracle/val_accuracy", "target/test_accuracy"))
    scores = {name: [math.nan if value is None else value for value in values] for name, values in json.loads(kept.read_text()).items()}
    return Run(*folder.parts[-3:], scores, probabilities, val, test)


def score_checkpoints(predictions: dict[str, list[tuple[Tensor, Tensor]]]) -> dict[str, list[float]]:
    """Compute all scores of all checkpoints, as training would have logged them."""
    scores = {score.name: score() for score in (*SINGLE, EnsembleAgreement)}
    values: dict[str, list[float]] = defaultdict(list)
    for source, target in zip(predictions["source"], predictions["target"], strict=True):
        for name, score in scores.items():
            score.reset()
            score.update("source", Prediction(*source), predictions["source_labels"])
            score.update("target", Prediction(*target), None)
            values[name].append(float(score.compute()))
    vote = Vote({voter: scores[voter] for voter in VOTERS})
    values[VOTE] = [vote.contend(step, [values[voter][number] for voter in VOTERS]) for number, step in enumerate(predictions["steps"])]
    values[LAST] = [float(step) for step in predictions["steps"]]
    return values


def scores_across(runs: Sequence[Run], name: str) -> list[float]:
    """Return the score of the checkpoint that it selects in each run."""
    if name == ENSEMBLE:
        return ensemble_agreement(torch.stack([run.probabilities[run.chosen(name)] for run in runs])).tolist()
    if name == VOTE:
        return mean_ranks(torch.tensor([[run.scores[voter][run.chosen(name)] for voter in VOTERS] for run in runs])).tolist()
    return [run.scores[name.rpartition(THEN)[2]][run.chosen(name)] for run in runs]


def regret_of_checkpoint(run: Run, name: str) -> float:
    """Return the regret of the checkpoint that a score selects in a run."""
    return run.test[run.chosen(ORACLE)] - run.test[run.chosen(name)]


def regret_of_run(runs: Sequence[Run], name: str) -> float:
    """Return the regret of the run, with its checkpoint, that a score selects."""
    scores = scores_across(runs, name)
    pick = runs[max(range(len(runs)), key=lambda place: nan_lowest(scores[place]))]
    best = max(runs, key=lambda run: nan_lowest(run.val[run.chosen(ORACLE)]))
    return best.test[best.chosen(ORACLE)] - pick.test[pick.chosen(name)]


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Return Spearman's rank correlation; 0 if all values of one side are equal."""
    return float(spearmanr(first, second).statistic) if len({*first}) > 1 and len({*second}) > 1 else 0.0


class Row(NamedTuple):
    """A score on one data set: mean regrets in points and mean rank correlations with the test accuracy; NaN if undefined."""

    score: str
    num_runs: int
    checkpoint_regret: float
    checkpoint_correlation: float
    parameter_regret: float
    method_regret: float
    method_correlation: float


def judge(name: str, runs: Sequence[Run]) -> Row:
    """Evaluate a score over all runs of one data set; methods are compared in the seeds that all of them have."""
    num_methods = {setting: len({run.method for run in runs if run.setting == setting}) for setting in {run.setting for run in runs}}
    methods = [group for group in grouped(runs, lambda run: (run.setting, run.seed)) if len(group) == num_methods[group[0].setting] > 1]
    parameters = [group for group in grouped(runs, lambda run: (run.method, run.seed)) if len(group) > 1]
    crosses = name not in (LAST, *NOT_ACROSS_RUNS)
    tests = [[run.test[run.chosen(name)] for run in group] for group in methods]
    return Row(
        name,
        len(runs),
        mean([100 * regret_of_checkpoint(run, name) for run in runs]),
        mean([rank_correlation(run.scores[name.partition(THEN)[0]], run.test) for run in runs]),
        mean([100 * regret_of_run(group, name) for group in parameters if crosses]),
        mean([100 * regret_of_run(group, name) for group in methods if crosses]),
        mean([rank_correlation(scores_across(group, name), test) for group, test in zip(methods, tests, strict=True) if crosses]),
    )


def grouped(runs: Sequence[Run], key: Callable[[Run], tuple[str, str]]) -> Iterator[list[Run]]:
    """Group runs by a key."""
    groups = defaultdict(list)
    for run in runs:
        groups[key(run)].append(run)
    yield from groups.values()


def mean(values: Sequence[float]) -> float:
    return statistics.fmean(values) if values else math.nan


HEADINGS = ("score", "checkpoints", "ρ", "hyper-parameters", "methods", "ρ")
CAPTION = (
    "Regret: difference in test accuracy to the oracle's selection in points, the mean over runs, over methods and seeds, and over "
    "hyper-parameters and seeds. ρ: rank correlation with the test accuracy, of a run's checkpoints and of methods. "
    "◂ marks the defaults of training and acclimate compare."
)


def cells(row: Row) -> list[str]:
    """Return the cells of a score's row."""
    numbers = (row.checkpoint_regret, row.checkpoint_correlation, row.parameter_regret, row.method_regret, row.method_correlation)
    return [row.score + " ◂" * (row.score == AS_USED), *("–" if math.isnan(number) else f"{number:.2f}" for number in numbers)]


def draw(runs: dict[str, list[Run]], file: Path) -> None:
    """Plot the default score of each checkpoint against its test accuracy, with a panel per data set and a colour per method."""
    figure = Figure(figsize=(5 * len(runs), 4), layout="constrained")
    FigureCanvasAgg(figure)
    methods = sorted({run.method for group in runs.values() for run in group})
    colours = {method: (number % 20, "os^"[number // 20]) for number, method in enumerate(methods)}
    for number, (data, group) in enumerate(runs.items(), start=1):
        axes = figure.add_subplot(1, len(runs), number)
        for method in sorted({run.method for run in group}):
            of_method = [run for run in group if run.method == method]
            scores, tests = (
                [value for run in of_method for value in values(run)] for values in (lambda r: r.scores[DEFAULT], lambda r: r.test)
            )
            colour, marker = colours[method]
            axes.scatter(scores, tests, s=12, color=f"C{colour % 10}", alpha=1.0 if colour < 10 else 0.5, marker=marker, label=method)
        axes.set(title=data, xlabel=f"{DEFAULT} (no target labels)", ylabel="accuracy on target test images")
    figure.axes[0].legend(fontsize=5, ncols=2, loc="upper left")
    figure.savefig(file, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, help="where the benchmarks of methods wrote")
    folder = parser.parse_args().folder
    console = Console()
    console = console if console.is_terminal else Console(width=140)
    torch.set_num_threads(1)
    found = {
        data: [read_run(file.parent) for setting in settings for file in sorted((folder / "runs" / setting).glob("*/*/checkpoints.json"))]
        for data, settings in DATA.items()
    }
    found = {data: runs for data, runs in found.items() if runs}
    if not found:
        parser.error(f"there are no finished runs in {folder}: type make benchmark-selection.")
    markdown, contents = [], {}
    for data, runs in found.items():
        rows = sorted((judge(name, runs) for name in NAMES), key=lambda row: nan_lowest(-row.checkpoint_regret), reverse=True)
        title = f"{data}: {len(runs)} runs, {len({run.method for run in runs})} methods, {len({run.setting for run in runs})} settings"
        results = Results(title, HEADINGS, [cells(row) for row in rows], CAPTION)
        results.show(console)
        markdown.append(results.markdown())
        contents[data] = [row._asdict() for row in rows]
    write_json(folder / "selection.json", contents)
    (folder / "selection.md").write_text("\n".join(markdown))
    draw(found, folder / "selection.png")
    console.print(f"Everything is in {folder}: selection.md, selection.json, selection.png")


if __name__ == "__main__":
    main()
