"""Choice of the labelled target samples."""

import pytest
import torch

from acclimate.data.few_labels import labelled_samples
from acclimate.errors import ConfigError

LABELS = torch.tensor([0, 1, 0, 1, 1, 0, 2, 2, 2, 0])
CLASSES = ["ants", "bees", "moths"]


@pytest.mark.parametrize("per_class", [1, 2, 3])
def test_each_class_lends_as_many(per_class):
    chosen = labelled_samples(LABELS, CLASSES, per_class=per_class, seed=0)
    assert chosen == sorted(set(chosen))
    assert LABELS[chosen].bincount().tolist() == [per_class] * 3


def test_more_labels_contain_the_fewer():
    one, two = (set(labelled_samples(LABELS, CLASSES, per_class=number, seed=0)) for number in (1, 2))
    assert one < two


def test_the_seed_decides_which():
    found = [labelled_samples(LABELS, CLASSES, per_class=1, seed=seed) for seed in (0, 0, 1, 2, 3)]
    assert found[0] == found[1]
    assert len({tuple(chosen) for chosen in found}) > 1


def test_a_label_that_is_no_class_is_not_lent():
    assert 1 not in labelled_samples(torch.tensor([0, 10**9, 1, 2]), CLASSES, per_class=1, seed=0)


def test_too_few_images_are_named():
    with pytest.raises(ConfigError, match=r"per_class=4, but .* training part has only 3 of bees, 3 of moths\. Use fewer"):
        labelled_samples(LABELS, CLASSES, per_class=4, seed=0)


def test_a_class_that_the_target_lacks_is_left_out(caplog):
    labels = torch.tensor([0, 0, 2, 2, 2])
    chosen = labelled_samples(labels, ["3", "7", "9"], per_class=2, seed=0)
    assert labels[chosen].bincount().tolist() == [2, 0, 2]
    assert caplog.messages == ["data.target_labels_per_class: the target's training part has no samples of 7."]
    with pytest.raises(ConfigError, match=r"has only 2 of 3\. Use fewer"):
        labelled_samples(labels, ["3", "7", "9"], per_class=3, seed=0)
    with pytest.raises(ConfigError, match="has only other classes"):
        labelled_samples(torch.tensor([-1, -1]), ["3", "7"], per_class=1, seed=0)
