"""Configuration errors are found in source texts as they are found in imported classes, and answered without importing torch."""

import copy
import json
import re
import subprocess
import sys

import pytest
from small_runs import compose, write_photographs
from torch import nn

from acclimate.config.check import find_problems
from acclimate.config.compose import compose_sweep
from acclimate.config.groups import conf_dir
from acclimate.config.messages import most_similar
from acclimate.config.signatures import signature_of
from acclimate.config.source_signatures import UnknownSourceError, read_signature
from acclimate.config.values import is_in_range, matches

# Launchers and sweepers are Hydra's.
CONFIGS = [file for file in conf_dir().rglob("*.yaml") if not file.is_relative_to(conf_dir() / "hydra")]
SHIPPED = sorted({name for file in CONFIGS for name in re.findall(r"_target_: (\S+)", file.read_text())})
FOREIGN = [f"torch.optim.{name}" for name in ("Adam", "RMSprop", "Adagrad", "NAdam", "LBFGS")] + [
    f"pytorch_lightning.{name}"
    for name in ("callbacks.Timer", "callbacks.StochasticWeightAveraging", "callbacks.DeviceStatsMonitor", "loggers.TensorBoardLogger")
]
VALUES = [0, 1, -1, 2.5, -0.5, 1e20, True, None, "", "a", "mean", [], [1], [0.5], ["x"], [[1]], {}, {"a": 1}, {"_target_": "x"}]


@pytest.mark.parametrize("target", SHIPPED + FOREIGN)
def test_the_source_text_tells_what_importing_does(target):
    read, imported = read_signature(target), signature_of(target)
    assert read.name == imported.name
    for one, other in zip(read.parameters.values(), imported.parameters.values(), strict=True):
        assert (one.name, one.kind, one.default is one.empty) == (other.name, other.kind, other.default is other.empty)
        # The run provides the parameters of optimizers and the specification of inputs.
        if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD) and one.name not in ("params", "inputs"):
            for value in VALUES:
                allowed = matches(value, one.annotation)
                assert allowed == matches(value, other.annotation), (one, other, value)
                assert not allowed or is_in_range(value, one.annotation) == is_in_range(value, other.annotation), (one, other, value)


@pytest.mark.parametrize(
    "target", ["small_runs.Tampered", "math.pi", "nope", "acclimate.nope.Thing", "torch.optim.Nope", "torch.nn.Linear.in"]
)
def test_a_target_of_another_package_or_without_a_definition_has_to_be_imported(target):
    with pytest.raises(UnknownSourceError):
        read_signature(target)


CHANGES = {
    "optimizer.learning_rate": 1,
    "optimizer.lr": "abc",
    "optimizer.weight_decay": -1,
    "trainer.epochs": 5,
    "trainer.max_epochs": 0,
    "trainer.precision": "bf17-mixed",
    "trainer.on_nonfinite": "go on",
    "data.batch_size": 0,
    "data.target_views": ["plain", "shfit"],
    "model.dropout": 1.0,
    "model.backbone.width": "wide",
    "model.num_classes": 3,
    "method.terms": {"mcc": {"_target_": "acclimate.losses.target_predictions.minimum_class_confusion", "_partial_": True, "tempature": 1}},
    "method.max_epochs": 5,
    "callbacks.checkpoint.monitr": "x",
    "selection.score.sampls": 3,
    "logger.flush_secs": 0,
    "seed": "abc",
}


def changed(config, changes):
    for path, value in changes.items():
        *groups, key = path.split(".")
        node = config
        for group in groups:
            node = node[group]
        node[key] = value
    return config


def test_problems_have_the_same_words_whether_sources_are_read_or_classes_imported(archives, tmp_path):
    config = compose(tmp_path, *archives, "selection=information")
    assert find_problems(config, read_signature) == find_problems(config, signature_of) == []
    spoilt = [changed(copy.deepcopy(config), {path: value}) for path, value in CHANGES.items() if path != "logger.flush_secs"]
    for one in [*spoilt, changed(copy.deepcopy(config), {path: value for path, value in CHANGES.items() if path != "logger.flush_secs"})]:
        found = find_problems(one, read_signature)
        assert found
        assert found == find_problems(one, signature_of)


def test_a_part_of_the_users_own_is_imported_so_that_all_problems_are_in_one_message(archives, tmp_path):
    config = changed(compose(tmp_path, *archives), {"optimizer.lr": "abc", "data._target_": "small_runs.Tampered"})
    with pytest.raises(UnknownSourceError):
        find_problems(config, read_signature)
    assert len(find_problems(config, signature_of)) == 2


