"""Mistakes in a configuration that are found before anything is built."""

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import pytest
from pytorch_lightning import Trainer

import acclimate
from acclimate.cli.hydra_jobs import run_with_hydra
from acclimate.config.check import check_config
from acclimate.config.compose import override
from acclimate.config.groups import group_options
from acclimate.config.instantiate import locate
from acclimate.config.messages import did_you_mean
from acclimate.config.signatures import parameters
from acclimate.config.values import matches
from acclimate.data.images.arrays import Arrays
from acclimate.errors import ConfigError

GROUPS = ("data", "model", "method", "optimizer", "scheduler", "selection", "callbacks", "logger", "trainer")
# Keys that only the user can know, so that the YAMLs leave them open.
MANDATORY = {
    ("data", "image_folder"): ["data.source=photos"],
    ("data", "arrays"): ["data.source=a.npz"],
    ("data", "vectors"): ["data.source=a.csv"],
    ("data", "table"): ["data.source=a.csv"],
    ("model", "timm"): ["model.backbone.name=resnet18"],
    ("experiment", "own_images"): ["data.source=photos"],
}


@lru_cache(maxsize=64)
def composed(*overrides):
    return acclimate.compose(overrides, folder="outputs/trial")


@pytest.fixture
def config():
    """The default configuration, to be spoilt."""
    return copy.deepcopy(composed())


def problems(config):
    with pytest.raises(ConfigError) as caught:
        check_config(config)
    heading, *found = str(caught.value).splitlines()
    assert str(len(found)) in heading or (len(found) == 1 and "a problem" in heading)
    return [text.removeprefix("  - ") for text in found]


def problem(config):
    (only,) = problems(config)
    return only


@pytest.mark.parametrize(("group", "name"), [(group, name) for group in GROUPS for name in group_options(group)])
def test_every_option_of_every_group_is_a_valid_configuration(group, name):
    check_config(composed(f"{group}={name}", *MANDATORY.get((group, name), [])))


@pytest.mark.parametrize("name", group_options("experiment"))
def test_every_experiment_is_a_valid_configuration(name):
    check_config(composed(f"experiment={name}", *MANDATORY.get(("experiment", name), [])))


@pytest.mark.parametrize("name", group_options("terms"))
def test_all_terms_are_valid_additions_to_a_method(name):
    config = composed("method=dann", f"+terms={name}")
    check_config(config)
    assert name in config["method"]["terms"]


@pytest.mark.parametrize(("group", "name"), MANDATORY)
def test_keys_that_only_the_user_knows_are_asked_for(group, name):
    key = MANDATORY[group, name][0].split("=")[0]
    with pytest.raises(ConfigError, match=rf"No value for {key}\. Type {key}=VALUE"):
        composed(f"{group}={name}")


