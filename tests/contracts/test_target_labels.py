"""No label of the target's training or validation part changes anything but an oracle, from the division on."""

import ast
from pathlib import Path

import numpy as np
import pytest
import torch
from pytorch_lightning.trainer.states import RunningStage
from small_runs import METHODS, PHOTOGRAPHED, SELF_SUPERVISED, compose, differences, trained_state, write_photographs

import acclimate
from acclimate.config.groups import group_options
from acclimate.data.images.arrays import Arrays
from acclimate.data.images.image_folder import ImageFolder
from acclimate.data.labels import TargetLabels
from acclimate.errors import ConfigError
from acclimate.inputs import ImageSpec
from acclimate.training import assembly, run
from acclimate.types import DomainBatch, Labelled, Needs, Unlabelled

TIMES = ("train/seconds", "train/samples_per_second")


def train_tampered(folder, archives, tamper, *overrides, data="Tampered"):
    config = compose(folder, *archives, "trainer.max_epochs=3", *overrides, f"data._target_=small_runs.{data}", f"data.tamper={tamper}")
    metrics = {name: value for name, value in run.train(config).items() if name not in TIMES}
    return metrics, trained_state(folder), trained_state(folder, "best.ckpt")


# One of each kind: aligned, taking turns, with terms, without a target, without a source, with a network of its own.
KINDS = ("dann", "mcd", "dann_mcc_fixmatch", "fine_tune", "shot", "co_tuning")


@pytest.mark.parametrize("method", METHODS)
def test_target_labels_change_neither_weights_nor_selection(archives, tmp_path, method):
    expected = train_tampered(tmp_path / "nothing", archives, "nothing", f"method={method}")
    for tamper in ("permute", "remove", *(["replace"] if method in KINDS else [])):
        found = train_tampered(tmp_path / tamper, archives, tamper, f"method={method}")
        assert differences(expected, found) == [], tamper


LENT = "data.target_labels_per_class=2"
WITHOUT_TARGET_LABELS = [method for method in METHODS if method in ("ada_bn", "tent", *SELF_SUPERVISED)]
LENDING = [
    pytest.param(method, marks=() if method in KINDS else pytest.mark.slow) for method in METHODS if method not in WITHOUT_TARGET_LABELS
]


@pytest.mark.parametrize("method", LENDING)
def test_labels_that_are_lent_change_the_weights_and_all_others_change_nothing(archives, tmp_path, method):
    def train(tamper):
        options = (f"method={method}", LENT, "trainer.max_epochs=2")
        return train_tampered(tmp_path / tamper, archives, tamper, *options, data="TamperedBesideLabelled")

    expected = train("nothing")
    for tamper in ("permute", "replace"):
        assert differences(expected, train(tamper)) == [], tamper
    weights, changed = (last["state_dict"] for _, last, _ in (expected, train("lent")))
    assert not torch.equal(weights["classifier.bottleneck.0.weight"], changed["classifier.bottleneck.0.weight"])


@pytest.mark.parametrize("method", WITHOUT_TARGET_LABELS)
def test_methods_that_learn_from_no_label_refuse_them(archives, tmp_path, method):
    with pytest.raises(ConfigError, match=r"target_labels_per_class=2, but this method trains without any labels"):
        assembly.build(compose(tmp_path, *archives, f"method={method}", LENT))


def test_no_key_is_no_label(archives):
    data = loaders(archives, reveal=False)
    assert data.labelled_target == []
    assert next(iter(data.train_dataloader())).target_labelled is None


def test_only_images_that_lend_their_labels_come_with_them(archives):
    data = loaders(archives, reveal=False, target_labels_per_class=2, target_batch_size=5)
    images = data.domains.target.train
    places = data.labelled_target
    labels = data.target_labels.lend(places)
    lent = {(image.sum().item(), label.item()) for image, label in zip(images.load(places), labels, strict=True)}
    seen = set()
    for batch, _ in zip(data.train_dataloader(), range(4), strict=False):
        assert type(batch.target) is Unlabelled
        assert len(batch.target_labelled.inputs) == 5
        seen |= {(image.sum().item(), label.item()) for image, label in zip(*batch.target_labelled[:2], strict=True)}
    assert len(lent) == 6
    assert seen == lent


