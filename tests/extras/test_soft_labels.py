"""Labels under Mixup, CutMix, smoothing and class weights."""

import pytest
import torch
from torch.nn import functional as F

from acclimate.errors import ConfigError
from acclimate.extras.soft_labels import SoftLabels
from acclimate.types import Labelled

NUM_CLASSES = 3
LABELS = torch.tensor([0, 1, 2, 0])
LOGITS = torch.randn(4, NUM_CLASSES, generator=torch.Generator().manual_seed(0))


def plain_images(*values, size=8):
    """uint8 images of one value each."""
    return torch.tensor(values, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, size, size).clone()


IMAGES = plain_images(0, 100, 200, 40)


def test_without_options_the_batch_stays_as_it_is():
    batch = Labelled(IMAGES, LABELS)
    assert SoftLabels(NUM_CLASSES)(batch) is batch


def test_smoothing_is_that_of_torch():
    rows = SoftLabels(NUM_CLASSES, smoothing=0.3)(Labelled(IMAGES, LABELS)).labels
    torch.testing.assert_close(rows[1], torch.tensor([0.1, 0.8, 0.1]))
    torch.testing.assert_close(F.cross_entropy(LOGITS, rows), F.cross_entropy(LOGITS, LABELS, label_smoothing=0.3))


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weights", [[2.0, 0.0, 0.5], [20.0, 0.0, 5.0], [0.1, 0.1, 0.1]])
def test_class_weights_and_smoothing_are_those_of_torch(weights, smoothing):
    rows = SoftLabels(NUM_CLASSES, class_weights=weights, smoothing=smoothing)(Labelled(IMAGES, LABELS)).labels
    expected = F.cross_entropy(LOGITS, LABELS, weight=torch.tensor(weights), label_smoothing=smoothing)
    torch.testing.assert_close(F.cross_entropy(LOGITS, rows), expected)


def test_a_batch_of_a_class_without_weight_has_no_loss():
    rows = SoftLabels(NUM_CLASSES, class_weights=[0.0, 1.0, 1.0])(Labelled(IMAGES, torch.zeros(4, dtype=torch.int64))).labels
    assert F.cross_entropy(LOGITS, rows) == 0


def test_class_weights_multiply_smoothed_shares_and_are_divided_by_the_mean_weight_of_the_labels():
    rows = SoftLabels(NUM_CLASSES, class_weights=[2, 1, 1], smoothing=0.3)(Labelled(IMAGES, LABELS)).labels
    # The mean of 2, 1, 1 and 2.
    torch.testing.assert_close(rows[0], torch.tensor([1.6, 0.1, 0.1]) / 1.5)
    torch.testing.assert_close(rows[1], torch.tensor([0.2, 0.8, 0.1]) / 1.5)


def test_balanced_weights_make_all_classes_count_alike():
    labels = torch.tensor([0] * 6 + [1] * 2)
    soft_labels = SoftLabels(NUM_CLASSES, class_weights="balanced")
    soft_labels.balance(labels)
    rows = soft_labels(Labelled(plain_images(*range(8)), labels)).labels
    # The third class has no image.
    torch.testing.assert_close(rows.sum(dim=0), torch.tensor([4.0, 4.0, 0.0]))


def test_a_class_without_inputs_gets_no_more_of_smoothed_labels_than_others_do():
    soft_labels = SoftLabels(NUM_CLASSES, class_weights="balanced", smoothing=0.3)
    soft_labels.balance(torch.tensor([0] * 600 + [1] * 200))
    assert soft_labels.weights.tolist() == pytest.approx([2 / 3, 2, 1])
    rows = soft_labels(Labelled(IMAGES[:2], torch.tensor([0, 1]))).labels
    assert rows.argmax(dim=1).tolist() == [0, 1]


def mixed_shares(images):
    """The share that the value of each image's own pixels has beside the one before it, by the values alone."""
    own, before = IMAGES[:, 0, 0, 0].float(), IMAGES.roll(1, 0)[:, 0, 0, 0].float()
    return (images[:, 0].float().mean(dim=(1, 2)) - before) / (own - before)


@pytest.mark.parametrize("option", ["mixup", "cutmix"])
def test_labels_are_mixed_like_the_images(option):
    soft_labels = SoftLabels(NUM_CLASSES, **{option: 1.0})
    shares = set()
    for seed in range(5):
        torch.manual_seed(seed)
        images, rows, *_ = soft_labels(Labelled(IMAGES, LABELS))
        assert images.dtype == torch.uint8
        share = mixed_shares(images)[1]
        # Half a grey value of a hundred.
        torch.testing.assert_close(mixed_shares(images), share.expand(4), rtol=0, atol=0.02)
        numbers = F.one_hot(LABELS, NUM_CLASSES)
        torch.testing.assert_close(rows, share * numbers + (1 - share) * numbers.roll(1, 0), rtol=0, atol=0.006)
        shares.add(round(float(share), 3))
    assert len(shares) > 2


def test_mixup_blends_and_cutmix_pastes():
    torch.manual_seed(0)
    blended = SoftLabels(NUM_CLASSES, mixup=1.0)(Labelled(IMAGES, LABELS)).inputs
    pasted = SoftLabels(NUM_CLASSES, cutmix=1.0)(Labelled(IMAGES, LABELS)).inputs
    assert len(blended[1].unique()) == 1
    assert set(pasted[1].unique().tolist()) == {0, 100}


def test_with_both_each_batch_gets_one_of_them():
    torch.manual_seed(0)
    soft_labels = SoftLabels(NUM_CLASSES, mixup=1.0, cutmix=1.0)
    is_blended = [len(soft_labels(Labelled(IMAGES, LABELS)).inputs[1].unique()) == 1 for _ in range(100)]
    assert 30 < sum(is_blended) < 70


def test_mixed_labels_are_weighted_in_the_proportions_of_their_classes():
    torch.manual_seed(0)
    plain = SoftLabels(NUM_CLASSES, mixup=1.0)
    weighted = SoftLabels(NUM_CLASSES, mixup=1.0, class_weights=[3.0, 1.0, 0.5])
    state = torch.get_rng_state()
    rows = plain(Labelled(IMAGES, LABELS)).labels
    torch.set_rng_state(state)
    weighted_rows = rows * torch.tensor([3.0, 1.0, 0.5])
    torch.testing.assert_close(weighted(Labelled(IMAGES, LABELS)).labels, weighted_rows / weighted_rows.sum(dim=1).mean())


def test_a_seed_decides_what_is_mixed():
    soft_labels = SoftLabels(NUM_CLASSES, mixup=0.4, cutmix=1)
    first, second, other = [], [], []
    for seed, found in ((0, first), (0, second), (1, other)):
        torch.manual_seed(seed)
        found.append(soft_labels(Labelled(IMAGES, LABELS)).labels)
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[0], other[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_weights": [1, 2]}, r"method\.class_weights=\[1\.0, 2\.0\] must be 3 numbers"),
        ({"class_weights": [1, 2, -1]}, r"at least 0 and not all 0"),
        ({"class_weights": [0, 0, 0]}, r"at least 0 and not all 0"),
    ],
)
def test_values_out_of_their_range_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        SoftLabels(NUM_CLASSES, **options)
