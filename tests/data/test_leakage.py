"""`acclimate evaluate` recognises images that a run was trained or selected on, wherever they lie and whatever they are called."""

import logging
import shutil
import sys

import numpy as np
import pytest
import torch
from small_runs import compose, write_archives, write_photographs

from acclimate import cli
from acclimate.config.compose import override
from acclimate.data.domains import Domains, Parts
from acclimate.data.images.image_arrays import ImageArrays
from acclimate.data.images.image_data import ImageData
from acclimate.data.leakage import seen_by
from acclimate.data.samples import Samples
from acclimate.errors import ConfigError, DataError
from acclimate.runs.checkpoint_files import best_checkpoint
from acclimate.runs.checkpoints import read_checkpoint
from acclimate.training import evaluation, run

QUICK = ("trainer.max_epochs=1", "data.num_workers=0", "data.cache=ram")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """A folder with a source, a target, another target and a finished run."""
    root = tmp_path_factory.mktemp("photographs")
    for seed, name in enumerate(("source", "target", "other")):
        write_photographs(root / name, seed=seed)
    folders = ("data=image_folder", f"data.source={root / 'source'}", f"data.target={root / 'target'}", "model.weights=null")
    run.train(with_progress_bar(compose(root / "run", *folders, "method=dann", *QUICK)))
    return root


def with_progress_bar(config):
    """The configuration of a run that may be evaluated, which shows a progress bar."""
    del config["trainer"]["enable_progress_bar"]
    return config


def evaluate(folder, *overrides, **settings):
    checkpoint = read_checkpoint(best_checkpoint(folder))
    return evaluation.evaluate(override(checkpoint["config"], list(overrides)), checkpoint, **settings)


def test_a_run_is_evaluated_on_what_it_was_tested_on_and_on_other_images(photographs):
    assert not any(name.endswith("_seen") for name in evaluate(photographs / "run"))
    assert not any(name.endswith("_seen") for name in evaluate(photographs / "run", f"data.target={photographs / 'other'}"))


def move(folder, new):
    """The images as they are, under other names in other class folders."""
    files = sorted(folder.glob("*/*.png"))
    for number, file in enumerate(files):
        (new / files[-1 - number].parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, new / files[-1 - number].parent.name / f"copy {number}.png")
    return new


@pytest.mark.parametrize(
    ("override", "found"),
    [
        ("data.test_fraction=0.7", r"18 of the 25 target test inputs, in training, such as .*\.png"),
        ("data.test_fraction=0.7", r"18 of the 24 source test inputs, in training, such as .*\.png"),
        ("data.split_seed=1", r"\d of the \d+ target test inputs, in training"),
        ("data.split_seed=1", r"\d of the \d+ target test inputs, in the selection of its checkpoint"),
        ("data.val_fraction=0.6", r"\d of the \d+ source val inputs, in training"),
        ("data.source=TARGET", r"\d of the \d+ source test inputs, in training"),
        ("data.target=SOURCE", r"\d of the \d+ target test inputs, in training"),
        ("data.target=MOVED", r"\d of the \d+ target test inputs, in training"),
    ],
)
def test_images_that_trained_are_refused_with_their_number(photographs, tmp_path, override, found):
    folders = {"SOURCE": photographs / "source", "TARGET": photographs / "target", "MOVED": tmp_path / "moved"}
    overrides = [override]
    if "MOVED" in override:
        move(photographs / "target", tmp_path / "moved")
        overrides.append("data.split_seed=3")
    if "SOURCE" in override or "TARGET" in override:
        overrides.append("data.split_seed=3")
    for name, folder in folders.items():
        overrides[0] = overrides[0].replace(name, str(folder))
    with pytest.raises(DataError, match=rf"{found}.*type allow_seen=true"):
        evaluate(photographs / "run", *overrides)


