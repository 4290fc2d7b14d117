"""Selection among finished runs by scores, and its cost."""

import json
from pathlib import Path

import numpy as np
import pytest
from finished_runs import write_predictions, write_run
from hydra.utils import instantiate
from omegaconf import OmegaConf
from small_runs import compose

from acclimate.config.groups import conf_dir
from acclimate.config.identity import LOADING
from acclimate.config.signatures import parameters
from acclimate.data.images.image_data import ImageData
from acclimate.errors import ConfigError
from acclimate.reports.comparison_rows import data_tables
from acclimate.reports.comparison_table import describe_pick, notes, print_table
from acclimate.reports.tables import console_of_tables, print_metrics
from acclimate.runs.comparison import compare_runs
from acclimate.selection.model_selection import PREDICTIONS, VOTERS, has_score, pick, pick_by_default
from acclimate.training import run


def picks(folder: Path, by: str = "information"):
    return pick(compare_runs([folder]), by)


def test_the_best_mean_over_seeds_wins_and_its_best_run_is_named(tmp_path):
    write_run(tmp_path / "a0", "dann", "seed=0", accuracy=0.5, information=2.0)
    write_run(tmp_path / "a1", "dann", "seed=1", accuracy=0.7, information=1.0)
    write_run(tmp_path / "b0", "mcc", "seed=0", accuracy=0.9, information=1.8)
    write_run(tmp_path / "b1", "mcc", "seed=1", accuracy=0.8, information=1.4)
    (found,) = picks(tmp_path)
    assert (found.name, found.run, found.scores) == ("mcc", tmp_path / "b0", {"dann": 1.5, "mcc": pytest.approx(1.6)})
    assert found.accuracy == found.oracle_accuracy == pytest.approx(0.85)


def test_the_gap_to_the_oracle_is_told_in_points(tmp_path):
    write_run(tmp_path / "a", "dann", accuracy=0.5, information=2.0)
    write_run(tmp_path / "b", "mcc", accuracy=0.75, information=1.0)
    text = describe_pick(*picks(tmp_path))
    assert "without target labels: dann, target test accuracy 0.5000" in text
    assert "Oracle, by target test labels: mcc, 0.7500. Gap: 25.00 points." in text


def test_without_target_labels_there_is_a_pick_but_no_oracle(tmp_path):
    write_run(tmp_path / "a", "dann", information=2.0)
    write_run(tmp_path / "b", "mcc", information=1.0)
    (found,) = picks(tmp_path)
    assert (found.name, found.accuracy, found.oracle_name) == ("dann", None, None)
    assert "Oracle" not in describe_pick(found)


def test_hyper_parameters_are_picked_like_methods(tmp_path):
    write_run(tmp_path / "a", "dann", "optimizer.lr=0.1", accuracy=0.5, information=1.0)
    write_run(tmp_path / "b", "dann", "optimizer.lr=0.01", accuracy=0.6, information=2.0)
    assert picks(tmp_path)[0].name == "dann optimizer.lr=0.01"


def test_hyper_parameters_of_equal_classes_are_rows_of_their_own_with_their_own_scores(tmp_path):
    for number, (optimizer, lr) in enumerate([("SGD", 0.1), ("SGD", 0.2), ("Adam", 0.1), ("Adam", 0.2)]):
        settings = [f"optimizer._target_=torch.{optimizer}", f"optimizer.lr={lr}", f"optimizer.only_{optimizer}=1"]
        write_run(tmp_path / str(number), "dann", *settings, accuracy=0.5, information=[0.1, 0.9, 0.3, 0.2][number])
    (found,) = picks(tmp_path)
    names = [
        f"dann optimizer.lr={lr} optimizer={optimizer}" for optimizer, lr in (("SGD", 0.1), ("SGD", 0.2), ("Adam", 0.1), ("Adam", 0.2))
    ]
    assert found.scores == dict(zip(names, [0.1, 0.9, 0.3, 0.2], strict=True))
    assert (found.name, found.run) == (names[1], tmp_path / "1")


