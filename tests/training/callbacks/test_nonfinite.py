"""Losses, gradients, weights and predictions that are not finite never reach a step, a checkpoint or a report."""

import json
import math
import sys

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from PIL import Image
from pytorch_lightning.plugins.precision import MixedPrecision
from small_runs import SMALL, compose, differences, train_and_stop, trained_state

from acclimate import cli
from acclimate.errors import DivergenceError, Interrupted, UserError
from acclimate.inference.prediction import predict
from acclimate.runs.checkpoint_files import last_checkpoint
from acclimate.runs.checkpoints import read_checkpoint
from acclimate.scores.domain_accuracy import SourceAccuracy
from acclimate.training import assembly, evaluation, run
from acclimate.training.callbacks import nonfinite
from acclimate.training.callbacks.last_checkpoint import LastCheckpoint

NAN, INF = math.nan, math.inf
# The key that the message names, what it is set to, and the method.
WAYS = [
    ("optimizer.lr", 1e20, "dann"),
    ("optimizer.lr", INF, "dann"),
    ("optimizer.lr", 1e20, "mcd"),
    ("optimizer.lr", 1e20, "wdgrl"),
    ("optimizer.lr", 1e20, "adda"),
    ("optimizer.lr", 1e20, "bsp"),
    ("optimizer.lr", 1e20, "bnm"),
    ("optimizer.lr", 1e20, "deep_jdot"),
    ("optimizer.lr", 1e20, "jan"),
    ("optimizer.lr", 1e30, "shot"),
    ("optimizer.lr", 1e30, "tent"),
    ("optimizer.weight_decay", INF, "dann"),
    ("method.max_reversal", NAN, "dann"),
    ("method.max_reversal", INF, "cdan"),
    ("method.steepness", NAN, "dann"),
    ("method.class_weights", [NAN, 1.0, 1.0], "dann"),
    ("method.class_weights", [INF, 1.0, 1.0], "deep_jdot"),
    ("method.feature_weight", NAN, "deep_jdot"),
    ("method.label_weight", INF, "deep_jdot"),
    ("method.penalty_weight", NAN, "wdgrl"),
    ("method.adversarial_weight", NAN, "adda"),
    ("method.term_weights", {"mcc": INF}, "mcc"),
    ("scheduler.speed", NAN, "source_only"),
]


def with_value(config, key, value):
    """The configuration with a number that command lines cannot write, such as NaN, at a key."""
    *path, last = key.split(".")
    node = config
    for name in path:
        node = node[name]
    node[last] = value
    return config


@pytest.mark.parametrize(("key", "value", "method"), WAYS, ids=str)
def test_run_that_diverges_stops_and_names_the_key(archives, tmp_path, monkeypatch, key, value, method):
    # Which finds many of these before the training.
    monkeypatch.setattr(run, "check_config", lambda config: None)
    config = with_value(compose(tmp_path, *archives, f"method={method}"), key, value)
    with pytest.raises(UserError, match=key):
        run.train(config)
    assert not (tmp_path / "metrics.json").exists()
    for checkpoint in tmp_path.glob("checkpoints/*.ckpt"):
        assert_finite(read_checkpoint(checkpoint)["state_dict"])


def assert_finite(state):
    assert [name for name, value in state.items() if not value.isfinite().all()] == []


class Bad(torch.autograd.Function):
    """The features themselves, and a value that is not finite in their place or in that of their gradient."""

    @staticmethod
    def forward(context, features, forward, backward):
        context.factor = backward
        return forward * features

    @staticmethod
    def backward(context, gradient):
        return context.factor * gradient, None, None


class Unstable:
    """Makes the predictions, or their gradients, of some training batches NaN; each batch is counted from 0."""

    def __init__(self, batches, *, only_gradient=False):
        self.batches = batches
        self.only_gradient = only_gradient

    def attach(self, parts):
        method = parts.method
        body = method.classifier.backbone.body
        forward = body.forward

        def unstable(images):
            is_bad = body.training and method.batches_done in self.batches
            # In front of the batch norm.
            images = Bad.apply(images, NAN, 1.0) if is_bad and not self.only_gradient else images
            features = forward(images)
            return Bad.apply(features, 1.0, NAN) if is_bad and self.only_gradient else features

        body.forward = unstable


