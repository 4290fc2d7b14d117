"""Pictures of a run: which there are, that they change nothing, and what they show."""

import csv
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
import torch
from google.protobuf import text_format
from matplotlib.colors import to_hex
from PIL import Image
from small_runs import compose, differences, trained_state, write_tables
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

from acclimate.data.samples import NO_LABEL
from acclimate.figures import DOMAIN_COLOURS
from acclimate.training import run
from acclimate.training.assembly import build
from acclimate.training.callbacks import pictures
from acclimate.training.callbacks.final_predictions import FinalPredictions
from acclimate.training.callbacks.pictures import Pictures
from acclimate.training.figures import samples
from acclimate.training.figures.class_shares import draw_class_shares
from acclimate.training.figures.confusion import draw_confusion
from acclimate.training.figures.galleries import SIDE, Group, draw_gallery, resized
from acclimate.training.figures.projections import draw_projection, neighbour_embedding, principal_components

PICTURES = "callbacks.pictures={_target_:acclimate.training.callbacks.pictures.Pictures,folder:${folder}}"
# Validations after 2, 4 and 6 steps.
OPTIONS = ("method=dann", "trainer.max_steps=6", "trainer.check_val_every_n_epoch=null", "trainer.val_check_interval=2")
FILES = {
    *("samples.png", "class_shares.png", "predictions.png", "source_confusion.png", "target_confusion.png"),
    *("projection.png", "projection_start.png", "projection_half_way.png", "projection_tsne.png"),
}


@pytest.fixture(scope="module")
def folder(archives, tmp_path_factory):
    """The folder of a run with all pictures."""
    folder = tmp_path_factory.mktemp("pictures") / "drawn"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pictures, "SECONDS", 0.0)
        run.train(compose(folder, *archives, *OPTIONS, PICTURES))
    return folder


def test_a_run_leaves_its_pictures(folder):
    assert {path.name for path in folder.glob("*.png")} == FILES
    assert sum(path.stat().st_size for path in folder.rglob("*") if "png" in path.name or "projector" in str(path)) < 1_000_000


def test_pictures_do_not_change_the_training(folder, archives):
    plain = folder.parent / "plain"
    run.train(compose(plain, *archives, *OPTIONS))
    assert differences(trained_state(folder), trained_state(plain)) == []