def test_classes_of_equal_names_are_told_apart(tmp_path):
    for number, module in enumerate(("torch.optim", "mine")):
        write_run(tmp_path / str(number), "dann", f"optimizer._target_={module}.SGD", accuracy=0.5, information=float(number))
    assert picks(tmp_path)[0].scores == {"dann optimizer=torch.optim.SGD": 0.0, "dann optimizer=mine.SGD": 1.0}


def test_data_of_equal_classes_are_data_of_their_own(tmp_path):
    for number, (kind, target) in enumerate([("Arrays", "x"), ("Arrays", "y"), ("Tables", "z")]):
        write_run(tmp_path / str(number), "dann", f"data._target_=m.{kind}", f"data.target={target}", accuracy=0.5, information=1.0)
    assert [len(found.scores) for found in picks(tmp_path)] == [1, 1, 1]


@pytest.mark.parametrize("accuracies", [(0.2, 0.9), (0.9, 0.2)])
def test_target_labels_do_not_decide_between_equal_scores(tmp_path, accuracies):
    for method, accuracy in zip(("mcc", "dann"), accuracies, strict=True):
        write_run(tmp_path / method, method, accuracy=accuracy, information=1.0)
    (found,) = picks(tmp_path)
    assert (found.name, found.tied) == ("dann", ["mcc"])
    assert "The same score: mcc; the first by name is picked." in describe_pick(found)


def test_a_seed_that_was_trained_twice_counts_once_in_the_score_and_the_accuracy(tmp_path):
    for number, (seed, accuracy, score) in enumerate([(0, 0.5, 0.9), (0, 0.5, 0.9), (1, 0.9, 0.1)]):
        write_run(tmp_path / f"a{number}", "dann", f"seed={seed}", accuracy=accuracy, information=score)
    write_run(tmp_path / "b", "mcc", accuracy=0.6, information=0.55)
    (found,) = picks(tmp_path)
    assert (found.name, found.scores["dann"], found.oracle_accuracy) == ("mcc", pytest.approx(0.5), pytest.approx(0.7))


def test_an_accuracy_that_only_some_seeds_have_is_unknown(tmp_path):
    write_run(tmp_path / "a0", "dann", "seed=0", accuracy=0.5, information=1.0)
    write_run(tmp_path / "a1", "dann", "seed=1", information=1.0)
    assert picks(tmp_path)[0].accuracy is None


def test_runs_of_other_images_are_not_candidates(tmp_path):
    write_run(tmp_path / "a", "dann", "data.target=x", "data.batch_size=8", accuracy=0.5, information=1.0)
    write_run(tmp_path / "b", "mcc", "data.target=x", "data.batch_size=16", accuracy=0.5, information=0.5)
    write_run(tmp_path / "c", "mcc", "data.target=y", accuracy=0.5, information=9.0)
    assert sorted(len(found.scores) for found in picks(tmp_path)) == [1, 2]


def test_runs_that_labels_selected_are_not_candidates(tmp_path):
    write_run(tmp_path / "a", "dann", accuracy=0.5, information=1.0)
    write_run(tmp_path / "b", "mcc", accuracy=0.9, information=2.0, selection="oracle")
    assert picks(tmp_path)[0].scores == {"dann": 1.0}


def test_runs_that_labels_selected_in_a_mean_of_scores_are_not_candidates(tmp_path, capsys):
    write_run(tmp_path / "a", "dann", accuracy=0.5, information=1.0)
    folder = write_run(tmp_path / "b", "mcc", accuracy=0.9, information=2.0, selection="vote")
    metrics = json.loads((folder / "metrics.json").read_text()) | {"selection/is_oracle": 1.0}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    assert picks(tmp_path)[0].scores == {"dann": 1.0}
    print_metrics(metrics)
    assert "Oracle: target labels selected this checkpoint" in capsys.readouterr().out


