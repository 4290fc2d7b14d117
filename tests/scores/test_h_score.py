"""H-score by hand, against its definition, and what must not change it."""

import numpy as np
import pytest
import torch

from acclimate.scores.h_score import h_score


def case(num=60, width=5):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(num) % 3
    return torch.randn(num, width, generator=generator, dtype=torch.float64) + labels[:, None] * torch.rand(
        width, generator=generator
    ), labels


def test_one_feature_by_hand():
    # Of a variance of 5, the class means of 1 and 5 make up 4.
    assert h_score(torch.tensor([[0.0], [2.0], [4.0], [6.0]]), torch.tensor([0, 0, 1, 1])).item() == pytest.approx(0.8)


def test_it_is_the_trace_of_the_paper():
    features, labels = case()
    means = np.stack([features[labels == label].mean(dim=0).numpy() for label in labels])
    expected = np.trace(np.linalg.inv(np.cov(features.numpy().T, bias=True)) @ np.cov(means.T, bias=True))
    assert h_score(features, labels).item() == pytest.approx(expected)


def test_invertible_maps_order_and_names_of_classes_do_not_matter():
    features, labels = case()
    generator = torch.Generator().manual_seed(1)
    order = torch.randperm(len(labels), generator=generator)
    mixing = torch.randn(5, 5, generator=generator, dtype=torch.float64)
    for changed in ((features[order], labels[order]), (features @ mixing + 7, labels), (features, 2 - labels)):
        torch.testing.assert_close(h_score(*changed), h_score(features, labels))


def test_features_that_repeat_others_add_nothing():
    features, labels = case()
    torch.testing.assert_close(h_score(torch.cat([features, features[:, :2]], dim=1), labels), h_score(features, labels))


def test_rounding_in_float32_does_not_make_new_directions():
    features, labels = case()
    repeated = torch.cat([features] * 4, dim=1)
    rounding = 1 + 1e-6 * torch.randn(repeated.shape, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(h_score(repeated * rounding, labels), h_score(features, labels), atol=1e-4, rtol=0)


def test_pure_classes_reach_the_upper_end_and_means_that_agree_the_lower():
    _, labels = case()
    assert h_score(torch.eye(3)[labels], labels).item() == pytest.approx(2)
    assert h_score(torch.tensor([[1.0], [-1.0], [1.0], [-1.0]]), torch.tensor([0, 0, 1, 1])).item() == pytest.approx(0)


def test_large_values_in_bfloat16_are_finite():
    features, labels = case()
    assert h_score((1e4 * features).bfloat16(), labels).isfinite()


def test_features_that_do_not_vary_tell_nothing_apart():
    assert h_score(torch.ones(6, 3), torch.arange(6) % 2).item() == 0