def test_they_are_tested_and_counted_if_that_is_allowed(photographs, monkeypatch, capsys, caplog):
    words = ["acclimate", "evaluate", f"run={photographs / 'run'}", "data.test_fraction=0.7", "logger=none"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    assert "type allow_seen=true" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", [*words, "allow_seen=true"])
    with caplog.at_level(logging.WARNING, logger="acclimate"):
        cli.main()
    assert "target/test_seen" in capsys.readouterr().out
    assert "The results include inputs that the run has seen" in caplog.text
    metrics = evaluate(photographs / "run", "data.test_fraction=0.7", allow_seen=True)
    assert (metrics["source/test_seen"], metrics["target/test_seen"]) == (18, 18)


def test_allow_seen_is_true_or_false(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["acclimate", "evaluate", "run=nowhere", "allow_seen=perhaps"])
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    assert "allow_seen=perhaps must be true or false" in capsys.readouterr().err


def test_a_target_that_did_not_train_may_be_divided_anew(archives, tmp_path):
    run.train(compose(tmp_path, *archives, "method=source_only", "data.target_labels_per_class=null", "trainer.max_epochs=1"))
    seen = seen_by(read_checkpoint(best_checkpoint(tmp_path)))
    # 23 images of the source, one in ten for validation in each class, and 2 of 17 of the target.
    assert (len(seen.trained), len(seen.selected)) == (20, 5)


def test_images_of_the_run_before_count_as_well(archives, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    other = write_archives_with_another_source(tmp_path)
    run.train(compose(first, *archives, "method=source_only", "trainer.max_epochs=1"))
    run.train(compose(second, *other, "method=source_only", "trainer.max_epochs=1", f"init_from={first}"))
    trained = [seen_by(read_checkpoint(best_checkpoint(folder))).trained for folder in (first, second)]
    assert torch.isin(trained[0], trained[1]).all()
    assert len(trained[1]) > len(trained[0])


def write_archives_with_another_source(tmp_path):
    (tmp_path / "other").mkdir()
    return write_archives(tmp_path / "other", num_source=31)


def test_copies_between_parts_that_the_user_has_divided_are_reported_after_training(archives, tmp_path, caplog):
    for name in ("source", "target"):
        arrays = dict(np.load(archives[1 if name == "source" else 2].partition("=")[2]))
        arrays["x_test"][:2] = arrays["x_train"][:2]
        np.savez(tmp_path / f"{name}.npz", **arrays)
    options = ("data=arrays", f"data.source={tmp_path / 'source.npz'}", f"data.target={tmp_path / 'target.npz'}", "trainer.max_epochs=1")
    with caplog.at_level(logging.WARNING, logger="acclimate"):
        metrics = run.train(compose(tmp_path / "run", *options, "method=dann"))
    assert metrics["source/test_seen"] == metrics["target/test_seen"] == 2
    assert "The results include inputs that the run has seen: 2 of the 12 source test inputs" in caplog.text


class Undigested(Samples):
    """Images of somebody who wrote an image set before there were digests."""

    def __init__(self, images, labels):
        self.images = images
        self.labels = labels

    def __len__(self):
        return len(self.images)

    def load(self, indices):
        return self.images[torch.as_tensor(indices)].expand(-1, 3, -1, -1)

    def take(self, indices):
        return Undigested(self.images[torch.as_tensor(indices)], None if self.labels is None else self.labels[torch.as_tensor(indices)])


class WithoutDigests(ImageData):
    def read(self):
        images = Undigested(torch.randint(256, (30, 1, 16, 16), dtype=torch.uint8), torch.arange(30) % 2)
        parts = Parts(*(images.take(range(start, start + 10)) for start in (0, 10, 20)))
        return Domains(["a", "b"], parts, parts)


def test_a_data_set_without_digests_works_and_the_doubt_is_logged(archives, tmp_path, caplog):
    config = with_progress_bar(compose(tmp_path, *archives, "method=dann", "trainer.max_epochs=1"))
    own = {
        "source",
        "target",
        "axes",
        "unknown_classes",
        "val_fraction",
        "test_fraction",
        "split_seed",
        "folds",
        "fold",
        "parts",
        "_target_",
    }
    data = {key: value for key, value in config["data"].items() if key not in own}
    data["_target_"] = "test_leakage.WithoutDigests"
    run.train(config | {"data": data})
    with caplog.at_level(logging.WARNING, logger="acclimate"):
        evaluation.evaluate(config | {"data": data}, read_checkpoint(best_checkpoint(tmp_path)))
    assert "Whether the run has seen inputs of source/val, source/test, target/val, target/test in training is not known" in caplog.text


def test_a_checkpoint_of_an_earlier_version_is_evaluated_and_the_doubt_is_logged(photographs, caplog):
    checkpoint = read_checkpoint(best_checkpoint(photographs / "run"))
    del checkpoint["seen"]
    with caplog.at_level(logging.WARNING, logger="acclimate"):
        evaluation.evaluate(checkpoint["config"], checkpoint)
    assert "its checkpoint does not list the inputs that trained it" in caplog.text


@pytest.mark.parametrize("seen", [{}, [1], {"trained": [1], "selected": [2]}, {"trained": torch.ones(2), "selected": torch.ones(2)}])
def test_a_damaged_record_is_refused(seen):
    with pytest.raises(ConfigError, match="The checkpoint is damaged"):
        seen_by({"seen": seen})


def test_in_memory_copies_have_one_digest():
    images = torch.randint(256, (5, 1, 8, 8), dtype=torch.uint8)
    digests = ImageArrays(torch.cat([images, images]), None).digests()
    assert torch.equal(digests[:5], digests[5:])
    assert len(digests.unique()) == 5