@pytest.mark.parametrize(
    ("words", "suggestion"),
    [
        ("optimizer.learning_rate=1", "Did you mean lr?"),
        ("data.bs=32", "Did you mean batch_size?"),
        ("bs=32", "Did you mean data.batch_size=32?"),
        ("lr=0.1", "Did you mean optimizer.lr=0.1?"),
        ("method.max_epochs=5", "Did you mean trainer.max_epochs=5?"),
    ],
)
def test_a_wrong_key_is_answered_with_the_one_that_is_meant(words, suggestion):
    (config,) = compose_sweep([words]).values()
    (problem,) = find_problems(config, read_signature)
    assert problem.endswith(suggestion)


def test_a_key_is_not_suggested_in_its_own_place():
    (config,) = compose_sweep(["method.foo=1"]).values()
    (problem,) = find_problems(config, read_signature)
    assert "Did you mean" not in problem


def test_initials_stand_for_several_words_only():
    assert most_similar("l", ["lr"]) == "lr"
    assert most_similar("dan", ["d_a_n", "dann"]) == "d_a_n"
    assert most_similar("x", ["xyz"]) is None


# Each with a part of its answer.
MISTAKES = {
    "train method=DANN": "Did you mean dann?",
    "train lr=.1": "Did you mean optimizer.lr=0.1?",
    "train epochs=5": "Did you mean trainer.max_epochs=5?",
    "train trainer.epochs=5": "Trainer has no such key. Did you mean max_epochs?",
    "train optimizer.learning_rate=1": "AdamW has no such key. Did you mean lr?",
    "train optimizer.momentum=1": "AdamW has no such key. It takes lr, betas, eps",
    "train seed=abc": "seed=abc must be a whole number",
    "train optimizer.lr=abc": "optimizer.lr=abc is text, but must be a number.",
    "train optimizer.lr=-1 data.batch_size=0 sed=1": "The configuration has 3 problems:",
    "train model.backbone.width=x": "model.backbone.width=x is text, but must be a whole number.",
    "train callbacks.checkpoint.monitr=x": "Did you mean monitor?",
    "train trainer.devices=0 trainer=gpu": "trainer.devices must be at least 1, but is 0.",
    "train data=image_folder": "Type data.source=VALUE.",
    "train data=image_folder data.source=nowhere": "data.source=nowhere is not a folder or a file.",
    "train data=image_folder data.source=photographs data.target=nowhere": "data.target=nowhere is not a folder or a file.",
    "train data=arrays data.source=nowhere.npz": "data.source=nowhere.npz is not a folder or a file.",
    "train init_from=nowhere": "init_from=nowhere is not a folder or a file.",
    "train resume=nowhere": "There is no folder nowhere.",
    "train resume=photographs": "photographs is not the folder of a run",
    "train -m lr=.1,.2": "lr=0.2: The configuration has a problem:\n  - lr is not a key",
    "evaluate run=nowhere": "There is no nowhere/checkpoints/best.ckpt.",
    "predict run=nowhere inputs=photographs out=x.csv": "There is no nowhere/checkpoints/best.ckpt.",
    "compare nowhere": "nowhere is not a folder.",
    "compare photographs": "No finished run below photographs",
    "rank model=nope": "model=nope: there is no such option.",
    "rank model=resnet18,resnet50 data.bs=1": "Did you mean batch_size?",
    "rank model=resnet18 data=image_folder data.source=nowhere": "data.source=nowhere is not a folder or a file.",
    "chain first.method=nope": "A chain needs a first and a second stage",
    "chain first.method=simclr second.method=dann second.trainer.epochs=1": "Did you mean max_epochs?",
    "chain first.method=simclr second.method=dann init_from=nowhere": "init_from=nowhere is not a folder or a file.",
    "chain resume=nowhere": "nowhere is not the folder of a chain",
}
ANSWERS = """
import contextlib, io, json, sys
from acclimate.cli import main
answers = {}
for command in json.loads(sys.argv[1]):
    sys.argv = ["acclimate", *command.split()]
    with contextlib.redirect_stderr(io.StringIO()) as text, contextlib.redirect_stdout(io.StringIO()):
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code
    answers[command] = [code, text.getvalue(), sorted({"torch", "pytorch_lightning", "timm", "PIL"} & set(sys.modules))]
    if answers[command][2]:
        break
print(json.dumps(answers))
"""


def test_mistakes_are_answered_before_torch_is_imported(tmp_path):
    write_photographs(tmp_path / "photographs", number=1)
    program = [sys.executable, "-c", ANSWERS, json.dumps(list(MISTAKES))]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True)
    answers = json.loads(done.stdout)
    for command, part in MISTAKES.items():
        code, text, imported = answers[command]
        assert imported == [], command
        assert code == 2, (command, text)
        assert part in text, (command, text)


def test_types_of_the_name_of_an_unimported_class_are_named_in_messages():
    hint = read_signature("acclimate.methods.dann.Dann").parameters["classifier"].annotation
    assert hint.__name__ == "Classifier"
    assert not issubclass(hint, nn.Module)
    assert not matches(3, hint)
    assert matches({"_target_": "x"}, hint)