@pytest.fixture
def train(monkeypatch, archives):
    """Train with batches that are not finite, saving after each validation, and return the metrics."""
    monkeypatch.setattr(LastCheckpoint, "SECONDS", 0)
    monkeypatch.setattr(LastCheckpoint, "PAUSE", 0)
    build = assembly.build

    def train(folder, unstable, *overrides, start=run.train, **keywords):
        def built(*arguments):
            parts = build(*arguments)
            unstable.attach(parts)
            return parts

        monkeypatch.setattr(run, "build", built)
        config = compose(folder, *archives, "trainer.max_epochs=2", *overrides)
        return start({**config, "resume": last_checkpoint(folder).exists()}, **keywords)

    return train


@pytest.mark.parametrize(
    ("method", "option", "only_gradient", "step"),
    [
        ("dann", "trainer.gradient_clip_val=1", False, 9),
        ("dann", "trainer.accumulate_grad_batches=2", False, 5),
        ("dann", "trainer.accumulate_grad_batches=2", True, 5),
        ("mcd", "trainer.gradient_clip_val=1", True, 9),
        ("wdgrl", "trainer.precision=bf16-mixed", False, 9),
    ],
)
def test_training_stops_before_the_step_and_keeps_its_checkpoints(train, tmp_path, method, option, only_gradient, step):
    with pytest.raises(DivergenceError) as stopped:
        train(tmp_path, Unstable({8}, only_gradient=only_gradient), f"method={method}", option)
    assert f"step {step}: the {'gradient' if only_gradient else 'loss'}" in str(stopped.value)
    assert ("classifier.backbone" in str(stopped.value)) == only_gradient
    assert "optimizer.lr=0.0001" in str(stopped.value) and str(tmp_path / "checkpoints") in str(stopped.value)
    assert not (tmp_path / "metrics.json").exists()
    saved = read_checkpoint(last_checkpoint(tmp_path))
    assert saved["batches_done"] == 5
    assert_finite(saved["state_dict"])


@pytest.mark.parametrize(
    ("method", "optimizer", "only_gradient"),
    [
        ("dann", "adamw", False),
        ("mcd", "sgd", False),
        ("mean_teacher", "adamw", False),
        pytest.param("dann", "sgd", True, marks=pytest.mark.slow),
        pytest.param("shot", "adamw", True, marks=pytest.mark.slow),
    ],
)
def test_skipped_batches_change_nothing_and_are_counted(train, tmp_path, only_gradient, method, optimizer):
    options = ("trainer.on_nonfinite=skip", f"method={method}", f"optimizer={optimizer}", "callbacks.ema.decay=0.5")
    metrics = train(tmp_path, Unstable({0, 7}, only_gradient=only_gradient), *options)
    assert metrics["train/skipped_steps"] == json.loads((tmp_path / "metrics.json").read_text())["train/skipped_steps"] == 2
    assert math.isfinite(metrics["selection/value"])
    saved = read_checkpoint(last_checkpoint(tmp_path))
    assert_finite(saved["state_dict"])
    assert saved["batches_done"] == metrics["train/steps"] == 10


@pytest.mark.parametrize(("accumulated", "step"), [(1, 9), (2, 5)])
def test_skipped_step_leaves_weights_optimizer_and_statistics_as_they_were(train, tmp_path, accumulated, step):
    options = ("method=source_only", "scheduler=constant", "trainer.on_nonfinite=skip", f"trainer.accumulate_grad_batches={accumulated}")
    train(tmp_path / "before", Unstable(set()), *options, f"trainer.max_steps={step - 1}")
    # With accumulation the batch before it, whose gradient waits, is dropped with it.
    metrics = train(tmp_path / "after", Unstable({8}), *options, f"trainer.max_steps={step}")
    assert metrics["train/skipped_steps"] == 1
    before, after = trained_state(tmp_path / "before"), trained_state(tmp_path / "after")
    assert differences(before["state_dict"], after["state_dict"]) == []
    assert differences(before["optimizer_states"], after["optimizer_states"]) == []


def test_resumed_run_skips_as_the_whole_one(train, tmp_path):
    options = ("method=dann", "trainer.on_nonfinite=skip", "data.source_view=shift", "model.dropout=0.3")
    unstable = Unstable({2, 6, 8})
    whole = train(tmp_path / "whole", unstable, *options)
    stopped = tmp_path / "stopped"
    with pytest.raises(Interrupted):
        train(stopped, unstable, *options, start=train_and_stop, hook="on_train_batch_end", batches=7)
    metrics = train(stopped, unstable, *options)
    assert differences(trained_state(tmp_path / "whole"), trained_state(stopped)) == []
    assert metrics["train/skipped_steps"] == whole["train/skipped_steps"] == 3


