"""A method of one's own is one Python file and one YAML, outside of the package."""

import json
import sys

import pytest
from small_runs import SMALL

from acclimate import cli

MEANS = """
from acclimate.methods.base import Method


class Means(Method):
    def __init__(self, classifier, *, weight=1.0, **common):
        super().__init__(classifier, **common)
        self.weight = weight

    def adaptation_losses(self, source, target):
        difference = source.features.mean(dim=0) - target.features.mean(dim=0)
        return {"means": self.weight * difference.square().sum()}
"""


CLIPPED = """
from acclimate.extras.extra import Extra


class Clipped(Extra):
    def __init__(self, *, largest):
        super().__init__()
        self.largest = largest

    def change(self, batch, progress):
        return batch._replace(source=batch.source._replace(inputs=batch.source.inputs.clamp(max=self.largest)))

    def losses(self, step):
        assert step.source.inputs.max() <= self.largest
        return {"size": step.target.logits.square().mean()}
"""


@pytest.fixture
def command(tmp_path, monkeypatch, archives):
    """`acclimate train` with a folder of one's own that holds two files."""
    mine = tmp_path / "mine"
    (mine / "method").mkdir(parents=True)
    (mine / "toy_means.py").write_text(MEANS)
    (mine / "toy_clipped.py").write_text(CLIPPED)
    (mine / "method" / "means.yaml").write_text("_target_: toy_means.Means\nweight: 0.5\n")
    monkeypatch.syspath_prepend(mine)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")

    def call(*overrides):
        words = ["train", "--config-dir", str(mine), "method=means", *archives, *SMALL, "trainer.max_epochs=1", *overrides]
        monkeypatch.setattr(sys, "argv", ["acclimate", *words, f"hydra.run.dir={tmp_path / 'run'}"])
        cli.main()
        return json.loads((tmp_path / "run" / "metrics.json").read_text())

    return call


def test_two_files_make_a_method(command):
    assert command()["train/steps"] == 5


def test_terms_join_it_without_a_change(command, tmp_path):
    command("+terms=mcc", "+trainer.deterministic=true")
    assert "loss/mcc" in (tmp_path / "run" / "train.log").read_text()


def test_an_extra_of_one_s_own_joins_any_method(command, tmp_path):
    command("+method.extras.clipped._target_=toy_clipped.Clipped", "+method.extras.clipped.largest=200", "method.mixup=0.4")
    assert "loss/size" in (tmp_path / "run" / "train.log").read_text()


def test_what_is_no_extra_is_refused(command, capsys):
    with pytest.raises(SystemExit):
        command("+method.extras.wrong._target_=torch.nn.Identity")
    message = "method.extras.wrong._target_=torch.nn.Identity is not of the class Extra, as method.extras.wrong must be"
    assert message in capsys.readouterr().err


def test_a_key_of_a_method_may_have_the_name_of_an_option(command, tmp_path):
    (tmp_path / "mine" / "toy_means.py").write_text(MEANS.replace("weight", "mixup"))
    sys.modules.pop("toy_means", None)
    (tmp_path / "mine" / "method" / "means.yaml").write_text("_target_: toy_means.Means\nmixup: -2.0\n")
    assert command()["train/steps"] == 5
    sys.modules.pop("toy_means")


def test_its_keys_are_checked_like_those_of_the_package(command, capsys):
    with pytest.raises(SystemExit) as stop:
        command("method.wieght=1")
    assert stop.value.code == 2
    assert "method.wieght: Means has no such key. Did you mean weight?" in capsys.readouterr().err


def test_a_stopped_run_is_continued_with_the_code_that_is_vouched_for(command, tmp_path, monkeypatch, capsys):
    command()
    (tmp_path / "run" / "metrics.json").unlink()
    monkeypatch.setattr(sys, "argv", ["acclimate", "train", f"resume={tmp_path / 'run'}"])
    with pytest.raises(SystemExit):
        cli.main()
    assert "add 'trust=[toy_means.Means]'" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", [*sys.argv, "trust=[toy_means.Means]"])
    cli.main()
    assert (tmp_path / "run" / "metrics.json").exists()