def test_all_problems_are_listed_at_once_with_similar_names(config):
    config["sed"] = 3
    config["data"]["batch_siz"] = 3
    config["data"]["num_workers"] = "many"
    config["method"]["batch_norm"] = "jont"
    config["method"]["terms"] = {"confusion": {"_target_": "acclimate.losses.target_predictions.minimum_class_confusoin"}}
    config["optimizer"]["learning_rate"] = 0.1
    config["callbacks"]["early"] = {"_target_": "pytorch_lightning.callbacks.EarlyStopping", "patience": 2}
    del config["trainer"]
    found = problems(config)
    assert len(found) == 8
    for hint in (
        "sed is not a key of the configuration. Did you mean seed?",
        "trainer is missing",
        "data.batch_siz: FontsToHandwriting has no such key. Did you mean batch_size?",
        "data.num_workers=many is text, but must be a whole number.",
        "method.batch_norm=jont is not allowed. Did you mean joint?",
        "method.terms.confusion._target_=acclimate.losses.target_predictions.minimum_class_confusoin cannot be imported",
        "optimizer.learning_rate: AdamW has no such key",
        "callbacks.early.monitor is missing: EarlyStopping needs it.",
    ):
        assert any(hint in text for text in found), hint


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("data.batch_size", 0.5, "data.batch_size=0.5 is a number, but must be a whole number."),
        ("data.batch_size", True, "data.batch_size=true is true or false, but must be a whole number."),
        ("data.num_workers", None, "data.num_workers=null is null, but must be a whole number."),
        ("data.crop", "big", "data.crop=big is text, but must be a number."),
        ("data.image_size", "32px", "data.image_size=32px is text, but must be a whole number or null."),
        ("data.image_size", [32, 32], "data.image_size=[32, 32] is a list, but must be a whole number or null."),
        ("data.target_views", "plain", "data.target_views=plain is not a list. Type 'data.target_views=[plain]'."),
        ("data.target_views", ["plain", "shfit"], "data.target_views[1]=shfit is not allowed. Did you mean shift?"),
        ("data.epoch", "long", "data.epoch=long is not allowed. Did you mean longest? Choose one of longest, shortest, source, target."),
        ("model.freeze", "all", "model.freeze=all is not allowed. Choose one of none, backbone."),
        ("model.weights", 3, "model.weights=3 is a whole number, but must be text or true or false or null."),
        ("trainer.max_epochs", "five", "trainer.max_epochs=five is text, but must be"),
        ("trainer.precision", "bf17-mixed", "trainer.precision=bf17-mixed is not allowed. Did you mean bf16-mixed?"),
        ("method.max_reversal", {"from": 0}, "method.max_reversal={'from': 0} is keys with values, but must be a number."),
        ("method.terms", {"a": 3}, "method.terms={'a': 3} is keys with values, but must be"),
    ],
)
def test_a_value_of_a_wrong_type_is_named_with_what_it_must_be(config, key, value, message):
    group, name = key.split(".")
    config[group][name] = value
    assert message in problem(config)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data.crop", 1),
        ("data.image_size", None),
        ("data.image_size", 64),
        ("data.target_views", ["plain", "strong"]),
        ("model.weights", True),
        ("model.weights", "weights.pth"),
        ("trainer.precision", 32),
        ("trainer.devices", [0, 1]),
        ("trainer.devices", "auto"),
        ("trainer.limit_train_batches", 0.5),
        ("method.max_reversal", 1),
        ("callbacks.pictures", None),
    ],
)
def test_values_that_are_meant_so_are_accepted(config, key, value):
    group, name = key.split(".")
    config[group][name] = value
    check_config(config)


@pytest.mark.parametrize(("group", "key"), [("optimizer", "leraning_rate"), ("scheduler", "spede")])
def test_a_typo_in_a_partial_is_found_before_the_partial_is_called(config, group, key):
    assert config[group]["_partial_"]
    config[group][key] = 0.1
    assert f"{group}.{key}" in problem(config)


@pytest.mark.parametrize(
    ("target", "partial", "message"),
    [
        ("acclimate.training.callbacks.pictures.Pictures", True, "names Pictures, which is not a loss."),
        ("acclimate.schedules.constant", True, "names constant, which returns no tensor."),
        ("acclimate.extras.mean_teacher.MeanTeacher", True, "method.terms.mine is built at once."),
        ("acclimate.losses.target_predictions.entropy_minimisation", False, "Type method.terms.mine._partial_=true."),
    ],
)
def test_a_term_is_a_loss_of_predictions(config, target, partial, message):
    config["method"]["terms"] = {"mine": {"_target_": target, "_partial_": partial}}
    assert any(message in text for text in problems(config))


def test_a_typo_deep_inside_a_partial_is_found(config):
    config["model"]["backbone"]["wdith"] = 16
    assert problem(config).startswith("model.backbone.wdith: small_cnn has no such key. Did you mean width?")


def test_nodes_in_lists_are_checked(config):
    config["logger"]["extras"] = [{"_target_": "acclimate.schedules.cosine_decay", "_partial_": True, "warm_up": 0.1}]
    assert any(text.startswith("logger.extras[0].warm_up: cosine_decay has no such key. Did you mean warmup?") for text in problems(config))


def test_a_missing_argument_is_named(config):
    del config["callbacks"]["pictures"]["folder"]
    assert problem(config) == "callbacks.pictures.folder is missing: Pictures needs it."


@pytest.mark.parametrize("target", ["acclimate.nowhere.Thing", "acclimate.methods.dann.Dan", "Dann", "nopackage.Thing"])
def test_a_target_that_cannot_be_imported_is_named(config, target):
    config["method"] = {"_target_": target}
    assert problem(config).startswith(f"method._target_={target} cannot be imported: ")


