import logging

import pytest
import torch
from pytorch_lightning.callbacks import Callback
from small_runs import compose, trained_state

from acclimate.data.cache import store
from acclimate.data.cache.features import read, write
from acclimate.data.samples import KeptFeatures
from acclimate.inputs import ANY_SIZE, Features
from acclimate.models.backbones.image import ImageBackbone
from acclimate.models.classifier import Classifier
from acclimate.runs import checkpoints
from acclimate.training import assembly, evaluation, run

# Double precision, in which the batch that an image is in changes nothing that could be seen.
FROZEN = ("model.freeze=backbone", "trainer.max_epochs=2", "trainer.precision=64-true", "callbacks={}")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCLIMATE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def seen(monkeypatch):
    """Return a list with the number of images in each pass through a backbone."""
    counts = []
    forward = ImageBackbone.forward

    def counting(self, images):
        if images.ndim == 4:
            counts.append(len(images))
        return forward(self, images)

    monkeypatch.setattr(ImageBackbone, "forward", counting)
    # It tries one image of another size than the model was made for.
    monkeypatch.setattr(ImageBackbone, "_refuse_size", lambda *arguments, **settings: None)
    return counts


class Predictions(Callback):
    """Collects the logits of a validation."""

    def __init__(self):
        self.logits = []

    def on_validation_batch_end(self, trainer, method, outputs, *rest):
        self.logits.append(outputs.logits)


def train(folder, *options):
    metrics = run.train(compose(folder, *options))
    return {key: value for key, value in metrics.items() if not key.startswith("train/s")}


@pytest.mark.parametrize(("method", "kind"), [("linear_probe", "ram"), ("dann", "disk"), ("mcd", "disk"), ("mean_teacher", "disk")])
def test_a_run_on_kept_features_is_the_run_on_images(archives, tmp_path, method, kind):
    strong = ("data.target_views=[plain,plain]",) if method == "mean_teacher" else ()
    options = (*archives, f"method={method}", *FROZEN, *strong)
    expected = train(tmp_path / "images", *options, "data.feature_cache=none")
    for name in ("first", "second"):
        metrics = train(tmp_path / name, *options, f"data.feature_cache={kind}")
        assert metrics.pop("selection/value") == pytest.approx(expected["selection/value"], rel=1e-9)
        assert metrics.items() <= expected.items()
        images, features = (trained_state(tmp_path / folder)["state_dict"] for folder in ("images", name))
        torch.testing.assert_close(features, images, rtol=1e-9, atol=1e-12)


SHIFTED = ("data.source_view=shift", "data.target_views=[shift]", "data.fixed_views=3")


@pytest.mark.parametrize(("method", "kind"), [("linear_probe", "ram"), ("dann", "disk"), ("fixmatch", "disk")])
def test_a_run_on_features_of_fixed_views_is_the_run_on_images(archives, tmp_path, seen, method, kind):
    # More epochs than there are views of an image.
    options = (*archives, f"method={method}", *FROZEN, *SHIFTED, "trainer.max_epochs=5", "data.target_labels_per_class=1")
    expected = train(tmp_path / "images", *options, "data.feature_cache=none")
    metrics = train(tmp_path / "features", *options, f"data.feature_cache={kind}")
    assert metrics.pop("selection/value") == pytest.approx(expected["selection/value"], rel=1e-9)
    assert metrics.items() <= expected.items()
    images, features = (trained_state(tmp_path / folder)["state_dict"] for folder in ("images", "features"))
    torch.testing.assert_close(features, images, rtol=1e-9, atol=1e-12)


def test_every_fixed_view_goes_through_the_backbone_once(archives, tmp_path, seen):
    options = (*archives, "method=linear_probe", *FROZEN, *SHIFTED)
    train(tmp_path / "first", *options)
    # 20 in three views, 3 and 2 to validate, and 12 of each domain to test.
    once = 3 * 20 + 3 + 2 + 2 * 12
    assert sum(seen) == once
    # The views are those of all seeds.
    train(tmp_path / "second", *options, "optimizer.lr=0.1", "data.seed=1")
    assert sum(seen) == once
    assert {entry.about for entry in store.entries()} >= {"features of 20 images, shift in 3 views", "features of 3 images, plain"}


@pytest.mark.parametrize(("changed", "num_new"), [("data.fixed_views=2", 2 * 20), ("data.source_view=strong", 3 * 20)])
def test_other_fixed_views_are_another_entry(archives, tmp_path, seen, changed, num_new):
    options = (*archives, "method=linear_probe", *FROZEN, *SHIFTED)
    train(tmp_path / "first", *options)
    before = sum(seen)
    train(tmp_path / "other", *options, changed)
    assert sum(seen) - before == num_new


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "64-true"])
def test_evaluation_is_the_same_bit_for_bit(archives, tmp_path, precision):
    options = (*archives, "method=linear_probe", f"trainer.precision={precision}", "callbacks={}", "trainer.max_epochs=1")
    run.train(compose(tmp_path, *options))
    checkpoint = checkpoints.read_checkpoint(checkpoints.best_checkpoint(tmp_path))
    logits = []
    for kind in ("none", "ram", "disk", "disk"):
        parts, predictions = assembly.build(compose(tmp_path, *options, f"data.feature_cache={kind}")), Predictions()
        parts.trainer.callbacks.append(predictions)
        parts.method.load_state_dict(checkpoint["state_dict"])
        parts.trainer.validate(parts.method, parts.data, verbose=False)
        logits.append(torch.cat(predictions.logits))
    assert all(torch.equal(logits[0], others) for others in logits[1:])


