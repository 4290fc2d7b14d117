"""Domains and their parts; the same classes in another order are the same classes, in whatever form the data come."""

import numpy as np
import pytest
import torch
from PIL import Image
from small_runs import compose, rotating_blobs

from acclimate.config.compose import override
from acclimate.data.domains import Domains, Parts
from acclimate.data.vectors.vectors import VectorArrays
from acclimate.runs.checkpoint_files import best_checkpoint
from acclimate.runs.checkpoints import read_checkpoint
from acclimate.training import assembly, evaluation, run

# Arrays put them in this order, folders in that of the alphabet.
NAMES = ("2", "9", "10")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with arrays, the same images in class folders, and a run that was trained on the arrays."""
    root = tmp_path_factory.mktemp("trained")
    (x_train, y_train), (x_test, y_test) = rotating_blobs(60, degrees=0, seed=0), rotating_blobs(30, degrees=0, seed=1)
    y_train, y_test = (np.array([int(NAMES[label]) for label in labels]) for labels in (y_train, y_test))
    np.savez(root / "source.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    for part, images, labels in (("train", x_train[:-15], y_train), ("val", x_train[-15:], y_train[-15:]), ("test", x_test, y_test)):
        for number, (image, label) in enumerate(zip(images, labels, strict=False)):
            (root / "folder" / part / str(label)).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(root / "folder" / part / str(label) / f"{number}.png")
    config = compose(root / "run", "data=arrays", f"data.source={root / 'source.npz'}", "method=source_only", "trainer.max_epochs=8")
    del config["trainer"]["enable_progress_bar"]
    run.train(config)
    return root


def test_a_run_is_evaluated_on_the_same_classes_in_another_order(trained):
    checkpoint = read_checkpoint(best_checkpoint(trained / "run"))
    assert checkpoint["classes"] == list(NAMES)
    folder = (
        "data=image_folder",
        f"data.source={trained / 'folder'}",
        "data.num_workers=0",
        "data.cache=none",
        "data.image_size=16",
        "data.crop=1",
    )
    accuracies = [
        evaluation.evaluate(override(checkpoint["config"], list(overrides)), checkpoint, allow_seen=True)["source/test_accuracy"]
        for overrides in ((), folder)
    ]
    assert accuracies[0] == accuracies[1] > 0.8


def test_a_run_starts_from_the_same_classes_in_another_order(trained, tmp_path):
    (tmp_path / "target").mkdir()
    for part in ("train", "val", "test"):
        (tmp_path / "target" / part).symlink_to(trained / "folder" / part)
    options = ("data=image_folder", f"data.source={trained / 'folder'}", f"data.target={tmp_path / 'target'}", "data.num_workers=0")
    parts = assembly.build(compose(tmp_path, *options, "model.weights=null", "method=dann", f"init_from={trained / 'run'}"))
    domains = parts.data.domains
    assert domains.classes == list(NAMES)
    for labels, test in (
        (domains.source.test.labels, domains.source.test),
        (parts.data.target_labels.for_final_test(), domains.target.test),
    ):
        assert [NAMES[label] for label in labels] == [test.paths[member].parent.name for member in test.members]


def labelled(*labels):
    return VectorArrays(torch.zeros(len(labels), 1), torch.tensor(labels, dtype=torch.int64), [""] * len(labels))


def test_missing_domains_and_parts_are_left_out():
    parts = Parts(labelled(0, 1), labelled(1), None)
    target_alone = Domains(["a", "b"], None, parts)
    assert list(parts.by_name()) == ["train", "val"]
    assert list(target_alone.by_name()) == list(target_alone.in_part("val")) == ["target"]
    assert target_alone.in_part("test") == {}
    assert target_alone.in_order_of(["b", "a"]).target.train.labels.tolist() == [1, 0]


def test_no_part_keeps_its_labels_not_even_an_empty_one():
    assert [part.labels for part in Parts(labelled(0), labelled(1), labelled()).without_labels()] == [None] * 3
