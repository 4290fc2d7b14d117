"""`trainer.compile=true`: the same training, and its first step is counted apart."""

import functools

import pytest
import torch
from small_runs import compose
from torch import nn

from acclimate.errors import ConfigError
from acclimate.runs import checkpoints
from acclimate.training import evaluation, run


@pytest.fixture
def passes(monkeypatch):
    """Names the modules that torch traces, without the compiler behind it, which takes many seconds; counts its graphs."""
    traced = []

    def eager(graph, inputs):
        traced.append(graph)
        return graph.forward

    monkeypatch.setattr(nn.Module, "compile", functools.partialmethod(nn.Module.compile, backend=eager))
    yield traced
    torch.compiler.reset()


@pytest.mark.parametrize("method", ["dann", "mean_teacher", "dann_mcc_fixmatch"])
def test_a_compiled_run_is_the_run_that_is_not(archives, tmp_path, passes, method):
    found = {}
    for compiled in ("true", "false"):
        folder = tmp_path / compiled
        options = ("trainer.max_steps=3", f"method={method}", "callbacks.pictures=null", f"trainer.compile={compiled}")
        metrics = run.train(compose(folder, *archives, *options))
        assert ("train/warm_up_seconds" in metrics) == (compiled == "true")
        assert bool(passes) == (compiled == "true")
        passes.clear()
        found[compiled] = checkpoints.read_checkpoint(checkpoints.last_checkpoint(folder))["state_dict"]
    assert found["true"].keys() == found["false"].keys()
    torch.testing.assert_close(found["true"], found["false"], rtol=0, atol=0)


def test_evaluation_and_prediction_of_a_compiled_run_compile_nothing(archives, tmp_path, passes):
    run.train(compose(tmp_path, *archives, "trainer.max_steps=1", "trainer.compile=true", "callbacks.pictures=null"))
    torch.compiler.reset()
    passes.clear()
    checkpoint = checkpoints.read_checkpoint(checkpoints.best_checkpoint(tmp_path))
    trainer = {name: value for name, value in checkpoint["config"]["trainer"].items() if name != "enable_progress_bar"}
    evaluation.evaluate(checkpoint["config"] | {"trainer": trainer}, checkpoint)
    checkpoints.rebuild_classifier(checkpoint)(torch.zeros(1, 3, 16, 16))
    assert not passes


def test_a_machine_without_a_compiler_is_told_so_before_the_training(archives, tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ConfigError, match="no-such-compiler"):
        run.train(compose(tmp_path, *archives, "trainer.compile=true"))


def test_a_wrong_value_of_compile_is_refused(archives, tmp_path):
    with pytest.raises(ConfigError, match="compile=fast is text, but must be true or false"):
        run.train(compose(tmp_path, *archives, "trainer.compile=fast"))