@pytest.mark.parametrize(("group", "key"), [("model", "num_classes"), ("trainer", "logger"), ("method", "classifier")])
def test_what_the_run_provides_cannot_be_set(config, group, key):
    config[group][key] = 3
    assert problem(config).startswith(f"{group}.{key} cannot be set")


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, True, "one", None])
def test_a_seed_that_no_generator_takes_is_refused(config, seed):
    config["seed"] = seed
    assert "must be a whole number from 0 to 4294967295" in problem(config)


@pytest.mark.parametrize("group", [group for group in GROUPS if group != "callbacks"])
def test_a_group_without_anything_to_build_is_answered_with_its_options(config, group):
    config[group] = {"name": 3}
    message = problem(config)
    assert f"{group}=NAME sets" in message
    assert all(option in message for option in group_options(group))


def test_loggers_are_nodes_by_name_or_a_single_one_as_in_earlier_versions(config):
    node = {"_target_": "acclimate.training.loggers.Table", "save_dir": "x"}
    for loggers in ({}, node, {"csv": node, "mine": None}, {"first": node, "second": node}):
        check_config({**config, "logger": loggers})
    assert "logger=csv must be loggers by name. Choose one of csv" in problem({**config, "logger": "csv"})
    misspelt = {**config, "logger": {"csv": node | {"svae_dir": 1}}}
    assert problem(misspelt).startswith("logger.csv.svae_dir: Table has no such key. Did you mean save_dir?")
    mixed = problems({**config, "logger": node | {"mine": node}})
    assert mixed[0].startswith("logger._target_=acclimate.training.loggers.Table has no name, but stands beside mine.")
    assert mixed[0].endswith("Write it below a name of your choice: logger.NAME._target_.")
    stranger = {"_target_": "acclimate.errors.UserError"}
    assert "logger.mine._target_=acclimate.errors.UserError is not of the class Logger" in problem({**config, "logger": {"mine": stranger}})


def test_callbacks_must_be_nodes_by_name(config):
    config["callbacks"] = {"mine": 3}
    assert "callbacks.mine=3 names nothing to build" in problem(config)
    config["callbacks"] = "default"
    assert "callbacks=default must be callbacks by name" in problem(config)


def test_resume_must_be_a_switch_when_it_arrives(config):
    config["resume"] = "outputs/run"
    assert "resume=outputs/run must be true, false or the folder of a run" in problem(config)


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (3, float, True),
        (3.0, int, False),
        (True, int, False),
        (True, float, False),
        (1, bool, False),
        ("3", int, False),
        (3, str, False),
        (None, str, False),
        (None, str | None, True),
        ("a", Literal["a", 1], True),
        (1, Literal["a", 1], True),
        (True, Literal["a", 1], False),
        ("photos", Path, True),
        (3, Path, False),
        ([1, 2], list[int], True),
        ([1, "2"], list[int], False),
        ((), list[int], False),
        ("abc", Sequence[str], False),
        (["abc"], Sequence[str], True),
        ([0.9, 0.999], tuple[float, float], True),
        ([1, 2, 3], tuple[int, ...], True),
        ({"a": 1}, dict[str, float], True),
        ({"a": "b"}, Mapping[str, float], False),
        ({"a": {"_target_": "x"}}, Mapping[str, Callable[..., float]], True),
        ([], Mapping[str, float], False),
        ({"_target_": "x"}, Callable[..., int], True),
        ("x", Callable[..., int], False),
        ("anything", Any, True),
        ("anything", object, True),
    ],
)
def test_a_value_matches_an_annotation_that_can_mean_it(value, hint, expected):
    assert matches(value, hint) is expected


def test_keywords_stand_for_what_our_base_class_accepts():
    found = parameters(Arrays)
    assert {"source", "val_fraction", "batch_size", "target_views", "seed"} <= set(found)
    assert all(parameter.kind is not inspect.Parameter.VAR_KEYWORD for parameter in found.values())
    assert found["source"].default is inspect.Parameter.empty


def test_keywords_of_others_accept_anything():
    class Theirs:
        def __init__(self, size: int) -> None: ...

    class Open(Theirs):
        def __init__(self, name: str, **others: Any) -> None: ...

    assert [parameter.kind.name for parameter in parameters(Open).values()] == ["POSITIONAL_OR_KEYWORD", "VAR_KEYWORD"]


def test_parameters_of_a_class_without_a_constructor_are_those_that_it_inherits():
    class Same(Trainer):
        pass

    assert list(parameters(Same)) == list(parameters(Trainer))
    assert "max_epochs" in parameters(Trainer)


