"""Curves of the adaptation: only of unlabelled predictions, and beside source_only the agreement with it."""

import pytest
import torch
from small_runs import compose

from acclimate.training import run
from acclimate.training.callbacks.adaptation import Adaptation, Sampled
from acclimate.types import Prediction, Unlabelled

CURVES = ("trainer.max_epochs=2", "logger._target_=acclimate.training.loggers.Table", "++logger.save_dir=${folder}", "++logger.name=''")


@pytest.fixture(scope="module")
def logged(archives, tmp_path_factory):
    """The curves of a sweep's runs, as the last validation logged them."""
    folder = tmp_path_factory.mktemp("sweep")
    with pytest.MonkeyPatch.context() as patch:
        found = {}
        values = Adaptation.values

        def record(callback):
            found[callback.folder.name] = values(callback)
            return found[callback.folder.name]

        patch.setattr(Adaptation, "values", record)
        for name in ("source_only", "dann", "other_seed"):
            method, seed = (name, 0) if name != "other_seed" else ("dann", 1)
            run.train(compose(folder / name, *archives, *CURVES, f"method={method}", f"name={method}", f"seed={seed}"))
    return found


def test_distances_and_predictions_are_logged_of_every_run(logged):
    for values in logged.values():
        assert 0 <= values["adaptation/proxy_a_distance"] <= 2
        assert values["adaptation/mmd"].isfinite()
        for name in ("target_class_entropy", "source_class_entropy", "target_confidence", "source_confidence"):
            assert 0 <= values[f"predictions/{name}"] <= 1


def test_the_agreement_is_that_with_the_source_only_run_of_the_same_seed(logged):
    name = "predictions/agreement_with_source_only"
    assert {run for run, values in logged.items() if name in values} == {"dann"}
    assert 0 <= logged["dann"][name] <= 1


def test_the_distance_is_the_mean_over_several_targets():
    callback = Adaptation(None, None, None)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    number = torch.arange(40) % 2
    features = {"source": torch.zeros(40, 1), "target": torch.where(number == 0, 3.0, -3.0)[:, None]}
    noise = torch.randn(40, 1, generator=torch.Generator().manual_seed(1)) / 3
    for domain, centre in features.items():
        callback.batches[domain] = [Sampled(order, (centre + noise)[order], torch.ones(40, 1))]
        callback._origins[domain] = torch.zeros(40, dtype=torch.int64)
    together, _ = callback.distances(callback.samples())
    callback._origins["target"] = number
    each, _ = callback.distances(callback.samples())
    assert together < 1 < 1.9 < each


def test_the_sample_does_not_depend_on_the_batches():
    callback = Adaptation(None, None, None)
    logits = torch.randn(10, 3, generator=torch.Generator().manual_seed(0))
    samples = []
    for size in (2, 7):
        callback.batches, callback._seen, callback._kept = {}, {}, {"target": torch.tensor([0, 3, 4, 9])}
        for batch in logits.split(size):
            callback.on_evaluation_batch("val", "target", Prediction(batch, batch), Unlabelled([batch]))
        samples.append(callback.sample("target"))
    assert all(torch.equal(first, second) for first, second in zip(*samples, strict=True))
    assert sorted(samples[0].places.tolist()) == [0, 3, 4, 9]
    assert torch.equal(samples[0].features, logits[samples[0].places])
    assert isinstance(samples[0], Sampled)