def test_runs_that_start_from_one_that_labels_selected_are_not_candidates(tmp_path):
    origin = write_run(tmp_path / "origins" / "a", "source_only", accuracy=0.5, selection="oracle")
    write_run(tmp_path / "runs" / "a", "shot", f"init_from={origin}", accuracy=0.9, information=2.0)
    write_run(tmp_path / "runs" / "b", "dann", f"init_from={tmp_path / 'runs' / 'a'}", accuracy=0.9, information=2.0)
    write_run(tmp_path / "runs" / "c", "mcc", f"init_from={tmp_path / 'gone'}", accuracy=0.5, information=1.0)

    def oracles():
        return {one.method for one in compare_runs([tmp_path / "runs"]) if one.is_oracle}

    assert oracles() == {"dann", "shot"}
    (origin / "metrics.json").write_text("{")
    assert oracles() == set()


@pytest.mark.parametrize("checkpoint", ["", "checkpoints/best.ckpt"])
def test_seeds_that_start_from_runs_of_their_own_are_one_row(tmp_path, checkpoint):
    for seed in range(2):
        origin = write_run(tmp_path / "origins" / str(seed), "source_only", f"seed={seed}")
        write_run(tmp_path / "runs" / str(seed), "shot", f"seed={seed}", f"init_from={origin / checkpoint}")
    write_run(tmp_path / "runs" / "last", "shot", "seed=1", f"init_from={origin / 'checkpoints' / 'last.ckpt'}")
    found = rows(tmp_path / "runs")
    assert sorted(found.values()) == [1, 2]
    assert [name for name in found if name.endswith("init_from=source_only/checkpoints/last.ckpt")]


def test_a_vote_prefers_the_better_mean_rank(tmp_path):
    write_run(tmp_path / "a", "dann", bnm=0.9, corr_c=0.9, class_ami=0.9, source_accuracy=0.1)
    write_run(tmp_path / "b", "mcc", bnm=0.8, corr_c=0.8, class_ami=0.8, source_accuracy=0.9)
    assert picks(tmp_path, "vote")[0].scores == {"dann": 0.75, "mcc": 0.25}


def test_an_ensemble_prefers_who_agrees_with_most(tmp_path):
    for name, classes in {"dann": (0, 1, 2), "mcc": (0, 1, 1), "cdan": (0, 0, 1)}.items():
        write_predictions(write_run(tmp_path / name, name), *classes)
    scores = picks(tmp_path, "ensemble_agreement")[0].scores
    assert scores == {name: pytest.approx(share) for name, share in {"dann": 2 / 3, "mcc": 1.0, "cdan": 2 / 3}.items()}


def test_an_ensemble_has_the_runs_of_one_fold_because_others_predict_other_images(tmp_path):
    for fold, predicted in enumerate(
        [{"dann": (0, 1, 2), "mcc": (0, 1, 1), "cdan": (0, 0, 1)}, {"dann": (2, 2, 2), "mcc": (2, 2, 0), "cdan": (2, 2, 0)}]
    ):
        for name, classes in predicted.items():
            write_predictions(write_run(tmp_path / f"{name}-{fold}", name, f"data.fold={fold}"), *classes)
    scores = picks(tmp_path, "ensemble_agreement")[0].scores
    assert scores == {name: pytest.approx(share) for name, share in {"dann": 2 / 3, "mcc": 1.0, "cdan": 5 / 6}.items()}
    write_predictions(write_run(tmp_path / "dann-2", "dann", "data.fold=2"), 0, 0, 0)
    with pytest.raises(ConfigError, match=r"several runs in each fold; fold 2 has one\. .*by=corr_c"):
        picks(tmp_path, "ensemble_agreement")


def test_predictions_of_other_images_are_refused(tmp_path):
    write_predictions(write_run(tmp_path / "a", "dann"), 0, 1)
    write_predictions(write_run(tmp_path / "b", "mcc"), 0, 1, 2)
    with pytest.raises(ConfigError, match="same target inputs"):
        picks(tmp_path, "ensemble_agreement")


