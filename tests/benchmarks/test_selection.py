import json
import math
import sys

import pytest
import torch


@pytest.fixture(scope="module")
def selection(benchmarks):
    return benchmarks("selection")


def run(selection, method="dann", setting="usual", seed="seed-0", *, scores, val, test, classes=((0,), (0,))):
    probabilities = torch.stack([torch.eye(2)[list(of_checkpoint)] for of_checkpoint in classes])
    return selection.Run(setting, method, seed, {"information": scores, "ensemble_agreement": scores}, probabilities, val, test)


def test_the_regret_of_a_checkpoint_is_what_the_oracle_s_choice_has_more(selection):
    one = run(selection, scores=[2.0, 1.0], val=[0.5, 0.9], test=[0.4, 0.8])
    assert selection.regret_of_checkpoint(one, "information") == pytest.approx(0.4)
    assert selection.regret_of_checkpoint(one, "oracle") == 0


def test_the_oracle_chooses_by_validation_labels_so_luck_may_beat_it(selection):
    one = run(selection, scores=[2.0, 1.0], val=[0.5, 0.9], test=[0.9, 0.8])
    assert selection.regret_of_checkpoint(one, "information") == pytest.approx(-0.1)


def test_the_first_of_equal_checkpoints_is_chosen(selection):
    assert run(selection, scores=[1.0, 1.0], val=[0.5, 0.5], test=[0.1, 0.2]).chosen("information") == 0


def test_nan_is_never_chosen(selection):
    one = run(selection, scores=[math.nan, 1.0, 2.0], val=[0.5, 0.5, 0.5], test=[0.1, 0.2, 0.3])
    assert one.chosen("information") == 2
    diverged = run(selection, "mcc", scores=[math.nan], val=[math.nan], test=[0.1])
    assert selection.regret_of_run([diverged, one], "information") == pytest.approx(0.1 - 0.3)


def test_the_regret_of_a_run_compares_the_checkpoints_that_score_and_oracle_chose(selection):
    preferred = run(selection, "dann", scores=[1.0, 3.0], val=[0.5, 0.4], test=[0.5, 0.4])
    better = run(selection, "mcc", scores=[2.0, 1.0], val=[0.6, 0.8], test=[0.6, 0.7])
    assert selection.regret_of_run([preferred, better], "information") == pytest.approx(0.7 - 0.4)


def test_runs_of_an_ensemble_are_judged_by_each_other(selection):
    three = [
        run(selection, name, scores=[1.0], val=[0.5], test=[0.5], classes=[[label, 0]])
        for name, label in zip("abc", (0, 1, 1), strict=True)
    ]
    assert selection.scores_across(three, "ensemble_agreement") == [0.5, 1.0, 1.0]


def test_levels_compare_what_differs_in_one_thing(selection):
    """Two methods with two settings each; the pick is wrong in one of two settings, and for one of two methods."""
    tests = {("a", "low"): (1.0, 0.5), ("a", "high"): (3.0, 0.9), ("b", "low"): (2.0, 0.3), ("b", "high"): (1.0, 0.6)}
    runs = [run(selection, m, s, scores=[score], val=[test], test=[test]) for (m, s), (score, test) in tests.items()]
    row = selection.judge("information", runs)
    assert row.num_runs == 4
    assert row.parameter_regret == pytest.approx(100 * (0 + 0.3) / 2)
    assert row.method_regret == pytest.approx(100 * (0.2 + 0) / 2)
    assert row.method_correlation == pytest.approx((-1 + 1) / 2)


def test_a_seed_that_only_some_methods_have_compares_no_methods(selection):
    runs = [run(selection, name, scores=[1.0], val=[0.5], test=[0.5]) for name in "abc"]
    more = [
        run(selection, name, seed="seed-1", scores=[score], val=[test], test=[test]) for name, score, test in (("a", 2, 0.1), ("b", 1, 0.9))
    ]
    assert selection.judge("information", [*runs, *more]).method_regret == 0


def test_what_cannot_be_compared_across_runs_has_no_regret_there(selection):
    runs = [run(selection, name, scores=[1.0], val=[0.5], test=[0.5]) for name in "ab"]
    for one in runs:
        one.scores["rankme"] = [1.0]
    row = selection.judge("rankme", runs)
    assert math.isnan(row.method_regret) and row.checkpoint_regret == 0
    assert selection.cells(row) == ["rankme", "0.00", "0.00", "–", "–", "–"]


def test_the_default_is_judged_as_it_selected_and_everything_is_written(program, selection, tmp_path, monkeypatch, capsys):
    assert program("--seeds", "1", "trainer.max_steps=4", "trainer.check_val_every_n_epoch=null", "trainer.val_check_interval=2") == 0
    monkeypatch.setitem(selection.DATA, "blobs", ("blobs",))
    monkeypatch.setattr(sys, "argv", ["selection.py", str(tmp_path)])
    selection.main()
    for method in ("source_only", "dann"):
        folder = tmp_path / "runs" / "blobs" / method / "seed-0"
        judged, metrics = selection.read_run(folder), json.loads((folder / "metrics.json").read_text())
        selected = judged.chosen(selection.DEFAULT)
        assert metrics["selection/name"] == selection.DEFAULT
        assert 2 * (selected + 1) == metrics["selection/step"]
        assert judged.test[selected] == pytest.approx(metrics["target/test_accuracy"])
        for name in judged.scores.keys() - {"vote", "last", "ensemble_agreement", "transfer_score"}:
            assert judged.scores[name][selected] == pytest.approx(metrics[f"score/{name}"], abs=1e-4)
    assert f"{selection.AS_USED} ◂" in (tmp_path / "selection.md").read_text()
    assert {row["score"] for row in json.loads((tmp_path / "selection.json").read_text())["blobs"]} == {*selection.NAMES}
    assert (tmp_path / "selection.png").read_bytes().startswith(b"\x89PNG")


def test_without_runs_the_command_that_makes_them_is_named(selection, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["selection.py", str(tmp_path)])
    with pytest.raises(SystemExit):
        selection.main()
    assert "make benchmark-selection" in capsys.readouterr().err
