import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.utils import Bunch

from acclimate.data.demo.digit_fonts import render_digits
from acclimate.data.demo.fonts_to_handwriting import FontsToHandwriting, read_handwritten_digits
from acclimate.errors import ConfigError
from acclimate.inputs import ImageSpec
from acclimate.types import Needs


@pytest.fixture(scope="module")
def domains():
    return FontsToHandwriting(num_source=60, num_source_eval=20).read()


def rows(images):
    return {bytes(image.numpy().tobytes()) for image in images.images}


def test_the_target_is_all_1797_handwritten_digits_in_disjoint_parts(domains):
    assert sum(len(part) for part in domains.target) == 1797
    assert [round(len(part) / 1797, 2) for part in domains.target] == [0.5, 0.2, 0.3]
    all_digits = torch.from_numpy(load_digits().target).bincount()
    assert torch.equal(sum(part.labels.bincount() for part in domains.target), all_digits)
    # Of the 1,797 images no two are equal, so the parts are disjoint if their images are.
    assert len(set().union(*(rows(part) for part in domains.target))) == 1797


def test_the_targets_division_depends_neither_on_its_labels_nor_on_the_order_of_its_images(domains, monkeypatch):
    digits = load_digits()
    order = np.random.default_rng(0).permutation(1797)
    moved = Bunch(images=digits.images[order], target=np.sort(digits.target))
    monkeypatch.setattr("acclimate.data.demo.fonts_to_handwriting.load_digits", lambda: moved)
    found = FontsToHandwriting(num_source=60, num_source_eval=20).read()
    assert [rows(part) for part in found.target] == [rows(part) for part in domains.target]


def test_handwritten_digits_are_enlarged_with_their_brightness_and_labels():
    digits, found = load_digits(), read_handwritten_digits()
    assert found.images.shape == (1797, 1, 32, 32)
    assert found.labels.tolist() == digits.target.tolist()
    for number in (0, 7, 1000):
        block_means = found.images[number, 0].float().view(8, 4, 8, 4).mean(dim=(1, 3))
        correlation = torch.corrcoef(torch.stack([block_means.flatten(), torch.from_numpy(digits.images[number]).float().flatten()]))
        assert correlation[0, 1] > 0.95


def test_the_source_has_as_many_rendered_digits_as_asked_for(domains):
    assert [len(part) for part in domains.source] == [60, 20, 20]
    assert [part.labels.bincount().tolist() for part in domains.source] == [[6] * 10, [2] * 10, [2] * 10]
    assert len(set().union(*(rows(part) for part in domains.source))) == 100
    assert domains.source.train.load([0, 1]).shape == domains.target.train.load([0, 1]).shape == (2, 3, 32, 32)


def test_the_same_seed_gives_the_same_images_whatever_the_state_of_the_global_generator(domains):
    torch.manual_seed(123)
    again = FontsToHandwriting(num_source=60, num_source_eval=20, seed=5).read()
    for old, new in zip((*domains.source, *domains.target), (*again.source, *again.target), strict=True):
        assert torch.equal(old.images, new.images)
        assert torch.equal(old.labels, new.labels)


def test_another_split_seed_renders_other_digits_and_divides_the_target_anew(domains):
    other = FontsToHandwriting(num_source=60, num_source_eval=20, split_seed=1).read()
    assert rows(domains.source.train).isdisjoint(rows(other.source.train))
    assert rows(domains.target.test) != rows(other.target.test)


def test_rendered_digits_are_bright_on_dark_and_fill_the_frame():
    images, labels = render_digits(50, 32, seed=0)
    assert images.dtype == torch.uint8
    assert labels.tolist() == list(range(10)) * 5
    assert (images.amax(dim=(1, 2, 3)) == 255).all()
    assert images.float().mean() < 128
    inked_rows = (images.amax(dim=(1, 3)) > 64).sum(dim=1).float()
    assert inked_rows.mean() > 20


def test_a_target_of_some_digits_has_them_in_the_same_parts_and_the_model_keeps_all(domains):
    partial = FontsToHandwriting(num_source=60, num_source_eval=20, target_classes=[7, 0, 3]).read()
    assert partial.classes == domains.classes
    for found, whole in zip(partial.target, domains.target, strict=True):
        kept = [index for index, label in enumerate(whole.labels.tolist()) if label in (0, 3, 7)]
        assert torch.equal(found.labels, whole.labels[kept])
        assert torch.equal(found.images, whole.images[kept])
        assert set(found.labels.tolist()) == {0, 3, 7}
    for found, whole in zip(partial.source, domains.source, strict=True):
        assert torch.equal(found.images, whole.images)


@pytest.mark.parametrize("classes", [[], [3, 3], [10], [-1, 2]])
def test_target_classes_that_are_not_different_digits_are_refused(classes):
    with pytest.raises(ConfigError) as caught:
        FontsToHandwriting(target_classes=classes)
    assert "data.target_classes must name at least one digit from 0 to 9, each once" in str(caught.value)
    assert f"but is {classes}" in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target_val_fraction": 0.0}, r"must be above 0 with a sum below 1"),
        ({"target_val_fraction": 0.5, "target_test_fraction": 0.5}, r"must be above 0 with a sum below 1"),
    ],
)
def test_numbers_out_of_range_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        FontsToHandwriting(**settings)


def test_labels_of_a_few_handwritten_digits_may_train():
    data = FontsToHandwriting(num_source=40, num_source_eval=20, target_labels_per_class=3, batch_size=8)
    data.prepare_for(spec=ImageSpec(32), needs=Needs(target=False), reveal_target_labels=False)
    assert data.target_labels.lend(data.labelled_target).bincount().tolist() == [3] * 10
    batch = next(iter(data.train_dataloader()))
    assert batch.target is None
    assert len(batch.target_labelled.labels) == 8
