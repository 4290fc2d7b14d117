"""Which images a score keeps."""

import pytest
import torch

from acclimate.metrics.sampled_score import SampledScore, content_keys
from acclimate.types import Prediction


class Mean(SampledScore):
    name = "mean"

    def compute(self):
        return self.sample("target").features.mean()


def rows(number, width=3):
    return torch.randn(number, width, generator=torch.Generator().manual_seed(0))


def test_keys_follow_their_rows():
    order = torch.randperm(20)
    assert torch.equal(content_keys(rows(20)[order]), content_keys(rows(20))[order])
    assert len(content_keys(rows(20)).unique()) == 20


def test_keys_do_not_prefer_large_or_small_numbers():
    features = rows(4000, 1)
    chosen = features[content_keys(features).argsort()[:1000]]
    assert abs(float(chosen.mean())) < 0.12
    assert float(chosen.std()) == pytest.approx(1, abs=0.1)


def test_no_more_than_twice_the_sample_is_kept():
    score = Mean(max_samples=5)
    for batch in rows(100).split(3):
        score.update("target", Prediction(batch, batch), None)
        assert sum(map(len, score.target_keys)) < 2 * 5
    assert score.sample("target").features.shape == (5, 3)
    expected = rows(100)[content_keys(torch.cat([rows(100), rows(100), torch.full((100, 1), -1.0)], dim=1)).argsort()[:5]]
    torch.testing.assert_close(score.sample("target").features, expected)


def test_a_sample_is_at_least_two():
    with pytest.raises(ValueError, match="at least 2"):
        Mean(max_samples=1)
