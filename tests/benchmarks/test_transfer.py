import json

import pytest
from small_runs import SMALL, write_archives

ONE_STEP = ("trainer.max_steps=1", "trainer.check_val_every_n_epoch=null", "trainer.val_check_interval=1")
LABELS = {"2_per_class": ("data.source_labels_per_class=2",), "all": ()}


@pytest.fixture(scope="module")
def transfer(benchmarks):
    return benchmarks("transfer")


@pytest.fixture
def program(call_program, transfer, monkeypatch, tmp_path):
    """The benchmark on generated images with a tiny network."""
    source = [*write_archives(tmp_path)[:2], "data.target=null"]
    words = (*source, "selection=last", *(word for word in SMALL if "bottleneck" not in word), *ONE_STEP)
    monkeypatch.setattr(transfer, "GRID", transfer.Grid(LABELS, ["fine_tune", "linear_probe"], words))
    return lambda *arguments: call_program(transfer, "--jobs", "1", *arguments)


def read(file):
    return json.loads(file.read_text())


def test_every_method_is_tested_with_each_number_of_labels_and_seed(program, tmp_path):
    assert program("--seeds", "2") == 0
    rows = read(tmp_path / "transfer.json")["rows"]
    assert [row["method"] for row in rows] == ["fine_tune", "linear_probe"]
    for row in rows:
        for setting in LABELS:
            runs = [read(tmp_path / "transfer" / setting / row["method"] / f"seed-{seed}" / "metrics.json") for seed in (0, 1)]
            assert row["accuracies"][setting] == [run["source/test_accuracy"] for run in runs]
            assert {(run["selection/name"], run["selection/step"]) for run in runs} == {("last", 1)}


def test_the_table_has_a_column_for_each_number_of_labels(program, tmp_path):
    assert program("--seeds", "1", "--methods", "fine_tune") == 0
    assert "| method | 2_per_class | all | seeds | seconds |" in (tmp_path / "transfer.md").read_text()


def test_a_second_call_trains_nothing_and_checkpoints_do_not_pile_up(program, tmp_path, capsys):
    assert program("--seeds", "1", "--methods", "fine_tune") == 0
    first = (tmp_path / "transfer.json").read_text()
    assert not list(tmp_path.rglob("*.ckpt"))
    capsys.readouterr()
    assert program("--seeds", "1", "--methods", "fine_tune") == 0
    assert "2 of 2 runs are finished" in capsys.readouterr().out
    assert (tmp_path / "transfer.json").read_text() == first


def test_report_shows_what_there_is_and_trains_nothing(program, tmp_path):
    assert program("--seeds", "1", "--report") == 0
    assert read(tmp_path / "transfer.json")["rows"] == []


def test_what_lies_clearly_below_fine_tune_is_marked(transfer):
    fine_tune = transfer.Row("fine_tune", {"all": [0.9, 0.8]}, 1.0)
    near, below = (transfer.Row("lora", {"all": values}, 1.0) for values in ([0.85, 0.75], [0.7, 0.6]))
    assert transfer.cells(near, [fine_tune, near], ["all"])[1] == "0.8000 ± 0.0707"
    assert transfer.cells(below, [fine_tune, below], ["all"])[1] == "0.6500 ± 0.0707 ▼"


def test_a_missing_run_is_a_dash(transfer):
    row = transfer.Row("fine_tune", {"all": [0.9]}, 1.0)
    assert transfer.cells(row, [row], ["2_per_class", "all"]) == ["fine_tune", "–", "0.9000", "1", "1"]


def test_unknown_methods_are_named(program, capsys):
    assert program("--methods", "fine_tune,magic") == 2
    assert "There is no magic" in capsys.readouterr().out


def test_missing_photographs_are_named(program, tmp_path, capsys):
    assert program("--seeds", "1", f"data.source={tmp_path / 'absent'}") == 2
    assert "absent" in capsys.readouterr().out
