"""The moving average of the weights of a model: its values, and that a GPU need not be waited for."""

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn

from acclimate.models.moving_average import MovingAverage

DECAY = 0.75


def models(number):
    """As many models as a training leaves behind, each with weights and statistics of its own."""
    torch.manual_seed(0)
    found = []
    for _ in range(number):
        model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        model(torch.randn(8, 3))
        nn.init.normal_(model[1].weight)
        found.append(model)
    return found


def averaged(average, over):
    for model in over:
        average.update_parameters(model)
    return average.module.state_dict()


def test_first_models_count_equally():
    seen = models(4)
    found = averaged(MovingAverage(seen[0], DECAY), seen)
    mean = torch.stack([model[0].weight for model in seen]).mean(dim=0)
    torch.testing.assert_close(found["0.weight"], mean)


def test_later_ones_count_exponentially():
    """As torch averages from there on."""
    seen = models(9)
    average = MovingAverage(seen[0], DECAY)
    averaged(average, seen[:4])
    reference = AveragedModel(average.module, avg_fn=get_ema_avg_fn(DECAY))
    reference.n_averaged += 1
    found, expected = averaged(average, seen[4:]), averaged(reference, seen[4:])
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)


@pytest.mark.parametrize("use_buffers", [False, True])
def test_statistics_are_averaged_if_asked_for_and_counts_copied(use_buffers):
    seen = models(3)
    seen[-1](torch.randn(8, 3))
    found = averaged(MovingAverage(seen[0], DECAY, use_buffers=use_buffers), seen)
    statistics = [model[1].running_mean for model in seen]
    torch.testing.assert_close(found["1.running_mean"], torch.stack(statistics).mean(dim=0) if use_buffers else statistics[-1])
    assert found["1.num_batches_tracked"] == 2


def test_restored_average_goes_on_as_the_first_did():
    seen = models(5)
    whole, restored = MovingAverage(seen[0], DECAY), MovingAverage(seen[-1], DECAY)
    averaged(whole, seen[:2])
    restored.load_state_dict(whole.state_dict())
    assert restored.n_averaged == 2
    expected, found = averaged(whole, seen[2:]), averaged(restored, seen[2:])
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_it_reads_nothing_from_the_device():
    """Tensors without values, which cannot be read, are averaged all the same."""
    seen = [model.to("meta") for model in models(2)]
    average = MovingAverage(seen[0], DECAY, use_buffers=True).to("meta")
    averaged(average, seen)
    with pytest.raises((RuntimeError, NotImplementedError)):
        bool(average.n_averaged == 0)
