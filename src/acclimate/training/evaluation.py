"""Accuracies of a checkpoint on the validation and test parts of both domains."""

from typing import Any

from acclimate.config.check import check_config
from acclimate.data.leakage import count_seen, find_leaks, seen_by, warn_if_unknown, warn_of_leaks
from acclimate.diagnostics.divergence import advice
from acclimate.errors import DivergenceError
from acclimate.memory import explain_out_of_memory
from acclimate.runs.checkpoints import (
    Checkpoint,
)
from acclimate.training.assembly import NO_LOGGER, Run, build, silence_known_advice
from acclimate.training.misconfiguration import explain_misconfiguration

Config = dict[str, Any]


def evaluate(config: Config, checkpoint: Checkpoint, *, allow_seen: bool = False) -> dict[str, Any]:
    """Tests a checkpoint.

    Args:
        config: The configuration from the checkpoint, perhaps with other data or another trainer.
        checkpoint: As `read_checkpoint` gives it.
        allow_seen: Whether it may be tested on images that trained or selected it. They are counted then.

    Returns:
        Accuracies and the selection's value, unless it is about a run's validations together.

    Raises:
        UserError: For whatever the user can mend, such as other classes than the model knows.
    """
    silence_known_advice()
    changes: Config = {
        "init_from": None,
        "trust": [],
        "callbacks": {"progress_bar": {"_target_": "acclimate.training.callbacks.progress_bar.ProgressBar"}},
        "logger": NO_LOGGER,
        # Too little to do for a compiler to pay.
        "trainer": {**config["trainer"], "compile": False, "default_root_dir": None},
    }
    config = config | changes
    check_config(config)
    with explain_out_of_memory(config), explain_misconfiguration():
        run = build(config, checkpoint, allow_seen=allow_seen)
        leaks = find_leaks(run.data.domains, seen_by(checkpoint))
        warn_of_leaks(leaks)
        warn_if_unknown(run.data.domains, checkpoint)
        metrics = evaluate_parts(run, checkpoint) | count_seen(leaks)
    if run.selection.score is not None and run.selection.score.memory():
        # It judges by the validations before this one, and there are none.
        del metrics["selection/value"]
    return metrics


def evaluate_parts(run: Run, checkpoint: Checkpoint) -> dict[str, Any]:
    """Accuracies and the selection's value of a checkpoint, on the validation and test parts of both domains."""
    run.method.load_state_dict(checkpoint["state_dict"])
    metrics: dict[str, Any] = {}
    metrics.update(run.trainer.validate(run.method, run.data, verbose=False)[0])
    _refuse_predictions(run, "validation")
    metrics["selection/name"] = run.selection.name
    if run.selection.score is None:
        # The last validation is the best, and its step says how late it was.
        metrics["selection/value"] = float(checkpoint["global_step"])
    if run.data.evaluated_domains("test"):
        for results in run.trainer.test(run.method, run.data, verbose=False):
            metrics.update(results)
        _refuse_predictions(run, "test")
    return metrics


def _refuse_predictions(run: Run, part: str) -> None:
    if not run.selection.finite:
        raise DivergenceError(
            f"Predictions for {part} images are not finite: the weights are too large, or the images hold such values. "
            f"{advice(run.nonfinite.config)}"
        )
