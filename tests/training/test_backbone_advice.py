"""The console says what becomes of a pretrained backbone, and the keys that it names work."""

import logging
import re

import pytest
from small_runs import compose, write_photographs

from acclimate.errors import ConfigError
from acclimate.training.run import train

TINY = (
    "model=small_cnn",
    "model.backbone._target_=small_runs.pretrained_cnn",
    "model.weights=true",
    "data.image_size=16",
    "data.batch_size=4",
    "data.num_workers=0",
    "trainer=cpu",
)


@pytest.fixture
def photographs(tmp_path):
    for name, seed in (("source", 0), ("target", 1)):
        write_photographs(tmp_path / name, seed=seed)
    return (f"data.source={tmp_path / 'source'}", f"data.target={tmp_path / 'target'}")


def accounts(caplog, folder, *overrides):
    with caplog.at_level(logging.INFO, logger="acclimate"):
        train(compose(folder, *overrides))
    messages = [record.getMessage() for record in caplog.records if record.name == "acclimate.training.run"]
    return [message for message in messages if message.startswith(("All layers", "The backbone"))]


def test_training_all_layers_on_few_images_names_what_is_faster_and_that_works(caplog, photographs, tmp_path):
    (advice,) = accounts(caplog, tmp_path / "all", "data=image_folder", *photographs, *TINY, "method=dann", "trainer.max_epochs=1")
    assert "experiment=own_images" in advice
    named = [word for word in re.findall(r"\S+=\S*[^\s.,]", advice) if word.startswith(("model.", "data.", "trainer."))]
    assert len(named) == 5
    named = [word.replace("max_steps=600", "max_steps=8").replace("interval=40", "interval=4") for word in named]
    caplog.clear()
    (account,) = accounts(caplog, tmp_path / "frozen", "data=image_folder", *photographs, *TINY, "method=dann", *named)
    assert "computed once" in account


def test_recipe_for_own_images_keeps_the_backbone(caplog, photographs, tmp_path):
    short = ("trainer.max_steps=8", "trainer.val_check_interval=4", "model.freeze=backbone")
    (account,) = accounts(caplog, tmp_path / "own", "experiment=own_images", *photographs, *TINY, *short)
    assert "model.freeze=backbone" in account


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["method=fine_tune"], r"only the head would train\. .* type model\.freeze=none data\.fixed_views=null\. .* method=linear_probe"),
        (["method=l2_sp"], "only the head would train"),
        (["method=lora"], "only the head would train"),
        (["method=source_only", "model.lora_rank=2"], r"model\.lora_rank=2 trains .* frozen\. Type model\.lora_rank=null"),
        (["method=source_only", "method.layer_decay=0.5"], r"method\.layer_decay=0\.5 trains the backbone, but it is frozen"),
    ],
)
def test_settings_for_a_backbone_that_is_frozen_are_refused(archives, tmp_path, words, said):
    """Otherwise fine_tune would be another name for linear_probe in comparisons with it."""
    with pytest.raises(ConfigError, match=said):
        train(compose(tmp_path / "run", *archives, "data.target=null", "model.freeze=backbone", "model.bottleneck=null", *words))


@pytest.mark.parametrize("words", [["method=linear_probe"], ["method=source_only"], ["method=bss", "model.bottleneck=4"]])
def test_settings_of_layers_behind_a_frozen_backbone_are_accepted(archives, tmp_path, words):
    train(compose(tmp_path / "run", *archives, "data.target=null", "model.freeze=backbone", "trainer.max_steps=1", "callbacks={}", *words))


def test_digits_from_scratch_need_no_word(caplog, archives, tmp_path):
    assert accounts(caplog, tmp_path / "digits", *archives, "method=dann") == []
