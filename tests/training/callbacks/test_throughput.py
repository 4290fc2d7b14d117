from types import SimpleNamespace

from small_runs import compose

from acclimate.data.cache.features import FrozenBackbone
from acclimate.training import assembly, run
from acclimate.training.callbacks import throughput


def test_training_seconds_count_features_that_are_computed_before_the_first_step_and_no_validation(archives, tmp_path, monkeypatch):
    # Other tests have kept the same features.
    monkeypatch.setenv("ACCLIMATE_CACHE", str(tmp_path / "cache"))
    clock = [0.0]
    monkeypatch.setattr(throughput, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    compute, evaluate = FrozenBackbone._compute, assembly.Scores.on_validation_epoch_end

    def slow_compute(*arguments):
        clock[0] += 100
        return compute(*arguments)

    def slow_validation(*arguments):
        clock[0] += 5
        return evaluate(*arguments)

    monkeypatch.setattr(FrozenBackbone, "_compute", slow_compute)
    monkeypatch.setattr(assembly.Scores, "on_validation_epoch_end", slow_validation)
    metrics = []
    for name in ("first", "second"):
        options = ("method=linear_probe", "data.feature_cache=disk", "trainer.max_epochs=1")
        metrics.append(run.train(compose(tmp_path / name, *archives, *options)))
    first, second = (of_run["train/seconds"] for of_run in metrics)
    assert first >= 100 and first % 100 == 0
    assert second == 0
