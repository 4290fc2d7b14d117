"""`acclimate rank`: which models are scored, on what, and in which order."""

import sys

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from small_runs import IMAGE_SIZE, write_archives
from torch import nn

from acclimate import cli
from acclimate.config.compose import compose_sweep
from acclimate.data.images.arrays import Arrays
from acclimate.data.images.views import ImageView
from acclimate.data.loaders import EvaluationBatches
from acclimate.scores.h_score import h_score
from acclimate.scores.leep import log_expected_empirical_prediction
from acclimate.scores.logme import log_maximum_evidence
from acclimate.selection import backbone_ranking
from acclimate.selection.backbone_ranking import score_backbone
from acclimate.training import run

SMALL = (f"data.image_size={IMAGE_SIZE}", "data.eval_batch_size=8")


@pytest.fixture
def rank(monkeypatch, capsys):
    """Run the command; return its exit code and all that it printed."""

    def call(*arguments: str) -> tuple[int, str]:
        GlobalHydra.instance().clear()
        monkeypatch.setattr(sys, "argv", ["acclimate", "rank", *arguments])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return call


def training_images(archives):
    source, target = (text.partition("=")[2] for text in archives[1:])
    images = Arrays(source=source, target=target).domains.source.train
    return EvaluationBatches(images, ImageView("plain", image_size=IMAGE_SIZE, crop=1.0), batch_size=8, labelled=True)


class FirstPixels(nn.Module):
    """As features, some pixels of each image, and a dropout that evaluation must switch off."""

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def forward(self, images):
        return self.dropout(images[:, 0, 5, 2:12].float())


def test_scores_are_those_of_all_labelled_training_images(archives):
    batches = training_images(archives)
    found = score_backbone("pixels", FirstPixels().train(), batches, device=torch.device("cpu"))
    pixels = batches.samples.load(range(len(batches.samples)))
    features, labels = torch.as_tensor(pixels).reshape(-1, 3, IMAGE_SIZE, IMAGE_SIZE)[:, 0, 5, 2:12].float(), batches.samples.labels
    assert len(labels) == 20
    assert found.logme == pytest.approx(log_maximum_evidence(features, labels).item())
    assert found.h_score == pytest.approx(h_score(features, labels).item())
    assert found.num_features == 10


def test_h_score_is_left_out_where_it_says_nothing(archives):
    backbone = nn.Sequential(nn.Flatten(), nn.Identity())
    batches = training_images(archives)
    found = score_backbone("all", lambda_module(lambda inputs: backbone(inputs.float())), batches, device=torch.device("cpu"))
    assert found.h_score is None
    assert found.num_features == 3 * IMAGE_SIZE**2


def test_leep_is_of_the_pretrained_head_and_left_out_without_one(archives):
    batches, head = training_images(archives), nn.Linear(10, 4)
    found = score_backbone("pixels", FirstPixels(), batches, device=torch.device("cpu"), source_head=head)
    pixels = torch.as_tensor(batches.samples.load(range(20)))[:, 0, 5, 2:12].float()
    expected = log_expected_empirical_prediction(head(pixels).softmax(dim=1), batches.samples.labels)
    assert found.leep == pytest.approx(expected.item())
    assert score_backbone("pixels", FirstPixels(), batches, device=torch.device("cpu")).leep is None


def test_only_weights_that_come_with_a_head_are_ranked_by_it(archives):
    scores = []
    for backbone, weights in (
        ("pretrained_cnn", "true"),
        ("pretrained_cnn", "null"),
        ("headless_cnn", "true"),
        ("oddly_headed_cnn", "true"),
    ):
        target = f"model.backbone._target_=small_runs.{backbone}"
        scores += backbone_ranking.rank(compose_sweep([*archives, *SMALL, "model=small_cnn", target, f"model.weights={weights}"]))
    assert [score.leep is None for score in scores] == [False, True, True, True]


def lambda_module(function):
    module = nn.Module()
    module.forward = function
    return module


@pytest.fixture(scope="module")
def trained(archives, tmp_path_factory):
    """A file with weights that were trained on the same images."""
    from small_runs import compose

    folder = tmp_path_factory.mktemp("trained")
    big = write_archives(folder, num_source=120)
    run.train(compose(folder, *big, "method=source_only", "trainer.max_epochs=6", "optimizer.lr=0.003"))
    return folder / "checkpoints" / "best.ckpt"


def test_trained_features_come_before_random_ones(rank, archives, trained, tmp_path):
    big = write_archives(tmp_path, num_source=120)
    code, printed = rank(*big, *SMALL, "model=small_cnn", "model.backbone.width=4", f"model.weights=null,{trained}")
    assert code == 0, printed
    first, second = (printed.index(name) for name in ("model.weights=/", "model.weights=null"))
    assert first < second


def test_neither_the_target_nor_its_labels_change_anything(rank, archives, tmp_path):
    arguments = (*SMALL, "model=small_cnn", "model.backbone.width=2,4")
    code, expected = rank(*archives, *arguments)
    assert code == 0, expected
    assert rank(*archives[:2], "data.target=null", *arguments) == (0, expected)


def test_backbone_whose_score_is_nan_comes_last(monkeypatch, archives):
    scores = iter([float("nan"), 1.0, 2.0])
    monkeypatch.setattr(backbone_ranking, "log_maximum_evidence", lambda *_: torch.tensor(next(scores)))
    ranked = backbone_ranking.rank(compose_sweep([*archives, *SMALL, "model=small_cnn", "model.backbone.width=2,3,4"]))
    assert [backbone.name for backbone in ranked] == [f"model.backbone.width={width}" for width in (4, 3, 2)]


def test_every_combination_is_composed_and_named_by_what_varies():
    configs = compose_sweep(["model=small_cnn,resnet18", "model.weights=null", "data.crop=0.5,1"])
    assert list(configs) == [f"model={model} data.crop={crop}" for model in ("small_cnn", "resnet18") for crop in ("0.5", "1")]
    assert [config["data"]["crop"] for config in configs.values()] == [0.5, 1, 0.5, 1]
    assert {config["model"]["weights"] for config in configs.values()} == {None}


def test_single_model_is_named_by_all_that_was_asked_for():
    assert list(compose_sweep(["model=small_cnn", "data.crop=0.5"])) == ["model=small_cnn data.crop=0.5"]


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["model=small_cnn,resnet81"], "Did you mean resnet18?"),
        (["data=fonts_to_handwriting"], "model=efficientnet_lite0,resnet18"),
        (["model=small_cnn", "model.backbone.width=narrow"], "model.backbone.width=narrow"),
        (["model=small_cnn", "model.wieghts=null"], "Did you mean weights?"),
        (["model=small_cnn", "data=image_folder"], "data.source=VALUE"),
        (["model=small_cnn", "data=image_folder", "data.source=nowhere", "data.target=null"], "nowhere is not a folder"),
        (["model=small_cnn", "fast"], "KEY=VALUE"),
    ],
)
def test_mistakes_end_with_one_message(rank, arguments, hint):
    code, message = rank(*arguments)
    assert code == 2, message
    assert message.startswith("acclimate: ")
    assert hint in message
    assert "Traceback" not in message


def test_help_says_how(rank):
    code, printed = rank("--help")
    assert code == 0
    assert "usage: acclimate rank" in printed
