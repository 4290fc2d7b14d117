"""The command advised after a divergence continues from the last checkpoint."""

import json
import math
import shlex

import pytest
from small_runs import compose

from acclimate.errors import DivergenceError
from acclimate.training import run
from acclimate.training.callbacks.last_checkpoint import LastCheckpoint
from acclimate.training.callbacks.nonfinite import NonFinite


@pytest.fixture
def build(monkeypatch):
    """Make the features of the ninth batch NaN; return what builds runs without that."""
    for seconds in ("SECONDS", "PAUSE"):
        monkeypatch.setattr(LastCheckpoint, seconds, 0, raising=False)
    build = run.build

    def unstable(*arguments):
        parts = build(*arguments)
        backbone = parts.method.classifier.backbone
        forward = backbone.forward

        def spoilt(images):
            is_bad = backbone.training and parts.method.batches_done == 8
            return forward(images) * (math.nan if is_bad else 1.0)

        backbone.forward = spoilt
        return parts

    monkeypatch.setattr(run, "build", unstable)
    return build


@pytest.mark.parametrize("advised", ["rate", "skip"])
def test_what_the_message_advises_goes_on_from_the_last_checkpoint(build, archives, tmp_path, monkeypatch, acclimate, advised):
    with pytest.raises(DivergenceError, match="Stopped before step 9") as caught:
        run.train(compose(tmp_path, *archives, "method=dann", "trainer.max_epochs=2", "trainer.precision=32-true"))
    message = str(caught.value)
    assert "leave them out: trainer.on_nonfinite=skip" in message
    command = message.split("To continue from there with a lower rate: ")[1]
    if advised == "skip":
        command = f"acclimate train resume={tmp_path} trainer.on_nonfinite=skip"
    else:
        # A lower rate cannot mend a bad batch.
        monkeypatch.setattr(run, "build", build)
    code, message = acclimate(*shlex.split(command)[1:])
    assert code == 0, message
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["train/skipped_steps"] == (advised == "skip")
    assert metrics["train/steps"] == 10


def test_another_rate_is_advised_only_where_it_may_help(archives, tmp_path):
    config = compose(tmp_path, *archives, "method=dann", "trainer.max_steps=1")
    run.train(config)
    assert "resume_with" in NonFinite("stop", config)._ending()
    config["method"]["max_reversal"] = math.nan
    ending = NonFinite("stop", config)._ending()
    assert "method.max_reversal=nan" in ending
    assert "resume_with" not in ending