@pytest.mark.parametrize(("by", "message"), [("rankme", "width"), ("nonsense", r"Choose one of information\."), ("vote", "no run")])
def test_what_cannot_be_compared_is_named(tmp_path, by, message):
    write_run(tmp_path / "a", "dann", information=1.0, rankme=3.0)
    with pytest.raises(ConfigError, match=message):
        picks(tmp_path, by)


def test_runs_without_the_score_are_left_out(tmp_path):
    write_run(tmp_path / "a", "dann", information=1.0)
    write_run(tmp_path / "b", "fine_tune", source_accuracy=1.0)
    write_run(tmp_path / "c", "mcc")
    assert picks(tmp_path)[0].scores == {"dann": 1.0}


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ({"corr_c": 1.0, "information_corr_c": 1.0, "source_accuracy": 1.0}, ["corr_c"]),
        ({"source_accuracy": 1.0}, ["source_accuracy"]),
        ({}, []),
    ],
)
def test_the_default_is_correlation_where_there_is_a_target(tmp_path, scores, expected):
    write_run(tmp_path / "a", "dann", **scores)
    write_run(tmp_path / "b", "mcc")
    assert [found.by for found in pick_by_default(compare_runs([tmp_path]))] == expected


def test_the_vote_of_runs_has_the_scores_of_the_vote_of_checkpoints():
    vote = instantiate(OmegaConf.load(conf_dir() / "selection" / "vote.yaml"))
    assert sorted(score.name for score in vote.score.scores) == sorted(VOTERS)


def test_keys_that_name_no_images_are_those_of_every_data_set():
    # And how files are kept once they are decoded.
    # Of its keys these alone say which images there are to train on, which have labels, and what their pixels mean.
    meaning = {"source_labels_per_class", "target_labels_per_class", "background", "value_range", "channels", "nan"}
    assert {*LOADING, *meaning} == {*parameters(ImageData), "cache"}


