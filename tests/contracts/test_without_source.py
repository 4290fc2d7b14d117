"""Methods without source never open a source image, and say so where something else would need one."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from small_runs import METHODS, SOURCE_FREE, compose, write_archives

from acclimate.data.demo import digit_fonts, fonts_to_handwriting
from acclimate.data.images.arrays import Arrays
from acclimate.data.images.image_data import ImageData
from acclimate.data.images.image_folder import ImageFolder
from acclimate.errors import ConfigError, DataError
from acclimate.inputs import ImageSpec
from acclimate.runs import checkpoints
from acclimate.training import assembly, evaluation, run
from acclimate.types import DomainBatch, Needs

SHORT = ("trainer.max_epochs=1",)
CLASSES = ("cat", "dog", "owl")


@pytest.fixture
def trained(tmp_path):
    """The options of the data of a run that is trained, and the run's folder."""
    archives = write_archives(tmp_path)
    run.train(compose(tmp_path / "origin", *archives, "method=source_only", *SHORT))
    return archives, tmp_path / "origin"


def finished(folder, method, *overrides):
    metrics = run.train(compose(folder, f"method={method}", *SHORT, *overrides))
    assert not any(name.startswith("source/") for name in metrics)
    assert "target/test_accuracy" in metrics
    assert metrics["selection/name"] == "information_corr_c"
    return metrics


def without_times(metrics):
    return {name: value for name, value in metrics.items() if not name.startswith("train/s")}


@pytest.mark.parametrize("method", SOURCE_FREE)
def test_a_source_that_is_gone_is_not_missed(trained, tmp_path, method):
    archives, origin = trained
    expected = finished(tmp_path / "there", method, *archives, f"init_from={origin}")
    (tmp_path / "source.npz").unlink()
    gone = finished(tmp_path / "gone", method, *archives, f"init_from={origin}")
    null = finished(tmp_path / "null", method, *archives, "data.source=null", f"init_from={origin}")
    assert without_times(gone) == without_times(null) == without_times(expected)


@pytest.mark.parametrize("method", SOURCE_FREE)
def test_it_is_evaluated_and_continued_without_source_too(trained, tmp_path, method):
    archives, origin = trained
    expected = finished(tmp_path / "run", method, *archives, f"init_from={origin}")
    (tmp_path / "source.npz").unlink()
    shutil.rmtree(origin)
    checkpoint = checkpoints.read_checkpoint(checkpoints.best_checkpoint(tmp_path / "run"))
    del checkpoint["config"]["trainer"]["enable_progress_bar"]
    found = evaluation.evaluate(checkpoint["config"], checkpoint)
    assert {name: expected[name] for name in found} == found
    (tmp_path / "run" / "metrics.json").unlink()
    config = compose(tmp_path / "run", f"method={method}", *archives, f"init_from={origin}", "trainer.max_epochs=2")
    assert run.train({**config, "resume": True})["train/steps"] == 2 * expected["train/steps"]


@pytest.mark.parametrize("method", SOURCE_FREE)
def test_image_folders_need_only_that_of_the_target(tmp_path, method):
    random = np.random.default_rng(0)
    for domain in ("source", "target"):
        for name in CLASSES:
            (tmp_path / domain / name).mkdir(parents=True)
            for number in range(6):
                Image.fromarray(random.integers(0, 255, (20, 20, 3), dtype=np.uint8)).save(tmp_path / domain / name / f"{number}.png")
    data = ("data=image_folder", "data.num_workers=0", f"data.source={tmp_path / 'source'}", f"data.target={tmp_path / 'target'}")
    run.train(compose(tmp_path / "origin", *data, "method=source_only", *SHORT))
    shutil.rmtree(tmp_path / "source")
    finished(tmp_path / "gone", method, *data, f"init_from={tmp_path / 'origin'}")


@pytest.mark.parametrize("method", SOURCE_FREE)
def test_no_digit_is_rendered(tmp_path, monkeypatch, method):
    small = ("data.num_source=40", "data.num_source_eval=20", "data.image_size=16")
    run.train(compose(tmp_path / "origin", *small, "method=source_only", *SHORT))

    def refuse(*arguments):
        raise AssertionError("a digit is rendered")

    monkeypatch.setattr(fonts_to_handwriting, "render_digits", refuse)
    monkeypatch.setattr(digit_fonts, "render_digits", refuse)
    finished(tmp_path / "run", method, *small, f"init_from={tmp_path / 'origin'}")


