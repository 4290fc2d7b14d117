"""The moving average of the weights, which is validated, selected and saved."""

import torch
from pytorch_lightning.callbacks import Callback
from small_runs import compose, differences

from acclimate.runs import checkpoints
from acclimate.training import assembly, evaluation
from acclimate.training.callbacks.last_checkpoint import LastCheckpoint
from acclimate.training.stop_signals import StopSignals

DECAY = 0.6
AVERAGED = (f"callbacks.ema.decay={DECAY}", "optimizer.lr=0.01", "trainer.max_epochs=3")
PREFIX = "classifier."


class Weights(Callback):
    """Notes what trains after each step, and what is validated."""

    def __init__(self):
        self.trained, self.validated = [], {}

    def on_train_batch_end(self, trainer, method, *rest):
        self.trained.append(copied(method))

    def on_validation_batch_end(self, trainer, method, *rest):
        self.validated[trainer.global_step if trainer.state.fn == "fit" else "after"] = copied(method)


def copied(method):
    return {name: value.clone() for name, value in method.classifier.state_dict().items()}


def fitted(folder, archives, *overrides):
    """A run with what its callbacks noted."""
    last = LastCheckpoint(checkpoints.last_checkpoint(folder), StopSignals())
    parts = assembly.build(compose(folder, *archives, "method=dann", *AVERAGED, *overrides), None, [last])
    weights = Weights()
    parts.trainer.callbacks.insert(0, weights)
    parts.trainer.fit(parts.method, parts.data)
    return parts, weights


def average_of(weights):
    """The average written again, from the weights after each step."""
    average = weights[0]
    for number, current in enumerate(weights[1:], start=2):
        keep = min(DECAY, 1 - 1 / number)
        average = {
            name: keep * value + (1 - keep) * current[name] if value.is_floating_point() else current[name]
            for name, value in average.items()
        }
    return average


def saved(folder, checkpoint):
    contents = torch.load(folder / "checkpoints" / checkpoint, weights_only=True)
    return contents, {name.removeprefix(PREFIX): value for name, value in contents["state_dict"].items() if name.startswith(PREFIX)}


def test_average_is_that_of_the_weights_after_each_step(archives, tmp_path):
    _, weights = fitted(tmp_path, archives)
    for step, validated in weights.validated.items():
        assert step in (5, 10, 15)
        torch.testing.assert_close(validated, average_of(weights.trained[:step]), rtol=1e-5, atol=1e-7)


def test_accumulated_batches_count_once(archives, tmp_path):
    _, weights = fitted(tmp_path, archives, "trainer.accumulate_grad_batches=5", "trainer.max_epochs=2")
    torch.testing.assert_close(weights.validated[2], average_of([weights.trained[4], weights.trained[9]]), rtol=1e-5, atol=1e-7)


def test_training_takes_no_notice(archives, tmp_path):
    _, with_average = fitted(tmp_path / "with", archives)
    _, without = fitted(tmp_path / "without", archives, "callbacks.ema.decay=0")
    assert differences(with_average.trained, without.trained) == []
    assert differences(without.validated[15], without.trained[-1]) == []


def test_checkpoints_hold_the_weights_that_were_scored(archives, tmp_path):
    _, weights = fitted(tmp_path, archives)
    last, last_weights = saved(tmp_path, "last.ckpt")
    assert differences(last_weights, weights.validated[15]) == []
    assert differences(last["trained_weights"], weights.trained[-1]) == []
    best, best_weights = saved(tmp_path, "best.ckpt")
    assert differences(best_weights, weights.validated[best["global_step"]]) == []


def test_what_is_evaluated_after_the_training_is_the_selected_checkpoint(archives, tmp_path):
    """Not the average that the training ended with; the first is the best here."""
    parts, weights = fitted(tmp_path, archives, "selection=last", "callbacks.checkpoint.mode=min")
    best = checkpoints.read_checkpoint(tmp_path / "checkpoints" / "best.ckpt")
    metrics = evaluation.evaluate_parts(parts, best)
    assert differences(weights.validated["after"], weights.validated[5]) == []
    config = best["config"]
    del config["trainer"]["enable_progress_bar"]
    assert evaluation.evaluate(config, best)["source/val_accuracy"] == metrics["source/val_accuracy"]