def test_nothing_of_the_results_is_cut_off_in_a_narrow_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    metrics = {"selection/name": "information_corr_c", "train/samples_per_second": 4207.37}
    print_metrics(metrics)
    cells = [line.split("│")[1:3] for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    names, values = ("".join(part.strip() for part in column) for column in zip(*cells, strict=True))
    assert (names, values) == ("".join(metrics), "information_corr_c4207.3700")


def test_the_result_of_an_oracle_says_so(tmp_path, capsys):
    print_metrics({"selection/name": "oracle", "target/test_accuracy": 1.0}, folder=tmp_path)
    assert "Oracle: target labels selected this checkpoint" in capsys.readouterr().out


def test_runs_that_know_no_accuracy_are_listed_first(tmp_path, capsys):
    """Without source images and without labels of the target there is none."""
    folder = write_run(tmp_path / "a", "shot", information=1.0)
    metrics = json.loads((folder / "metrics.json").read_text())
    del metrics["source/test_accuracy"]
    (folder / "metrics.json").write_text(json.dumps(metrics))
    write_run(tmp_path / "b", "dann", accuracy=0.1, information=1.0)
    comparisons = compare_runs([tmp_path])
    assert [comparison.name for comparison in comparisons] == ["shot", "dann"]
    tables = data_tables(comparisons, [])
    print_table(console_of_tables(), tables, notes(tables, []))
    assert "unknown" in capsys.readouterr().out


def rows(folder: Path) -> dict[str, int]:
    """Names and numbers of runs."""
    return {comparison.name: len(comparison.runs) for comparison in compare_runs([folder])}


@pytest.mark.parametrize(
    "override", ["optimizer.lr=0.001", "optimizer.lr=1e-3", "trainer.log_every_n_steps=1", "data.num_workers=2", "+optimizer.lr=.001"]
)
def test_a_default_that_is_typed_out_and_keys_that_only_serve_make_no_other_row(tmp_path, override):
    write_run(tmp_path / "a", "dann", "seed=0", accuracy=0.5)
    write_run(tmp_path / "b", "dann", "seed=1", override.lstrip("+"), accuracy=0.5)
    assert rows(tmp_path) == {"dann": 2}


def test_a_seed_of_the_data_that_is_typed_is_a_setting_also_where_it_equals_the_seed(tmp_path):
    for seed in range(3):
        write_run(tmp_path / f"fixed{seed}", "dann", f"seed={seed}", "data.seed=1")
    assert rows(tmp_path) == {"dann": 3}
    write_run(tmp_path / "other", "dann", "seed=1", "data.seed=2")
    assert rows(tmp_path) == {"dann data.seed=1": 3, "dann data.seed=2": 1}


def test_settings_that_differ_are_named_by_their_values(tmp_path):
    write_run(tmp_path / "a", "dann", accuracy=0.5)
    write_run(tmp_path / "b", "dann", "optimizer.lr=0.01", accuracy=0.5)
    write_run(tmp_path / "c", "mcc", accuracy=0.5)
    assert rows(tmp_path) == {"dann optimizer.lr=0.001": 1, "dann optimizer.lr=0.01": 1, "mcc": 1}


def test_a_setting_that_only_one_method_was_given_is_named(tmp_path):
    write_run(tmp_path / "a", "dann", "optimizer.lr=0.01", accuracy=0.5)
    write_run(tmp_path / "b", "mcc", accuracy=0.5)
    assert rows(tmp_path) == {"dann optimizer.lr=0.01": 1, "mcc": 1}


BROKEN = {
    "metrics.json": [
        "{}",
        '{"selection/name": "last", "target/test_accuracy": "high"}',
        '{"selection/name": 3}',
        "",
        "{",
        "[1]",
        "null",
        '{"a": 1',
        "\x00\xff",
        "[" * 100_000,
    ],
    "run.json": ["", "{", "[]", '{"name": "dann"}', '{"config": {}}', '{"name": "dann", "config": 3}'],
    ".hydra/overrides.yaml": ["[", "3", "- {"],
}


@pytest.mark.parametrize(("file", "contents"), [(file, contents) for file, many in BROKEN.items() for contents in many])
def test_a_broken_run_is_named_and_the_others_are_compared(tmp_path, caplog, file, contents):
    write_run(tmp_path / "a", "dann", accuracy=0.5, information=1.0)
    (write_run(tmp_path / "b", "mcc", accuracy=0.9, information=2.0) / file).write_text(contents)
    assert rows(tmp_path) == {"dann": 1}
    assert str(tmp_path / "b" / file) in caplog.text


def test_a_folder_in_the_place_of_a_file_is_named_and_the_others_are_compared(tmp_path, caplog):
    write_run(tmp_path / "a", "dann", accuracy=0.5)
    for file in ("metrics.json", "run.json"):
        place = write_run(tmp_path / f"broken-{file}", "mcc", accuracy=0.9) / file
        place.unlink()
        place.mkdir()
    assert rows(tmp_path) == {"dann": 1}
    assert caplog.text.count("Left out") == 2


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "null"])
@pytest.mark.parametrize("by", ["information", "vote", "ensemble_agreement"])
def test_a_run_with_a_score_that_is_not_finite_is_shown_and_never_picked(tmp_path, capsys, by, value):
    scores = dict.fromkeys({*VOTERS, "information"}, 0.5)
    for number, method in enumerate(("dann", "cdan", "mcc")):
        folder = write_run(tmp_path / str(number), method, accuracy=0.1 * (number + 1), **scores)
        write_predictions(folder, number, number)
    # It comes first, and its accuracy is the lowest.
    metrics = json.loads((tmp_path / "0" / "metrics.json").read_text())
    metrics |= {name: "VALUE" for name in metrics if name.startswith("score/")}
    (tmp_path / "0" / "metrics.json").write_text(json.dumps(metrics).replace('"VALUE"', value))
    np.savez(tmp_path / "0" / PREDICTIONS, probabilities=np.full((2, 3), np.nan, dtype=np.float16))
    comparisons = compare_runs([tmp_path])
    found = pick(comparisons, by)
    assert [(sorted(one.scores), all(map(np.isfinite, one.scores.values()))) for one in found] == [(["cdan", "mcc"], True)]
    assert found[0].name != "dann"
    tables = data_tables(comparisons, found)
    print_table(console_of_tables(), tables, notes(tables, found))
    assert "dann" in capsys.readouterr().out