def test_the_projector_has_a_row_a_point_and_a_thumbnail_for_each_input(folder):
    config = text_format.Parse((folder / "projector_config.pbtxt").read_text(), ProjectorConfig())
    embedding = config.embeddings[0]
    points = np.loadtxt(folder / embedding.tensor_path, delimiter="\t", ndmin=2)
    with (folder / embedding.metadata_path).open(newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    assert len(points) == len(rows) > 4
    assert {row["domain"] for row in rows} == {"source", "target"}
    assert all(0 <= float(row["confidence"]) <= 1 for row in rows)
    width, height = Image.open(folder / embedding.sprite.image_path).size
    tile = embedding.sprite.single_image_dim[0]
    assert width == height
    assert (width // tile) ** 2 >= len(rows) > (width // tile - 1) ** 2


@pytest.fixture
def drawn(monkeypatch):
    """The groups of samples that were drawn."""
    groups = []
    monkeypatch.setattr(samples, "draw_gallery", groups.extend)
    return groups


def test_samples_are_balanced_over_the_classes_of_the_source_and_titled(archives, tmp_path, drawn):
    parts = build(compose(tmp_path, *archives, "method=dann"))
    samples.draw_samples(parts.data)
    source, target = drawn
    data = parts.data.domains
    assert source.title == f"source: {len(data.source.train)} training inputs, equally many of each class shown (view: plain)"
    assert sorted(source.captions) == sorted(["0", "1", "2"] * samples.ROWS)
    assert source.captions[:3] == ["0", "1", "2"]
    assert target.title == f"target: {len(data.target.train)} training inputs without labels, some shown at random (view: plain)"
    assert not target.captions


def test_labelled_inputs_of_the_target_are_counted_in_the_title(archives, tmp_path, drawn):
    data = build(compose(tmp_path, *archives, "method=dann", "data.target_labels_per_class=2")).data
    samples.draw_samples(data)
    num = len(data.domains.target.train)
    assert drawn[1].title.startswith(f"target: {num} training inputs, 6 labelled, some shown at random")


def test_samples_of_a_source_that_is_sorted_by_class_are_of_all_classes():
    class Sorted(list):
        domains = None

    assert {place // 100 for place in samples.random_samples(Sorted(range(300)), 30)} == {0, 1, 2}
    assert samples.random_samples(Sorted(range(3)), 30) == [0, 1, 2]


def test_vectors_are_points_of_both_domains_with_their_numbers(archives, tmp_path):
    write_tables(tmp_path)
    options = ("data=vectors", f"data.source={tmp_path / 'source.csv'}", f"data.target={tmp_path / 'target.csv'}", "model=mlp")
    data = build(compose(tmp_path / "run", *options, "method=dann")).data
    with mock.patch("acclimate.data.vectors.vectors.picture") as drawn:
        samples.draw_samples(data)
    figure = drawn.call_args.args[0]
    numbers = [min(samples.NUM_TOGETHER, len(part.train)) for part in (data.domains.source, data.domains.target)]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [f"source, {numbers[0]} shown", f"target, {numbers[1]} shown"]
    assert [to_hex(points.get_facecolor()[0]) for points in figure.axes[0].collections] == [
        colour.lower() for colour in DOMAIN_COLOURS.values()
    ]


def test_samples_are_those_that_the_network_sees(archives, tmp_path, drawn):
    options = ("method=fixmatch", "data.source_view=strong", "data.strong_view=strong")
    data = build(compose(tmp_path, *archives, *options)).data
    samples.draw_samples(data)
    assert [group.title.split("view: ")[1].rstrip(")") for group in drawn] == ["strong", "plain", "strong"]
    plain = data.kind.thumbnails(data.kind.view("plain").look(data.domains.target.train.load(range(5)), []))
    assert torch.equal(drawn[1].thumbnails[:5], plain)
    assert not torch.equal(drawn[2].thumbnails[:5], plain)


def test_classes_that_are_never_predicted_are_counted(archives, tmp_path, monkeypatch):
    groups, predictions = [], FinalPredictions()
    monkeypatch.setattr(pictures, "draw_gallery", groups.extend)
    data = build(compose(tmp_path, *archives, "method=dann")).data
    for shares, missing in (([0.2, 0.7, 0.1], " (2 of 3 classes are never predicted)"), (None, "")):
        probabilities = torch.eye(3).repeat(4, 1) if shares is None else torch.tensor([shares] * 12)
        predictions.probabilities = {"target": [probabilities]}
        pictures._draw_predictions(SimpleNamespace(callbacks=[predictions], datamodule=data))
        assert groups[-2].title == f"target, test part: most certain prediction of each class{missing}"
        assert groups[-2].captions == (["0 1.00", "1 1.00", "2 1.00"] if shares is None else ["1 0.70"])
        assert groups[-1].title == "target, test part: least certain predictions (predicted class and its probability)"


def test_inputs_without_a_label_are_not_said_to_be_of_a_class(archives, tmp_path, monkeypatch):
    groups, predictions = [], FinalPredictions()
    monkeypatch.setattr(pictures, "draw_gallery", groups.extend)
    data = build(compose(tmp_path, *archives, "method=dann")).data
    predictions.probabilities = {"target": [torch.tensor([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.5, 0.3, 0.2]])]}
    predictions.labels = {"target": [torch.tensor([NO_LABEL, 2, 0])]}
    pictures._draw_predictions(SimpleNamespace(callbacks=[predictions], datamodule=data))
    assert groups[-1].captions == ["0 0.50", "0 0.60\nis 2", "0 0.70"]
    # Beside a long name, a probability would reach into the next caption.
    data.domains.classes[2] = "elephants"
    pictures._draw_predictions(SimpleNamespace(callbacks=[predictions], datamodule=data))
    assert groups[-1].captions == ["0\n0.50", "0\n0.60\nis elephants", "0\n0.70"]


@pytest.mark.parametrize(("num_of_each", "num_rows"), [(5, samples.ROWS), (2, 2), (1, 1)])
def test_of_many_classes_some_are_drawn_and_each_sample_once(num_of_each, num_rows):
    labels = torch.arange(30 * num_of_each) % 30
    indices = samples._of_each_class(labels)
    assert len(indices) == len(set(indices)) == 10 * num_rows
    assert len(set(labels[indices].tolist())) == 10


def test_thumbnails_keep_their_shape():
    wide = torch.zeros(2, 3, 10, 40, dtype=torch.uint8)
    square = resized(wide, SIDE)
    assert square.shape == (2, 3, SIDE, SIDE)
    assert (square[:, :, SIDE // 2] == 0).all()
    assert (square[:, :, 0] == 255).all()
    assert (square == 0).float().mean() == pytest.approx(0.25)


def test_principal_components_by_hand():
    points = principal_components(torch.tensor([[0.0, 0.0, 5.0], [3.0, 4.0, 5.0]]))
    assert points.abs().tolist() == [[2.5, pytest.approx(0.0, abs=1e-6)], [2.5, pytest.approx(0.0, abs=1e-6)]]
    assert principal_components(torch.zeros(4, 1)).tolist() == [[0.0, 0.0]] * 4


def test_neighbours_stay_neighbours():
    clouds = torch.randn(40, 5, generator=torch.Generator().manual_seed(0)) + 50 * (torch.arange(40) % 2)[:, None]
    points = neighbour_embedding(clouds)
    distances = torch.cdist(points, points).fill_diagonal_(torch.inf)
    assert (distances.argmin(dim=1) % 2 == torch.arange(40) % 2).all()


@pytest.mark.parametrize("num_classes", [2, 10, 130])
def test_figures_are_drawn_for_any_number_of_classes_and_any_names(num_classes):
    classes = ["$a_b$", "_hidden", "<script>", *(f"class with a long name {number}" for number in range(num_classes))][:num_classes]
    points, predicted = torch.randn(30, 2), torch.arange(30) % num_classes
    projection = draw_projection(points, ["source"] * 20 + ["target"] * 10, predicted, classes, title="t", axes_name="component")
    shares = draw_class_shares({"source": torch.ones(num_classes), "target": torch.zeros(num_classes)}, None, classes, title="t")
    for picture in (projection, shares):
        assert picture.dtype == torch.uint8
        assert picture.shape[0] == 3
        assert (picture != 255).any()


def test_a_gallery_grows_with_its_groups():
    one = Group("source", torch.zeros(12, 3, 8, 8, dtype=torch.uint8), ["a\nb"] * 12)
    assert draw_gallery([one, one]).shape[1] == 2 * draw_gallery([one]).shape[1]


@pytest.mark.parametrize(
    "classes", [["ants", "bees"], ["a class with a rather long name", *"bcdefgh"], [f"class number {n}" for n in range(14)]]
)
def test_no_label_of_a_figure_is_cut_off(classes):
    counts = torch.ones(len(classes), len(classes))
    shares = {"source": torch.ones(len(classes)), "target": torch.ones(len(classes))}
    pictures = (
        draw_confusion(counts, classes, title="source, test part"),
        draw_class_shares(shares, None, classes, title="Predicted classes, half way (step 100,000)"),
    )
    for picture in pictures:
        edges = (picture[:, :2], picture[:, -2:], picture[..., :2], picture[..., -2:])
        assert all((edge == 255).all() for edge in edges)