def test_parameters_of_a_function_are_its_own():
    assert list(parameters(did_you_mean)) == ["word", "words"]


def test_locate_says_which_part_of_a_name_is_wrong():
    assert locate("acclimate.config.instantiate.locate") is locate
    with pytest.raises(ImportError, match="nowhere"):
        locate("acclimate.nowhere.Thing")
    with pytest.raises(AttributeError, match="Thing"):
        locate("acclimate.config.Thing")


def test_nothing_is_suggested_that_is_not_similar():
    assert did_you_mean("zebra", ["batch_size", "seed"]) == ""


def test_keys_override_what_is_saved(config):
    changed = override(config, ["data.batch_size=8", "trainer.max_epochs=1", "data.source=new"])
    assert changed["data"] == config["data"] | {"batch_size": 8, "source": "new"}
    assert changed["trainer"] == config["trainer"] | {"max_epochs": 1}
    assert {key: changed[key] for key in changed if key not in ("data", "trainer")} == {
        key: config[key] for key in config if key not in ("data", "trainer")
    }


def test_a_group_is_taken_anew_with_its_keys_and_the_saved_seed_and_folder(config):
    config["seed"], config["folder"] = 7, "outputs/saved"
    config["data"]["batch_size"] = 3
    changed = override(config, ["data.crop=0.5", "data=arrays", "data.source=a.npz", "trainer=cpu"])
    assert changed["data"]["_target_"] == "acclimate.data.images.arrays.Arrays"
    assert (changed["data"]["source"], changed["data"]["crop"], changed["data"]["seed"], changed["data"]["batch_size"]) == (
        "a.npz",
        0.5,
        7,
        64,
    )
    assert changed["trainer"]["accelerator"] == "cpu"
    assert changed["trainer"]["default_root_dir"] == "outputs/saved"
    assert changed["method"] == config["method"]
    check_config(changed)


def test_overriding_does_not_change_what_is_saved(config):
    before = copy.deepcopy(config)
    override(config, ["data.batch_size=8", "trainer=cpu"])
    assert config == before


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data"], "data is not of the form KEY=VALUE"),
        (["--fast"], "--fast is not of the form KEY=VALUE"),
        (["data=image_foldr", "data.source=x"], "data=image_foldr: there is no such option. Did you mean image_folder?"),
        (["data=arrays"], "No value for data.source. Type data.source=VALUE"),
        (["method=shot", "init_from=run", "data=arrays"], "type data.source=null with method=shot"),
        (["experiment=mnist_to_mnist_m"], "An experiment is a recipe for training"),
        (["data.target_views=[plain"], "data.target_views=[plain cannot be read"),
        (["data.split_seed=${nowhere}"], "nowhere"),
    ],
)
def test_overrides_that_cannot_be_understood_are_named(config, overrides, message):
    with pytest.raises(ConfigError) as caught:
        override(config, overrides)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["method=dannn"], "method=dannn: there is no such option. Did you mean dann?"),
        (["method=da/nn"], "method=da/nn: there is no such option."),
        (["method="], "method=: there is no such option. Choose one of"),
        (["logger=null"], "logger=null: there is no such option. Choose one of csv, mlflow, none, tensorboard, wandb"),
        (["callbacks=3"], "callbacks=3: there is no such option."),
        (["method=[dann,nowhere]"], "method=nowhere: there is no such option."),
        (["=3"], "=3 is not of the form KEY=VALUE"),
        (["data.batch_size"], "data.batch_size is not of the form KEY=VALUE"),
        (["name=photos (1)"], """name=photos (1) cannot be read"""),
        (["name=photos (1)"], """type 'name="photos (1)"'"""),
        (["seed=${nowhere}"], "nowhere"),
    ],
)
def test_arguments_that_cannot_be_composed_are_named(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        run_with_hydra(arguments, job=lambda config, record: pytest.fail("the job was started"))
    assert message in str(caught.value)
    assert "Config search path" not in str(caught.value)


@pytest.mark.parametrize("path", ["/photos (1)", '"/photos (1)"'])
def test_a_path_and_a_value_in_quotes_may_hold_any_sign(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    found = []
    run_with_hydra(["folder=x", f"data.source={path}"], job=lambda config, record: found.append(config) or 0.0)
    assert found[0]["data"]["source"] == "/photos (1)"
