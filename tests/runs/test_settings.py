"""What sets a run apart from others, as tables of runs show it."""

import json

import pytest

from acclimate.runs.record import write_record
from acclimate.runs.settings import telling_settings

CONFIG = {"name": "dann", "method": {"_target_": "acclimate.methods.dann.Dann"}, "data": {"seed": 0}, "seed": 0, "folder": "run"}


def run_of(folder, *typed, name="dann"):
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text(json.dumps(typed))
    write_record(folder, {**CONFIG, "name": name})
    return folder


def sweep_of(folder, *typed):
    folder.mkdir()
    (folder / "multirun.yaml").write_text(json.dumps({"hydra": {"overrides": {"task": typed}}}))
    return folder


def test_a_single_run_has_all_that_was_typed(tmp_path):
    run = run_of(tmp_path / "run", "method=dann", "++optimizer.lr=1e-3", "+terms=mcc", "data.source_view=strong", "++seed=3")
    assert telling_settings(run) == {"method": "dann", "optimizer.lr": 0.001, "terms": "mcc", "data.source_view": "strong", "seed": 3}


def test_a_job_has_what_varies_in_its_sweep(tmp_path):
    sweep = sweep_of(tmp_path / "sweep", "method=mcc,dann", "optimizer.lr=interval(0.1,1)", "seed=0", "trainer=smoke")
    job = run_of(sweep / "job", "method=dann", "optimizer.lr=0.25", "seed=0", "trainer=smoke", name="dann")
    assert telling_settings(job) == {"method": "dann", "optimizer.lr": 0.25}


def test_the_method_has_its_name_even_if_it_does_not_vary(tmp_path):
    sweep = sweep_of(tmp_path / "sweep", "method=dann_mcc", "seed=0,1")
    assert telling_settings(run_of(sweep / "job", "method=dann_mcc", "seed=1", name="dann_mcc")) == {"method": "dann_mcc", "seed": 1}


@pytest.mark.parametrize("contents", ["", "{", "[]", '{"hydra": null}'])
def test_a_damaged_file_of_a_sweep_hides_nothing(tmp_path, contents):
    sweep = sweep_of(tmp_path / "sweep")
    (sweep / "multirun.yaml").write_text(contents)
    assert telling_settings(run_of(sweep / "job", "seed=1")) == {"method": "dann", "seed": 1}


def test_a_run_that_was_started_in_python_has_only_a_method(tmp_path):
    (tmp_path / "run").mkdir()
    write_record(tmp_path / "run", CONFIG)
    assert telling_settings(tmp_path / "run") == {"method": "dann"}
