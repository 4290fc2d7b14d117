"""Values that are out of the ranges of their parameters, whose annotations `check_config` reads."""

import copy
import math
from functools import lru_cache

import pytest

import acclimate
from acclimate.config.check import check_config
from acclimate.config.machine import uses_several_devices
from acclimate.errors import ConfigError


@lru_cache(maxsize=64)
def composed(*overrides):
    return acclimate.compose(overrides, folder="outputs/trial")


def problems(groups, changes):
    """The lines of the message about a configuration of these groups with these changes."""
    config = copy.deepcopy(composed(*groups))
    for key, value in changes.items():
        *path, name = key.split(".")
        node = config
        for part in path:
            node = node[part]
        node[name] = value
    with pytest.raises(ConfigError) as caught:
        check_config(config)
    return [line.removeprefix("  - ") for line in str(caught.value).splitlines()[1:]]


METHODS = {
    "adda": [("adversarial_weight", -1.0, "at least 0")],
    "afn": [("norm_weight", -1.0, "at least 0"), ("step", 0.0, "above 0")],
    "barlow_twins": [("off_diagonal_weight", -0.1, "at least 0"), ("projector_width", 0, "at least 1")],
    "bsp": [("spectral_weight", -1.0, "at least 0"), ("num_values", 0, "at least 1"), ("max_reversal", -1.0, "at least 0")],
    "bss": [("shrinkage_weight", -1.0, "at least 0"), ("num_values", 0, "at least 1")],
    "cdan": [("max_reversal", -1.0, "at least 0"), ("random_map_width", 0, "at least 1"), ("max_map_outputs", 0, "at least 1")],
    "co_tuning": [("pretrained_weight", -1.0, "at least 0")],
    "dan": [("discrepancy_weight", -1.0, "at least 0")],
    "dann": [
        ("max_reversal", -1.0, "at least 0"),
        ("steepness", -1.0, "above 0"),
        ("discriminator_width", 0, "at least 1"),
        ("mixup", -1.0, "at least 0"),
        ("cutmix", -1.0, "at least 0"),
        ("label_smoothing", 1.0, "at least 0 and below 1"),
        ("backbone_rate", -0.1, "at least 0"),
        ("target_class_weights_from", 1.1, "at least 0 and at most 1"),
    ],
    "deep_coral": [("correlation_weight", -1.0, "at least 0")],
    "deep_jdot": [("feature_weight", -1.0, "at least 0"), ("label_weight", -1.0, "at least 0")],
    "delta": [("map_weight", -1.0, "at least 0"), ("shrinkage_weight", -1.0, "at least 0")],
    "gradual_unfreeze": [("unfrozen_at", value, "above 0 and below 1") for value in (0.0, 1.0, -0.5)],
    "jan": [("discrepancy_weight", -1.0, "at least 0"), ("class_bandwidth", 0.0, "above 0")],
    "l2_sp": [("start_weight", -1.0, "at least 0"), ("shrinkage_weight", -1.0, "at least 0")],
    "mcd": [("num_feature_steps", 0, "at least 1")],
    "mdd": [("margin", 0.0, "above 0"), ("max_reversal", -1.0, "at least 0")],
    "shot": [("pseudo_label_weight", -1.0, "at least 0"), ("labellings", 0, "at least 1")],
    "simclr": [("temperature", value, "above 0") for value in (0.0, -0.5)],
    "stoch_norm": [("selection_rate", value, "at least 0 and at most 1") for value in (-0.1, 1.1)],
    "tent": [("collapse_share", value, "at least 0 and below 1") for value in (-0.1, 1.0)],
    "wdgrl": [("wasserstein_weight", -1.0, "at least 0"), ("penalty_weight", -1.0, "at least 0"), ("num_critic_steps", 0, "at least 1")],
}


