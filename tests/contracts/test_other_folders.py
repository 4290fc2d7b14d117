"""Runs with relative paths are used from other folders, and after their data have been moved."""

import json
import shutil
from pathlib import Path

import pytest
from small_runs import SMALL, write_photographs

import acclimate as package

SMALL_FOLDERS = (*SMALL, "data=image_folder", "data.num_workers=0", "trainer.max_steps=2", "method=source_only")


@pytest.fixture
def elsewhere(acclimate, monkeypatch):
    """Write data into one folder, and return a function that changes to another one."""
    Path("home").mkdir()
    Path("away").mkdir()
    monkeypatch.chdir("home")
    write_photographs(Path("photos"))
    write_photographs(Path("others"), seed=1)
    return lambda: monkeypatch.chdir(Path("..", "away"))


def target_accuracy(folder):
    return json.loads(Path(folder, "metrics.json").read_text())["target/test_accuracy"]


def test_every_verb_finds_the_data_of_a_run_from_another_folder(acclimate, elsewhere):
    words = (*SMALL_FOLDERS, "data.source=photos", "data.target=others")
    assert acclimate("train", *words, "hydra.run.dir=first") == (0, "")
    started = ("train", *words, "init_from=first", "data.parts=first/parts.csv", "hydra.run.dir=second")
    assert acclimate(*started) == (0, "")
    assert acclimate(*started, "resume=true") == (0, ""), "the same command is the same run"
    elsewhere()
    code, message = acclimate("evaluate", "run=../home/second", "out=again.json")
    assert code == 0, message
    assert json.loads(Path("again.json").read_text())["target/test_accuracy"] == target_accuracy("../home/second")
    assert package.evaluate("../home/first")["target/test_accuracy"] == target_accuracy("../home/first")
    code, message = acclimate("predict", "run=../home/second", "inputs=../home/others/ant", "out=labels.csv")
    assert code == 0, message
    code, message = acclimate("train", "resume=../home/second", "trainer.max_steps=3")
    assert code == 0, message
    code, message = acclimate("compare", "../home", "out=table.json")
    assert code == 0, message
    assert {len(method["runs"]) for method in json.loads(Path("table.json").read_text())["methods"]} == {1}, "they differ by their origin"


@pytest.mark.slow
def test_a_chain_and_a_run_of_python_continue_from_another_folder(acclimate, elsewhere, monkeypatch):
    words = (*SMALL_FOLDERS[:-1], "data.source=photos", "data.target=others")
    stages = ("first.method=source_only", "second.method=shot")
    code, message = acclimate("chain", *words, *stages, "hydra.run.dir=chain")
    assert code == 0, message
    config = package.compose([*SMALL_FOLDERS, "data.source=photos", "data.target=others"], folder="python")
    package.train(config)
    shutil.rmtree("chain/second")
    elsewhere()
    code, message = acclimate("chain", "resume=../home/chain")
    assert code == 0, message
    assert Path("../home/chain/second/metrics.json").exists()
    code, message = acclimate("train", "resume=../home/python", "trainer.max_steps=3")
    assert code == 0, message


def test_data_that_were_moved_are_named_once_and_recognised(acclimate, elsewhere):
    assert acclimate("train", *SMALL_FOLDERS, "data.source=photos", "data.target=others", "hydra.run.dir=run") == (0, "")
    accuracy = target_accuracy("run")
    Path("photos").rename("moved")
    Path("others").rename("moved others")
    more = ("train", "resume=run", "trainer.max_steps=4")
    for verb in (more, ("evaluate", "run=run")):
        code, message = acclimate(*verb)
        assert (code, "Type data.source=DIR" in message) == (2, True), message
    code, message = acclimate("evaluate", "run=run", "data.source=moved", "data.target=moved others", "out=again.json")
    assert code == 0, message
    assert json.loads(Path("again.json").read_text())["target/test_accuracy"] == accuracy
    code, message = acclimate(*more, "data.source=moved", "data.target=moved")
    assert (code, "these are not the data that the run in run was started with" in message) == (2, True), message
    assert target_accuracy("run") == accuracy, "a mistake changes nothing"
    code, message = acclimate(*more, "data.source=moved", "data.target=moved others")
    assert code == 0, message
    assert acclimate("train", "resume=run", "trainer.max_steps=6")[0] == 0, "the new place is remembered"


def test_data_that_are_where_they_were_are_not_exchanged(acclimate, elsewhere):
    assert acclimate("train", *SMALL_FOLDERS, "data.source=photos", "data.target=others", "hydra.run.dir=run") == (0, "")
    code, message = acclimate("train", "resume=run", "trainer.max_steps=4", "data.target=photos")
    assert (code, "contains a run with other settings: data.target=" in message) == (2, True), message


def test_names_of_a_data_set_of_one_s_own_are_kept():
    from acclimate.config.paths import with_absolute_paths

    config = {"data": {"source": "hub/photos", "target": ["nowhere", "."]}, "init_from": None, "model": {"weights": "IMAGENET1K_V1"}}
    changed = with_absolute_paths(config)
    assert changed == config | {"data": {"source": "hub/photos", "target": ["nowhere", str(Path.cwd())]}}
    assert config["data"]["target"] == ["nowhere", "."]