@pytest.mark.parametrize("method", ["dann", "wdgrl"])
def test_too_many_skips_in_a_row_stop_the_run(train, tmp_path, method):
    with pytest.raises(DivergenceError, match="after 10 skipped steps in a row"):
        train(
            tmp_path, Unstable(set(range(15)), only_gradient=True), f"method={method}", "trainer.on_nonfinite=skip", "trainer.max_epochs=3"
        )
    assert not (tmp_path / "metrics.json").exists()


@pytest.mark.parametrize(("method", "optimizer"), [("dann", "sgd"), ("mcd", "adamw")])
def test_step_that_a_fused_optimizer_leaves_out_stops_the_run_one_step_later(train, tmp_path, monkeypatch, method, optimizer):
    monkeypatch.setattr(nonfinite, "_runs_ahead", lambda device: True)
    with pytest.raises(DivergenceError, match=r"step 9: the gradient .* classifier\.backbone"):
        train(tmp_path, Unstable({8}, only_gradient=True), f"method={method}", f"optimizer={optimizer}")


class Scaled(Unstable):
    """The same in float16, with gradients of a loss that is multiplied by a scale."""

    def attach(self, parts):
        super().attach(parts)
        scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
        parts.trainer.strategy.precision_plugin = MixedPrecision("16-mixed", "cpu", scaler)


@pytest.mark.parametrize("fused", [True, False])
def test_scaled_gradients_may_overflow_while_the_scale_is_large_and_the_loss_is_finite(train, tmp_path, fused):
    options = ("method=dann", f"optimizer.fused={fused}")
    train(tmp_path / "overflow", Scaled({2, 3, 7}, only_gradient=True), *options)
    with pytest.raises(DivergenceError, match="step 9: the loss"):
        train(tmp_path / "loss", Scaled({8}), *options)
    # The scales are 4, 2, 1 and 0.5.
    with pytest.raises(DivergenceError, match="step 6: the gradient"):
        train(tmp_path / "gradient", Scaled(set(range(2, 10)), only_gradient=True), *options)
    metrics = train(tmp_path / "skipped", Scaled({7}), *options, "trainer.on_nonfinite=skip")
    assert metrics["train/skipped_steps"] == 1
    for checkpoint in tmp_path.glob("*/checkpoints/*.ckpt"):
        assert_finite(read_checkpoint(checkpoint)["state_dict"])


def test_result_that_is_not_read_yet_is_read_before_anything_is_saved(train, tmp_path, monkeypatch):
    monkeypatch.setattr(nonfinite, "_runs_ahead", lambda device: True)
    with pytest.raises(DivergenceError, match="step 10: the loss"):
        train(tmp_path, Unstable({9}), "method=dann")
    assert read_checkpoint(last_checkpoint(tmp_path))["batches_done"] == 5


class BadValidations:
    """Makes predictions NaN in some validations, by how many batches were trained before, or also in evaluations after that."""

    def __init__(self, batches, *, also_later=False):
        self.batches = batches
        self.also_later = also_later

    def attach(self, parts):
        method = parts.method
        forward = method.classifier.head.forward

        def unstable(features):
            affected = not method.training and (self.also_later or method.trainer.state.fn == "fit")
            return forward(features) * (NAN if affected and method.batches_done in self.batches else 1.0)

        method.classifier.head.forward = unstable


@pytest.mark.parametrize("selection", ["last", "oracle", "vote", "ensemble_agreement"])
def test_checkpoint_with_predictions_that_are_not_finite_is_never_the_best(train, tmp_path, selection):
    metrics = train(tmp_path, BadValidations({5, 15}), "method=source_only", "trainer.max_epochs=3", f"selection={selection}")
    assert metrics["selection/step"] == 10
    assert math.isfinite(metrics["selection/value"])


def test_run_of_which_no_validation_is_finite_fails(train, tmp_path):
    with pytest.raises(DivergenceError, match="Predictions for validation inputs are not finite"):
        train(tmp_path, BadValidations({5, 10}, also_later=True), "method=source_only")
    assert not (tmp_path / "metrics.json").exists()


