"""The sample of inputs that a score keeps."""

import pytest
import torch

from acclimate.scores.sampled_score import SampledScore, place_keys
from acclimate.types import Prediction


class Mean(SampledScore):
    name = "mean"

    def value(self):
        return self.sample("target").features.mean()


def rows(number, width=3):
    return torch.randn(number, width, generator=torch.Generator().manual_seed(0))


def kept_places(features, *, batch_size):
    """Return the rows that a score of 16 inputs keeps, in its order."""
    score = Mean(max_samples=16)
    for batch in features.split(batch_size):
        score.update("target", Prediction(batch, batch), None)
    return [int((features == row).all(dim=1).nonzero()) for row in score.sample("target").features]


def test_a_place_has_the_same_key_in_every_batch():
    keys = place_keys(0, 100)
    assert torch.equal(torch.cat([place_keys(0, 1), place_keys(1, 37), place_keys(38, 62)]), keys)
    assert len(keys.unique()) == 100


def test_a_sample_is_of_the_same_places_for_all_models_and_batch_sizes():
    first = kept_places(rows(100), batch_size=100)
    assert first == kept_places(rows(100), batch_size=7) == kept_places(rows(100).exp() + 5, batch_size=1)


def test_the_order_of_a_sample_is_random_and_it_spreads_over_the_data_set():
    places = torch.tensor(kept_places(rows(1000), batch_size=50))
    assert not torch.equal(places, places.sort().values)
    assert 300 < float(places.float().mean()) < 700


def test_no_more_than_twice_the_sample_is_kept():
    score = Mean(max_samples=5)
    for batch in rows(100).split(3):
        score.update("target", Prediction(batch, batch), None)
        assert sum(map(len, score.target_keys)) < 2 * 5
    assert score.sample("target").features.shape == (5, 3)
    torch.testing.assert_close(score.sample("target").features, rows(100)[place_keys(0, 100).argsort()[:5]])


def test_a_sample_is_at_least_two():
    with pytest.raises(ValueError, match="at least 2"):
        Mean(max_samples=1)