@pytest.mark.parametrize(("method", "key", "value", "allowed"), [(method, *case) for method, cases in METHODS.items() for case in cases])
def test_numbers_of_methods_are_named_with_their_range(method, key, value, allowed):
    assert problems([f"method={method}"], {f"method.{key}": value}) == [f"method.{key} must be {allowed}, but is {value}."]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        *[(f"data.{key}", 0, "at least 1, but is 0.") for key in ("batch_size", "target_batch_size", "fixed_views")],
        *[(f"data.{key}", 0, "at least 1, but is 0.") for key in ("source_labels_per_class", "target_labels_per_class")],
        ("data.eval_batch_size", -1, "at least 1, but is -1."),
        ("data.image_size", 1, "at least 8, but is 1."),
        ("data.num_workers", -1, "at least 0 and at most 256, but is -1."),
        ("data.num_workers", 100_000, "at least 0 and at most 256, but is 100000."),
        ("data.num_source", 9, "at least 10, but is 9."),
        ("data.num_source_eval", 0, "at least 10, but is 0."),
        ("data.target_val_fraction", 0, "above 0 and below 1, but is 0."),
        ("data.crop", 1.5, "above 0.01 and at most 1, but is 1.5."),
        ("model.bottleneck", 0, "at least 1, but is 0."),
        ("model.dropout", 1, "at least 0 and below 1, but is 1."),
        ("model.lora_rank", 0, "at least 1, but is 0. Use null to train the weights themselves."),
        ("model.backbone.width", 0, "at least 1, but is 0."),
        ("method.layer_decay", 0.0, "above 0, but is 0.0. Freeze the backbone with method.backbone_rate=0."),
        ("optimizer.lr", -1, "above 0, but is -1."),
        ("optimizer.weight_decay", -1, "at least 0, but is -1."),
        ("scheduler.power", -1, "at least 0, but is -1."),
        ("callbacks.ema.decay", -0.1, "at least 0 and below 1, but is -0.1."),
        ("callbacks.ema.decay", 1.0, "at least 0 and below 1, but is 1.0."),
        ("callbacks.progress_bar.refresh_rate", 0, "at least 1, but is 0."),
        ("callbacks.checkpoint.save_top_k", 0, "at least 1, but is 0."),
        ("trainer.max_epochs", 0, "at least 1, but is 0."),
        ("trainer.max_steps", 0, "at least 1, but is 0."),
        ("trainer.max_epochs", -2, "at least 1, but is -2."),
        ("trainer.val_check_interval", 0, "a whole number at least 1 or a number above 0 and at most 1, but is 0."),
        ("trainer.val_check_interval", 1.5, "above 0 and at most 1, but is 1.5."),
        ("trainer.limit_train_batches", 0.0, "above 0 and at most 1, but is 0.0."),
        ("trainer.accumulate_grad_batches", 0, "at least 1, but is 0."),
        ("trainer.gradient_clip_val", -1, "at least 0, but is -1."),
        ("trainer.log_every_n_steps", 0, "at least 1, but is 0."),
        ("trainer.check_val_every_n_epoch", 0, "at least 1, but is 0."),
        ("trainer.devices", 0, "at least 1, but is 0."),
        ("trainer.devices", [], "a list of at least 1, but is []."),
    ],
)
def test_numbers_of_other_components_are_named_with_their_range(key, value, message):
    (problem,) = problems([], {key: value})
    assert problem.startswith(f"{key} must be ")
    assert problem.endswith(message)


@pytest.mark.parametrize("value", [0.0, 1.0, -0.5])
def test_a_fraction_that_leaves_a_part_empty_is_refused(value):
    message = f"data.val_fraction must be above 0 and below 1, but is {value}."
    assert problems(["data=arrays", "data.source=a.npz"], {"data.val_fraction": value}) == [message]


@pytest.mark.parametrize(("key", "value"), [("decay", 1.0), ("decay", -0.1), ("threshold", 1.1), ("threshold", -0.1)])
def test_numbers_of_terms_are_named_with_their_range(key, value):
    (problem,) = problems(["+terms=mean_teacher"], {f"method.terms.mean_teacher.{key}": value})
    assert problem.startswith(f"method.terms.mean_teacher.{key} must be at least 0 and ")


@pytest.mark.parametrize(
    ("groups", "key", "value", "message"),
    [
        (["method=dan"], "method.bandwidth_factors", [], "method.bandwidth_factors must be a list of at least 1, but is []."),
        (["method=jan"], "method.bandwidth_factors", [1.0, 0.0], "method.bandwidth_factors[1] must be above 0, but is 0.0."),
        ([], "optimizer.betas", [2, 3], "optimizer.betas[0] must be at least 0 and below 1, but is 2."),
        ([], "optimizer.betas", [0.9], "optimizer.betas must be a list of 2, but is [0.9]."),
        ([], "method.class_weights", [1, -1], "method.class_weights[1] must be at least 0, but is -1."),
        (
            [],
            "data.target_views",
            [],
            "data.target_views must be a list of at least 1, but is []. Name a view, such as [plain].",
        ),
    ],
)
def test_lists_are_named_with_the_entry_that_is_wrong(groups, key, value, message):
    assert problems(groups, {key: value}) == [message]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("key", ["method.mixup", "method.max_reversal", "optimizer.lr", "trainer.gradient_clip_val", "scheduler.speed"])
