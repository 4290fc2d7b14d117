"""A transform of torchvision as a view, from the command line to a run that is continued and evaluated."""

import pytest
from small_runs import SMALL, assert_stop_changes_nothing, compose

from acclimate.errors import ConfigError
from acclimate.training import run

JITTER = "{_target_: torchvision.transforms.v2.ColorJitter, brightness: 0.5}"
CROP = "{_target_: torchvision.transforms.v2.RandomCrop, size: 12}"
VIEWS = (
    f"data.source_view={JITTER}",
    f"data.target_views=[{{_target_: torchvision.transforms.v2.Compose, transforms: [{CROP}, {JITTER}]}}]",
)


def test_run_with_such_views_is_continued_with_the_same_bits(archives, tmp_path):
    assert_stop_changes_nothing(tmp_path, *archives, "method=dann_mcc_fixmatch", *VIEWS, "trainer.max_epochs=2", batches=3)


def test_such_views_need_no_trust(acclimate, archives):
    assert acclimate("train", "method=source_only", *archives, *SMALL, *VIEWS, "trainer.max_epochs=1", "hydra.run.dir=run") == (0, "")
    assert acclimate("evaluate", "run=run") == (0, "")


def test_kept_features_of_fixed_views_train_as_the_images_do(archives, tmp_path):
    options = (*archives, *VIEWS, "method=dann", "model.freeze=backbone", "data.fixed_views=2", "trainer.max_epochs=2")
    anew = run.train(compose(tmp_path / "anew", *options, "data.feature_cache=none"))
    kept = run.train(compose(tmp_path / "kept", *options, "data.feature_cache=ram"))
    assert kept["selection/value"] == pytest.approx(anew["selection/value"], abs=1e-4)


@pytest.mark.parametrize(
    ("view", "message"),
    [
        ("{_target_: torch.nn.Flatten}", r"data.source_view._target_=torch.nn.Flatten is .*Transform"),
        ("{_target_: torchvision.transforms.v2.ColorJitter, brightnes: 1}", r"data.source_view.brightnes: .*Did you mean brightness"),
        ("jitter", r"data.source_view=jitter is not allowed.*plain"),
    ],
)
def test_what_is_no_view_is_refused(archives, tmp_path, view, message):
    with pytest.raises(ConfigError, match=message):
        run.train(compose(tmp_path, *archives, "method=dann", f"data.source_view={view}"))
