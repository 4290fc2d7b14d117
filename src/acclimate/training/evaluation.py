"""Accuracies of a checkpoint on the validation and test parts of both domains."""

from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from acclimate.config.check import check_config
from acclimate.config.machine import refuse_missing_files
from acclimate.config.method_options import declared_needs
from acclimate.data.leakage import count_seen, find_leaks, seen_by, warn_if_unknown, warn_of_leaks
from acclimate.diagnostics.divergence import advice
from acclimate.errors import DivergenceError
from acclimate.memory import explain_out_of_memory
from acclimate.runs.checkpoints import Checkpoint
from acclimate.training.assembly import Run, build, silence_known_advice
from acclimate.training.callbacks.final_predictions import FinalPredictions
from acclimate.training.class_results import class_results
from acclimate.training.misconfiguration import explain_misconfiguration
from acclimate.training.mistakes import write_mistakes
from acclimate.training.parts import NO_LOGGER, Config


class Evaluation(NamedTuple):
    """The results of testing a checkpoint.

    Attributes:
        metrics: Accuracies, and the value of the selection unless it depends on several validations.
        per_class: The rows of `class_results`.
    """

    metrics: dict[str, Any]
    per_class: list[dict[str, Any]]


def evaluate(config: Config, checkpoint: Checkpoint, *, allow_seen: bool = False, trust: Collection[str] = ()) -> dict[str, Any]:
    """Test a checkpoint, and return the metrics of `evaluate_classes`."""
    return evaluate_classes(config, checkpoint, allow_seen=allow_seen, trust=trust).metrics


def evaluate_classes(
    config: Config, checkpoint: Checkpoint, *, allow_seen: bool = False, trust: Collection[str] = (), mistakes: Path | None = None
) -> Evaluation:
    """Test a checkpoint, with the results of each class.

    Args:
        config: The configuration from the checkpoint, possibly with other data or another trainer.
        checkpoint: A checkpoint from `read_checkpoint`.
        allow_seen: Whether to allow test inputs that the checkpoint was trained or selected on; they are counted.
        trust: As for `trusted_config`.
        mistakes: A new folder for misclassified and uncertain inputs; None: do not keep them.

    Raises:
        UserError: For mistakes of the user, such as data with other classes than the model.
    """
    silence_known_advice()
    changes: Config = {
        "init_from": None,
        # Those that the checkpoint names are not trusted.
        "trust": sorted(trust),
        "callbacks": {"progress_bar": {"_target_": "acclimate.training.callbacks.progress_bar.ProgressBar"}},
        "logger": NO_LOGGER,
        # A test is too short for compilation to pay off.
        "trainer": {**config["trainer"], "compile": False, "default_root_dir": None},
    }
    config = config | changes
    check_config(config)
    needs_source = declared_needs(config["method"]).source != "none"
    refuse_missing_files(config if needs_source else {**config, "data": {**config["data"], "source": None}})
    with explain_out_of_memory(config), explain_misconfiguration():
        predictions = FinalPredictions()
        run = build(config, checkpoint, [predictions], allow_seen=allow_seen, trains=False)
        leaks = find_leaks(run.data.domains, seen_by(checkpoint))
        warn_of_leaks(leaks)
        warn_if_unknown(run.data.domains, checkpoint)
        metrics = evaluate_parts(run, checkpoint) | count_seen(leaks)
        has_head = not run.method.needs.is_self_supervised
        rows = class_results(predictions, run.data.domains) if has_head else []
        if mistakes is not None and has_head and run.trainer.is_global_zero:
            write_mistakes(mistakes, run.data, predictions)
    if run.selection.score is not None and run.selection.score.memory():
        # It depends on earlier validations, and there are none.
        del metrics["selection/value"]
    return Evaluation(metrics, rows)


def evaluate_parts(run: Run, checkpoint: Checkpoint) -> dict[str, Any]:
    """Return accuracies and the selection's value of a checkpoint, on the validation and test parts of both domains."""
    run.method.load_state_dict(checkpoint["state_dict"])
    metrics: dict[str, Any] = {}
    metrics.update(run.trainer.validate(run.method, run.data, verbose=False)[0])
    _refuse_predictions(run, "validation")
    metrics["selection/name"] = run.selection.name
    if run.selection.score is None:
        # The last validation is selected, so its step is the value.
        metrics["selection/value"] = float(checkpoint["global_step"])
    if run.data.evaluated_domains("test"):
        for results in run.trainer.test(run.method, run.data, verbose=False):
            metrics.update(results)
        _refuse_predictions(run, "test")
    return metrics


def _refuse_predictions(run: Run, part: str) -> None:
    if not run.selection.finite:
        raise DivergenceError(
            f"Predictions for {part} inputs are not finite: the weights are too large, or the inputs are not finite. {advice(run.config)}"
        )