def test_selection_without_a_finite_value_fails(train, tmp_path, monkeypatch):
    monkeypatch.setattr(SourceAccuracy, "value", lambda score: torch.tensor(NAN))
    with pytest.raises(DivergenceError, match=r"selection=source_accuracy.*selection=last"):
        train(tmp_path, Unstable(set()), "method=source_only", "selection=source_accuracy")
    assert not (tmp_path / "metrics.json").exists()


def test_early_stopping_takes_nan_as_no_improvement(train, tmp_path):
    options = ("callbacks=early_stopping", "callbacks.early_stopping.patience=2", "selection=last", "trainer.max_epochs=4")
    metrics = train(tmp_path, BadValidations({5}), "method=source_only", *options)
    assert metrics["train/steps"] == 20


def test_run_does_not_start_from_weights_that_are_not_finite(archives, tmp_path):
    run.train(compose(tmp_path / "first", *archives, "method=source_only", "trainer.max_steps=1"))
    best = tmp_path / "first" / "checkpoints" / "best.ckpt"
    checkpoint = torch.load(best, weights_only=True)
    checkpoint["state_dict"]["classifier.head.weight"][0] = NAN
    torch.save(checkpoint, tmp_path / "bad.ckpt")
    with pytest.raises(DivergenceError, match=r"classifier\.head\.weight.*init_from"):
        run.train(compose(tmp_path / "second", *archives, "method=source_only", f"init_from={tmp_path / 'bad.ckpt'}"))
    del checkpoint["config"]["trainer"]["enable_progress_bar"]
    with pytest.raises(DivergenceError, match="Predictions for validation inputs"):
        evaluation.evaluate(checkpoint["config"], checkpoint)
    images = tmp_path / "images"
    images.mkdir()
    Image.new("RGB", (16, 16)).save(images / "0.png")
    with pytest.raises(DivergenceError, match=r"0\.png is not finite"):
        predict(checkpoint, images)


@pytest.fixture
def acclimate(monkeypatch, capsys, tmp_path):
    """Calls the command in an empty folder; returns its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        GlobalHydra.instance().clear()
        monkeypatch.setattr(sys, "argv", ["acclimate", "train", *arguments])
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = stop.code
        return code, "".join(capsys.readouterr())

    return call


COMMAND = [text for text in SMALL if not text.startswith("+")]


def test_command_ends_with_a_message_and_exit_code_2(acclimate, archives, tmp_path):
    code, printed = acclimate(*archives, *COMMAND, "optimizer.lr=1e20", "hydra.run.dir=run")
    assert code == 2
    assert "acclimate: Stopped before step 2: the loss is not finite (classification" in printed
    assert "optimizer.lr=1e+20" in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "run" / "metrics.json").exists()


def test_job_of_a_sweep_that_diverges_has_failed_and_the_others_run(acclimate, archives, tmp_path):
    code, printed = acclimate("-m", *archives, *COMMAND, "optimizer.lr=1e20,0.001", "trainer.max_steps=3", "hydra.sweep.dir=sweep")
    assert code == 2
    assert "Stopped before step 2" in printed
    assert [folder.name for folder in (tmp_path / "sweep").iterdir() if (folder / "metrics.json").exists()] == ["lr=0.001"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(
    "options", [("optimizer=adamw",), ("optimizer=sgd",), ("trainer.precision=16-mixed",), ("+optimizer.fused=false",)], ids=" ".join
)
@pytest.mark.parametrize("method", ["dann", "mcd"])
@pytest.mark.parametrize("only_gradient", [False, True])
def test_training_on_a_gpu_stops_and_skips(train, tmp_path, method, only_gradient, options):
    options = ("trainer=gpu", f"method={method}", *options)
    if not (only_gradient and "trainer.precision=16-mixed" in options):
        with pytest.raises(DivergenceError, match="step 9"):
            train(tmp_path / "stopped", Unstable({8}, only_gradient=only_gradient), *options)
        assert_finite(read_checkpoint(last_checkpoint(tmp_path / "stopped"))["state_dict"])
    metrics = train(tmp_path / "skipped", Unstable({0, 7}, only_gradient=only_gradient), *options, "trainer.on_nonfinite=skip")
    # A scaler takes a gradient that is not finite for one that overflows, as long as its scale is large.
    assert metrics["train/skipped_steps"] in ([0, 2] if "trainer.precision=16-mixed" in options else [2])
    assert_finite(read_checkpoint(last_checkpoint(tmp_path / "skipped"))["state_dict"])
