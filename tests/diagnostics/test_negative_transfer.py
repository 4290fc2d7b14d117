"""A run that scores below source_only is warned of, if there is one to compare with."""

import json
import sys

import pytest
import yaml
from hydra.core.global_hydra import GlobalHydra
from small_runs import SMALL
from test_training_problems import assert_options_exist

from acclimate import cli
from acclimate.diagnostics.negative_transfer import SCORE, negative_transfer

SETTINGS = {"seed": 0, "data": {"source": "home", "seed": "${seed}"}, "trainer": {"max_epochs": 5}, "selection": {"score": None}}


def write_run(folder, method, score=None, **changes):
    hydra = folder / ".hydra"
    hydra.mkdir(parents=True)
    (hydra / "hydra.yaml").write_text(yaml.safe_dump({"hydra": {"runtime": {"choices": {"method": method}}}}))
    (hydra / "config.yaml").write_text(yaml.safe_dump({**SETTINGS, "method": {"name": method}, "folder": str(folder), **changes}))
    if score is not None:
        (folder / "metrics.json").write_text(json.dumps({SCORE: score}))
    return folder


def test_a_score_below_source_only_is_told_with_both_numbers_and_options_that_exist(tmp_path):
    write_run(tmp_path / "0-source_only", "source_only", 1.5)
    message = negative_transfer(write_run(tmp_path / "1-dann", "dann"), {SCORE: 1.25})
    assert "score/information is 1.250, but 1.500 in" in message
    assert "0-source_only" in message
    assert_options_exist(message)


def test_a_score_that_is_not_below_is_no_symptom(tmp_path):
    write_run(tmp_path / "0-source_only", "source_only", 1.5)
    folder = write_run(tmp_path / "1-dann", "dann")
    assert negative_transfer(folder, {SCORE: 1.5}) is None
    assert negative_transfer(folder, {}) is None


@pytest.mark.parametrize("change", [{"seed": 1}, {"data": {"source": "away"}}, {"trainer": {}}, {"selection": {"score": "x"}}])
def test_only_runs_with_the_same_settings_are_compared(tmp_path, change):
    write_run(tmp_path / "0-source_only", "source_only", 1.5, **change)
    assert negative_transfer(write_run(tmp_path / "1-dann", "dann"), {SCORE: 1.25}) is None


def test_other_methods_and_unfinished_runs_are_no_reference(tmp_path):
    write_run(tmp_path / "0-mcc", "mcc", 1.5)
    write_run(tmp_path / "1-source_only", "source_only")
    assert negative_transfer(write_run(tmp_path / "2-dann", "dann"), {SCORE: 1.25}) is None


def test_source_only_is_not_compared_with_itself(tmp_path):
    write_run(tmp_path / "0-source_only", "source_only", 1.5)
    assert negative_transfer(write_run(tmp_path / "1-source_only", "source_only"), {SCORE: 1.25}) is None


def test_a_run_that_hydra_did_not_start_is_not_compared(tmp_path):
    write_run(tmp_path / "0-source_only", "source_only", 1.5)
    (tmp_path / "1").mkdir()
    assert negative_transfer(tmp_path / "1", {SCORE: 1.25}) is None


def test_the_command_says_it_in_the_log_of_a_method_that_makes_predictions_uncertain(tmp_path, monkeypatch, archives):
    common = [*archives, *SMALL, "data.val_fraction=0.5", "trainer.max_epochs=10", "optimizer.lr=0.01"]
    worse = ["method=entropy_minimisation", "method.term_weights.entropy_minimisation=-10"]
    for name, options in (("reference", ["method=source_only"]), ("worse", worse)):
        GlobalHydra.instance().clear()
        monkeypatch.setattr(sys, "argv", ["acclimate", "train", *common, *options, f"hydra.run.dir={tmp_path / name}"])
        cli.main()
    assert "Negative transfer suspected" not in (tmp_path / "reference" / "train.log").read_text()
    log = (tmp_path / "worse" / "train.log").read_text()
    assert "[WARNING] - Negative transfer suspected: score/information is" in log
    assert str(tmp_path / "reference") in log