def test_a_method_of_which_one_seed_diverged_is_not_picked(tmp_path):
    for seed, score in enumerate((9.0, float("nan"))):
        write_run(tmp_path / f"a{seed}", "dann", f"seed={seed}", accuracy=0.1, corr_c=score)
    write_run(tmp_path / "b", "mcc", accuracy=0.8, corr_c=1.0)
    (found,) = pick_by_default(compare_runs([tmp_path]))
    assert found.name == "mcc"


def test_each_data_set_has_the_default_that_its_runs_have(tmp_path):
    write_run(tmp_path / "a", "dann", "data.target=x", corr_c=1.0, source_accuracy=1.0)
    write_run(tmp_path / "b", "fine_tune", "data.target=null", source_accuracy=0.5)
    write_run(tmp_path / "c", "linear_probe", "data.target=null", source_accuracy=0.6)
    found = {pick.by: pick.name for pick in pick_by_default(compare_runs([tmp_path]))}
    assert found["source_accuracy"] == "linear_probe data.target=null"
    assert found["corr_c"].startswith("dann")


def test_a_row_of_which_one_seed_has_no_score_says_why_it_is_never_the_pick(tmp_path):
    for seed, score in enumerate((9.0, float("nan"))):
        write_run(tmp_path / f"a{seed}", "dann", f"seed={seed}", accuracy=0.1, corr_c=score)
    comparisons = compare_runs([tmp_path])
    assert pick_by_default(comparisons) == []
    write_run(tmp_path / "b", "mcc", accuracy=0.8, corr_c=1.0)
    comparisons = compare_runs([tmp_path])
    found = pick_by_default(comparisons)
    assert "Without corr_c: a run of the row has no finite value of it" in "\n".join(notes(data_tables(comparisons, found), found))


def test_where_no_score_is_finite_there_is_no_pick(tmp_path):
    write_run(tmp_path / "a", "dann", accuracy=0.5, corr_c=float("nan"))
    comparisons = compare_runs([tmp_path])
    assert pick_by_default(comparisons) == []
    with pytest.raises(ConfigError, match="no run has a finite value"):
        pick(comparisons, "corr_c")


@pytest.mark.parametrize("contents", [b"", b"PK\3\4 cut", b"text"])
def test_broken_predictions_are_named_and_left_out(tmp_path, contents, caplog):
    for number, name in enumerate(("dann", "mcc", "source_only")):
        write_predictions(write_run(tmp_path / name, name), number, number)
    (tmp_path / "mcc" / PREDICTIONS).write_bytes(contents)
    comparisons = compare_runs([tmp_path])
    with caplog.at_level("WARNING"):
        assert [has_score(one.runs[0], "ensemble_agreement") for one in comparisons].count(False) == 1
    assert f"Left out: {tmp_path / 'mcc' / PREDICTIONS} cannot be read" in caplog.text


def test_runs_of_two_seeds_are_one_row_however_their_settings_were_typed(tmp_path, archives):
    for seed, typed in enumerate([("trainer.max_epochs=1",), ("trainer.max_epochs=1", "trainer.log_every_n_steps=3", "optimizer.lr=1e-3")]):
        run.train(compose(tmp_path / str(seed), *archives, "method=source_only", f"seed={seed}", "data.seed=${seed}", *typed))
    assert rows(tmp_path) == {"supervised": 2}
    first, second = (json.loads((tmp_path / seed / "run.json").read_text()) for seed in "01")
    assert first["config"]["seed"] == 0
    assert first["identity"] != second["identity"]