def test_every_image_goes_through_the_backbone_once(archives, tmp_path, seen):
    options = (*archives, "method=dann", *FROZEN)
    train(tmp_path / "first", *options)
    # 20 and 3 of the source, 15 and 2 of the target, and 12 of each to test.
    assert sum(seen) == 23 + 17 + 2 * 12
    train(tmp_path / "second", *options, "optimizer.lr=0.1", "method=cdan")
    assert sum(seen) == 23 + 17 + 2 * 12


def test_damaged_features_are_computed_anew(archives, tmp_path, caplog):
    options = (*archives, "method=linear_probe", *FROZEN)
    expected = train(tmp_path / "first", *options)
    for file in (tmp_path / "cache").glob("features/*/features"):
        contents = bytearray(file.read_bytes())
        contents[0] ^= 255
        file.write_bytes(contents)
    with caplog.at_level(logging.WARNING):
        assert train(tmp_path / "second", *options) == expected
    assert "A damaged entry of the cache is created again" in caplog.text


def test_evaluating_a_run_uses_its_weights_and_not_those_that_it_would_start_from(archives, tmp_path):
    options = (*archives, "method=source_only", "trainer.max_epochs=3", "callbacks={}")
    metrics = run.train(compose(tmp_path, *options))
    config = compose(tmp_path, *options, "model.freeze=backbone", "seed=1", "trainer.enable_progress_bar=true")
    again = evaluation.evaluate(config, checkpoints.read_checkpoint(checkpoints.best_checkpoint(tmp_path)))
    assert again.items() <= metrics.items()


@pytest.mark.parametrize("views", [("data.source_view=shift",), ("data.target_views=[shift]",), ("method=fixmatch",)])
def test_what_is_seen_in_random_views_is_computed_anew_but_evaluation_is_not(archives, tmp_path, seen, views):
    options = (*archives, "method=dann", *FROZEN, *views)
    parts = assembly.build(compose(tmp_path, *options))
    parts.trainer.fit(parts.method, parts.data)
    assert parts.data.train_dataloader()
    evaluated = [loader.dataset.samples for loader in parts.data.val_dataloader()]
    assert all(isinstance(samples, KeptFeatures) for samples in evaluated)
    assert sum(seen) > 2 * 20


def test_a_backbone_that_trains_sees_images(archives, tmp_path):
    train(tmp_path, *archives, "method=dann", "trainer.max_epochs=1", "callbacks={}")
    assert store.entries() == []


def test_a_run_that_is_cut_short_does_not_look_at_all_images(archives, tmp_path, seen):
    limits = [f"trainer.limit_{part}_batches=1" for part in ("train", "val", "test")]
    train(tmp_path, *archives, "method=linear_probe", *FROZEN, *limits)
    assert sum(seen) < 23 + 17
    assert store.entries() == []


OTHER = {
    "weights": ("seed=1",),
    "architecture": ("model.backbone.width=5",),
    "size": ("data.image_size=12",),
    "crop": ("data.crop=0.5",),
    "batches": ("data.eval_batch_size=7",),
    "precision": ("trainer.precision=32-true",),
    "division of the images": ("data.split_seed=1",),
}


@pytest.mark.parametrize("what", OTHER)
def test_what_changes_the_features_is_another_entry(archives, tmp_path, what, seen):
    options = (*archives, "method=linear_probe", *FROZEN)
    train(tmp_path / "first", *options)
    before = sum(seen)
    train(tmp_path / "other", *options, *OTHER[what])
    # The division leaves the test images as they are.
    assert sum(seen) - before == {"division of the images": 20 + 3 + 2}.get(what, before)


def test_without_room_features_are_kept_for_the_run(archives, tmp_path, seen, monkeypatch, caplog):
    monkeypatch.setenv("ACCLIMATE_CACHE_GB", "1e-6")
    with caplog.at_level(logging.WARNING):
        train(tmp_path, *archives, "method=linear_probe", *FROZEN)
    assert "ACCLIMATE_CACHE_GB" in caplog.text
    assert sum(seen) == 23 + 2 + 2 * 12
    assert store.entries() == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_features_are_read_as_they_were_written(tmp_path, dtype):
    features = torch.randn(10, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    write(tmp_path, features)
    found = read(tmp_path)
    assert found.dtype == dtype
    assert torch.equal(found, features)


def test_a_part_of_a_set_keeps_labels_with_their_features():
    part = KeptFeatures(torch.arange(5.0)[:, None], torch.arange(5)).take([4, 1])
    assert part.load([1, 0]).values.flatten().tolist() == [1, 4]
    assert part.labels.tolist() == [4, 1]
    assert len(part) == 2


def test_features_of_a_frozen_backbone_do_not_pass_it_again():
    features = torch.randn(3, 7)
    classifier = Classifier(
        lambda weights, inputs: ImageBackbone(torch.nn.Flatten(), num_features=7, image_size=8), num_classes=2, inputs=ANY_SIZE
    )
    assert torch.equal(classifier(Features(features)).features, features)
