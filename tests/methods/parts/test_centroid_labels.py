"""Labels by the nearest centroid: by hand, whatever the order, and where a class has no image."""

import pytest
import torch

from acclimate.methods.parts.centroid_labels import centroid_labels


def random_images(num=12, num_features=5, num_classes=4):
    generator = torch.Generator().manual_seed(0)
    shapes = ((num, num_features), (num, num_classes))
    return tuple(torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in shapes)


def test_an_image_gets_the_class_of_its_neighbours_and_not_its_own_prediction():
    features = torch.tensor([[9.0, 0.0], [9.0, 0.5], [8.0, 0.2], [0.0, 9.0], [0.3, 9.0]])
    logits = torch.tensor([[3.0, 0.0], [3.0, 0.0], [0.0, 0.5], [0.0, 3.0], [0.0, 3.0]])
    assert logits.argmax(dim=1).tolist() == [0, 0, 1, 1, 1]
    assert centroid_labels(features, logits).tolist() == [0, 0, 0, 1, 1]


def test_second_centroids_are_those_of_the_first_labels():
    angles = torch.deg2rad(torch.tensor([90.0, 10.0, 0.0, 30.0])).double()
    # So long that the further coordinate does not count.
    features = 1e6 * torch.stack([angles.cos(), angles.sin()], dim=1)
    second = torch.tensor([0.1, 0.3, 0.6, 0.1]).double()
    logits = torch.stack([1 - second, second], dim=1).log()
    # Centroids of the probabilities lie at 38 and 12 degrees and give the classes 0, 1, 1, 0; those of these classes lie at
    # 60 and 5, and 30 is nearer to 5.
    assert logits.argmax(dim=1).tolist() == [0, 0, 1, 0]
    assert centroid_labels(features, logits).tolist() == [0, 1, 1, 1]


def test_order_of_images_and_of_classes_does_not_matter():
    features, logits = random_images()
    expected = centroid_labels(features, logits)
    rows, columns = torch.randperm(12, generator=torch.Generator().manual_seed(1)), torch.tensor([2, 0, 3, 1])
    assert torch.equal(centroid_labels(features[rows], logits[rows]), expected[rows])
    assert torch.equal(columns[centroid_labels(features, logits[:, columns])], expected)


def test_a_class_that_no_image_has_is_given_to_none():
    features, logits = random_images()
    logits[:, 2] = logits[:, [0, 1, 3]].amax(dim=1) - 0.01
    assert 2 not in logits.argmax(dim=1)
    assert 2 not in centroid_labels(features, logits)


def test_equal_images_of_one_class_stay_in_it():
    assert centroid_labels(torch.zeros(3, 2), torch.tensor([[0.0, 1.0]] * 3)).tolist() == [1, 1, 1]


@pytest.mark.parametrize("size", [1.0, 1e4])
def test_half_precision_and_autocast_change_no_label(size):
    features, logits = random_images()
    features, logits = (size * features).bfloat16(), (size * logits).bfloat16()
    expected = centroid_labels(features.double(), logits.double())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(centroid_labels(features, logits), expected)


@pytest.mark.parametrize(("features", "logits"), [((3, 2), (4, 5)), ((3,), (3, 5)), ((3, 2), (3,))])
def test_shapes_that_do_not_fit_are_refused(features, logits):
    with pytest.raises(ValueError, match="Expected shapes"):
        centroid_labels(torch.zeros(features), torch.zeros(logits))