def test_numbers_that_are_not_finite_are_refused_everywhere(key, value):
    assert problems([], {key: value}) == [f"{key} must be a finite number, but is {value}."]


def test_a_weight_of_a_term_must_be_finite():
    changes = {"method.term_weights.mcc": math.nan}
    assert problems(["method=dann_mcc"], changes) == ["method.term_weights.mcc must be a finite number, but is nan."]


@pytest.mark.parametrize(
    ("selection", "key", "value", "allowed"),
    [("class_ami", "max_samples", 1, "at least 2"), ("snd", "temperature", 0.0, "above 0")],
)
def test_numbers_of_scores_are_named_with_their_range(selection, key, value, allowed):
    (problem,) = problems([f"selection={selection}"], {f"selection.score.{key}": value})
    assert problem.startswith(f"selection.score.{key} must be {allowed}, but is {value}.")


def test_types_and_ranges_are_listed_in_one_message():
    changes = {"data.batch_size": "many", "model.dropout": 1, "optimizer.lr": math.inf, "method.batch_norm": "jont"}
    found = problems([], changes)
    assert sorted(line.replace("=", " ").split()[0] for line in found) == sorted(changes)


@pytest.mark.parametrize("value", [None, "", 3, ["outputs"]])
def test_a_folder_must_be_named(value):
    (problem,) = problems([], {"folder": value})
    assert problem.startswith("folder=")
    assert "hydra.run.dir=DIR" in problem


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("scheduler.progress", 0, "scheduler.progress cannot be set"),
        ("model.backbone.weights", None, "model.backbone.weights cannot be set"),
        ("trainer.use_distributed_sampler", True, "trainer.use_distributed_sampler cannot be set"),
        ("data._partial_", True, "data is built at once. Leave data._partial_ out."),
        ("selection.score._partial_", True, "selection.score is built at once. Leave selection.score._partial_ out."),
        (
            "logger.csv",
            {"_target_": "acclimate.training.loggers.Table", "save_dir": "x", "_partial_": 0.5},
            "logger.csv._partial_=0.5 must be true or false.",
        ),
        ("optimizer._partial_", False, "optimizer is called later, with values that the run provides. Type optimizer._partial_=true."),
        (
            "logger._target_",
            "acclimate.errors.UserError",
            "logger._target_=acclimate.errors.UserError is not of the class Logger, as logger must be.",
        ),
        ("scheduler._target_", "math.pi", "scheduler._target_=math.pi is neither a class nor a function."),
        ("method._target_", "nowhere.", "method._target_=nowhere. cannot be imported"),
        ("data.split_seed", 10**30, "data.split_seed must be a finite number of at most 64 bits, but is 1000"),
        ("trainer.overfit_batches", 0.5, "trainer.overfit_batches=0.5 is not allowed. Choose one of 0. Use trainer.limit_train_batches."),
        ("trainer.fast_dev_run", True, "trainer.fast_dev_run=true is not allowed. Choose one of false. Use trainer=smoke"),
    ],
)
def test_what_would_be_ignored_or_cannot_work_is_refused(key, value, message):
    assert any(line.startswith(message) for line in problems([], {key: value}))


@pytest.mark.parametrize(
    ("trainer", "expected"),
    [
        ({"devices": 1}, False),
        ({"devices": [0]}, False),
        ({"devices": "0,"}, False),
        ({"devices": "1"}, False),
        ({"devices": 2}, True),
        ({"devices": "2"}, True),
        ({"devices": [0, 1]}, True),
        ({"devices": "0,1"}, True),
        ({"devices": "auto", "accelerator": "cpu"}, False),
        ({"devices": 1, "num_nodes": 2}, True),
        ({"devices": 1, "strategy": "ddp"}, True),
    ],
)
def test_devices_are_counted_as_lightning_counts_them(trainer, expected):
    assert uses_several_devices(trainer) is expected


@pytest.mark.parametrize(("gpus", "expected"), [(0, False), (1, False), (2, True)])
@pytest.mark.parametrize("devices", ["auto", -1, "-1"])
def test_all_devices_may_be_several(gpus, expected, devices, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    assert uses_several_devices({"devices": devices, "accelerator": "gpu"}) is expected
