"""Agreement of classes and clusters that are known."""

import pytest
import torch

from acclimate.scores.cluster_agreement import cluster_agreement

CLUSTERS = torch.arange(60) % 3
FEATURES = 10 * torch.eye(3)[CLUSTERS] + 0.1 * torch.randn(60, 3, generator=torch.Generator().manual_seed(0))


def test_classes_that_are_the_clusters_under_other_names_agree():
    assert cluster_agreement(FEATURES, torch.eye(3)[(CLUSTERS + 1) % 3]) == pytest.approx(1)


def test_classes_of_two_merged_clusters_agree_by_half():
    # Information log 3 - 2/3 log 2 of classes with just that entropy, against the mean of both entropies, all less chance.
    assert 0.5 < cluster_agreement(FEATURES, torch.eye(3)[CLUSTERS.clamp_max(1)]) < 0.9


def test_classes_by_chance_do_not_agree():
    classes = CLUSTERS[torch.randperm(60, generator=torch.Generator().manual_seed(0))]
    assert abs(cluster_agreement(FEATURES, torch.eye(3)[classes])) < 0.15


@pytest.mark.parametrize("features", [FEATURES, torch.ones(60, 3)])
def test_one_class_for_every_image_is_no_agreement(features):
    assert cluster_agreement(features, torch.eye(3)[[1] * 60]) == 0