def test_target_labels_change_no_estimate_of_the_target_s_classes(archives, tmp_path):
    options = ("method=dann", "method.target_class_weights=estimated", "data.source_sampling=balanced")
    expected = train_tampered(tmp_path / "nothing", archives, "nothing", *options)
    for tamper in ("permute", "replace", "remove"):
        assert differences(expected, train_tampered(tmp_path / tamper, archives, tamper, *options)) == [], tamper


@pytest.mark.parametrize("selection", [name for name in group_options("selection") if name != "oracle"])
def test_target_labels_change_no_selection(archives, tmp_path, selection):
    choices = ("method=dann", f"selection={selection}")
    expected = train_tampered(tmp_path / "nothing", archives, "nothing", *choices)
    # Every score is in the metrics of the test above as well, which also replaces the labels.
    for tamper in ("permute", "remove"):
        found = train_tampered(tmp_path / tamper, archives, tamper, *choices)
        assert differences(expected, found) == [], tamper


def test_oracle_does_look_at_them(archives, tmp_path):
    oracle = ("method=dann", "selection=oracle", "data.val_fraction=0.5", "trainer.max_epochs=12", "optimizer.lr=0.01")
    expected, *_ = train_tampered(tmp_path / "nothing", archives, "nothing", *oracle)
    found, *_ = train_tampered(tmp_path / "permute", archives, "permute", *oracle)
    assert expected["selection/value"] != found["selection/value"]
    assert expected["selection/value"] == expected["target/val_oracle_accuracy"]


@pytest.mark.parametrize("selection", ["oracle", "information"])
def test_what_labels_of_the_target_were_used_for_is_marked_in_every_record(archives, tmp_path, selection):
    """Names with the word oracle are in the console's and TensorBoard's metrics and in metrics.json under the oracle alone."""
    parts = assembly.build(compose(tmp_path, *archives, "method=dann", f"selection={selection}", "trainer.max_epochs=1"))
    parts.trainer.fit(parts.method, parts.data)
    names = {"selection/is_oracle", "target/val_oracle_accuracy"} if selection == "oracle" else set()
    for metrics in (parts.trainer.callback_metrics, parts.trainer.logged_metrics, parts.trainer.progress_bar_metrics):
        assert {name for name in metrics if "oracle" in name} == names


def loaders(archives, *, reveal, **options):
    source, target = (text.partition("=")[2] for text in archives[1:])
    data = Arrays(source=source, target=target, batch_size=4, **options)
    data.prepare_for(spec=ImageSpec(16), needs=Needs(), reveal_target_labels=reveal)
    return data


def test_batches_have_no_place_for_target_labels(archives):
    data = loaders(archives, reveal=False)
    batch = next(iter(data.train_dataloader()))
    assert isinstance(batch, DomainBatch)
    assert Unlabelled._fields == ("views", "samples", "domains")
    assert type(batch.target) is Unlabelled
    assert data.evaluated_domains("val") == ["source", "target"]
    assert [type(next(iter(loader))) for loader in data.val_dataloader()] == [Labelled, Unlabelled]
    assert [type(next(iter(loader))) for loader in data.test_dataloader()] == [Labelled, Labelled]


def test_oracle_reveals_labels_in_validation_but_not_in_training(archives):
    data = loaders(archives, reveal=True)
    assert [type(next(iter(loader))) for loader in data.val_dataloader()] == [Labelled, Labelled]
    assert type(next(iter(data.train_dataloader())).target) is Unlabelled


def test_target_views_do_not_carry_the_labels(archives):
    data = loaders(archives, reveal=False)
    assert all(view.dtype == torch.uint8 and view.shape[1:] == (3, 16, 16) for view in next(iter(data.train_dataloader())).target.views)


def exchange_classes(root):
    for name, other in zip(PHOTOGRAPHED, (*PHOTOGRAPHED[1:], PHOTOGRAPHED[0]), strict=True):
        (root / name).rename(root / f"{other}-new")
    for name in PHOTOGRAPHED:
        (root / f"{name}-new").rename(root / name)


def move_between_classes(root):
    """Each file under another name in any of the class folders."""
    random = np.random.default_rng(1)
    files = sorted(root.glob("*/*.png"))
    for number, place in enumerate(random.permutation(len(files))):
        files[place].rename(root / PHOTOGRAPHED[number % 3] / f"moved-{number}.png")