def test_batches_say_which_target_images_they_hold(archives):
    target = archives[2].partition("=")[2]
    data = Arrays(source=None, target=target, batch_size=4, target_batch_size=3)
    data.continue_from(data.kind_for(ImageSpec(16)), ["0", "1", "2"], without_source=True)
    data.prepare_for(spec=ImageSpec(16), needs=Needs(), reveal_target_labels=False)
    images = torch.cat([batch.views[0] for batch in data.training_parts().unlabelled_target()])
    for batch, _ in zip(data.train_dataloader(), range(6), strict=False):
        assert isinstance(batch, DomainBatch)
        assert len(batch.source.inputs) == len(batch.source.labels) == 0
        assert torch.equal(batch.target.views[0], images[batch.target.samples])
    assert data.evaluated_domains("val") == data.evaluated_domains("test") == ["target"]


@pytest.mark.parametrize("method", SOURCE_FREE)
def test_a_run_to_start_from_is_asked_for(archives, tmp_path, method):
    config = compose(tmp_path, *archives, f"method={method}")
    with pytest.raises(ConfigError, match="init_from=RUN"):
        assembly.build(config | {"init_from": None})


@pytest.mark.parametrize("selection", ["source_accuracy", "dev", "iwv", "vote"])
def test_a_selection_that_looks_at_the_source_is_refused(archives, tmp_path, selection):
    with pytest.raises(ConfigError, match=rf"selection={selection} needs source inputs"):
        assembly.build(compose(tmp_path, *archives, "method=shot", f"selection={selection}"))


@pytest.mark.parametrize("method", sorted({"dann", "source_only"} & set(METHODS)))
def test_a_method_that_needs_a_source_asks_for_it(archives, tmp_path, method):
    with pytest.raises(ConfigError, match=r"data\.source is null.*method=shot"):
        assembly.build(compose(tmp_path, *archives, "data.source=null", f"method={method}"))


def test_a_target_is_still_needed(archives, tmp_path):
    with pytest.raises(ConfigError, match=r"adapts to a target, but data\.target is null"):
        assembly.build(compose(tmp_path, *archives, "method=shot") | {"data": compose(tmp_path, *archives, "data.target=null")["data"]})


def test_targets_of_other_classes_are_refused(archives, tmp_path):
    target = archives[2].partition("=")[2]
    for data, classes in (
        (Arrays(source=None, target=target), ["cat", "dog", "owl"]),
        (fonts_to_handwriting.FontsToHandwriting(), ["0", "1", "2"]),
        (ImageFolder(source=None, target=str(tmp_path), classes=["cat", "dog"]), ["cat", "dog", "owl"]),
    ):
        data.continue_from(data.kind_for(ImageSpec(16)), classes, without_source=True)
        with pytest.raises(DataError, match=r"model knows|to tell apart"):
            _ = data.domains


def test_data_that_cannot_be_read_without_source_says_so():
    class Mine(ImageData):
        def read(self):
            raise AssertionError("the source is read")

    data = Mine()
    data.continue_from(data.kind_for(ImageSpec(16)), ["0", "1"], without_source=True)
    with pytest.raises(DataError, match=r"Mine has no read_target\(\)"):
        _ = data.domains


@pytest.mark.parametrize(
    ("method", "init_from", "message"),
    [("shot.Shot", None, "Name the run that trained it: init_from=RUN"), ("co_tuning.CoTuning", "run", "Leave out init_from")],
)
def test_wrong_start_is_refused_before_the_data_is_read(tmp_path, method, init_from, message):
    missing = tmp_path / "missing.npz"
    config = compose(tmp_path, "data=arrays", f"data.source={missing}", f"data.target={missing}", "method=source_only")
    config |= {"method": {"_target_": f"acclimate.methods.{method}"}, "init_from": init_from}
    with pytest.raises(ConfigError, match=message):
        run.train(config)