def leave_class_folders(root):
    for number, file in enumerate(sorted(root.glob("*/*.png"))):
        file.rename(root / f"{number}.png")
    for name in PHOTOGRAPHED:
        (root / name).rmdir()


def leave(root):
    """No change."""


CHANGES = (leave, exchange_classes, move_between_classes, leave_class_folders)


@pytest.mark.parametrize("layout", [(), ("train",), ("train", "val"), ("train", "test"), ("train", "val", "test")], ids="+".join)
def test_neither_class_folders_nor_names_of_target_files_change_the_division(tmp_path, layout):
    write_photographs(tmp_path / "source", number=3)
    divisions = []
    for change in CHANGES:
        target = tmp_path / change.__name__
        for seed, part in enumerate(layout or ("",), start=1):
            write_photographs(target / part, seed=seed)
            change(target / part)
        data = ImageFolder(source=str(tmp_path / "source"), target=str(target))
        divisions.append([[path.read_bytes() for path in part.paths] for part in data.domains.target])
    assert divisions[1:] == divisions[:1] * 3


def test_neither_class_folders_nor_names_of_target_files_change_weights_or_selection(tmp_path):
    """But for the accuracy at the very end: the class folders of the test part are its labels."""
    write_photographs(tmp_path / "source")
    found = []
    for change in CHANGES:
        target, folder = tmp_path / change.__name__ / "photographs", tmp_path / change.__name__ / "run"
        write_photographs(target, seed=1)
        change(target)
        options = ("data=image_folder", f"data.source={tmp_path / 'source'}", f"data.target={target}", "model.weights=null")
        config = compose(folder, *options, "method=dann_mcc_fixmatch", "trainer.max_epochs=2", "data.num_workers=0")
        metrics = {key: value for key, value in run.train(config).items() if key not in (*TIMES, "target/test_accuracy")}
        found.append((metrics, trained_state(folder), trained_state(folder, "best.ckpt")))
    for other in found[1:]:
        assert differences(found[0], other) == []


def test_images_of_the_target_carry_no_labels(archives):
    data = loaders(archives, reveal=True, target_labels_per_class=1)
    assert [part.labels for part in data.domains.target] == [None] * 3
    assert [data.target_labels.known(part) for part in ("train", "val", "test")] == [True] * 3


@pytest.mark.parametrize("reveal", [False, True])
def test_labels_of_the_target_are_opened_for_the_final_test_and_the_oracle_alone(archives, tmp_path, monkeypatch, reveal):
    opened, trainer = [], None

    def watch(name):
        original = getattr(TargetLabels, name)

        def wrapped(labels, *arguments, **settings):
            opened.append((name, trainer and trainer.state.stage))
            return original(labels, *arguments, **settings)

        monkeypatch.setattr(TargetLabels, name, wrapped)

    for name in ("for_final_test", "for_oracle", "to_show", "choose", "lend"):
        watch(name)
    options = ("method=dann", f"selection={'oracle' if reveal else 'auto'}", "trainer.max_epochs=1")
    parts = assembly.build(compose(tmp_path, *archives, *options))
    # Counts for the overview, before the training.
    assert {name for name, _ in opened} == {"to_show"}
    opened.clear()
    trainer = parts.trainer
    trainer.fit(parts.method, parts.data)
    assert {name for name, _ in opened} == ({"for_oracle"} if reveal else set())
    opened.clear()
    trainer.test(parts.method, parts.data, verbose=False)
    assert opened == [("for_final_test", RunningStage.TESTING)]


# Each way to the labels that `TargetLabels` keeps, with the files that take it.
DOORS = {
    "for_final_test": {"data/served_data.py"},
    "for_oracle": {"data/served_data.py"},
    "lend": {"data/served_data.py"},
    "choose": {"data/datamodule.py"},
    "to_show": {"data/data_overview.py"},
    "take_labels_off": {"data/datamodule.py"},
}


def test_no_other_file_asks_for_labels_of_the_target():
    package = Path(acclimate.__file__).parent
    found = {name: set() for name in DOORS}
    for file in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else None
            if name in DOORS and file.name != "labels.py":
                found[name].add(str(file.relative_to(package)))
    assert found == DOORS
