"""The table of acclimate compare: its statistics, its order, and its formats."""

import csv
import io
import json
import re
from pathlib import Path

import pandas
import pytest
import scipy.stats
from finished_runs import write_predictions, write_run
from rich.cells import cell_len

from acclimate import cli
from acclimate.errors import DataError, UserError
from acclimate.reports.comparison_rows import data_tables
from acclimate.reports.significance import paired_difference, summarise
from acclimate.runs.comparison import compare_runs
from acclimate.runs.sweep_states import JobState, write_state
from acclimate.selection.model_selection import pick_by_default


@pytest.fixture
def compare(monkeypatch, capsys, tmp_path):
    """Run the verb in the folder of the test and return what it prints, on 80 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments):
        cli.run_verb("compare", ["runs", *arguments])
        return capsys.readouterr().out

    return call


@pytest.fixture
def runs(tmp_path):
    """Write runs of `source_only` and others for several seeds, given the accuracy on the target of each; None: it has no labels."""

    def write(method, *accuracies, overrides=(), scores=(0.1, 0.2, 0.3, 0.4, 0.5)):
        for seed, (accuracy, score) in enumerate(zip(accuracies, scores, strict=False)):
            number = len(list(tmp_path.glob("runs/*")))
            write_run(tmp_path / "runs" / f"{number}-{method}", method, f"seed={seed}", *overrides, accuracy=accuracy, corr_c=score)

    return write


def tables(folder):
    comparisons = compare_runs([folder])
    return data_tables(comparisons, pick_by_default(comparisons))


def rows_of(folder):
    (table,) = tables(folder)
    return {" ".join([row.comparison.method, *row.comparison.shown]): row for row in table.rows}


def test_the_interval_and_the_test_are_those_of_scipy():
    first, second = [0.61, 0.65, 0.59, 0.7], [0.5, 0.61, 0.58, 0.6]
    interval = scipy.stats.t.interval(0.95, 3, loc=sum(first) / 4, scale=scipy.stats.sem(first))
    assert summarise(first).interval == pytest.approx(interval)
    found = paired_difference(dict(enumerate(first)), dict(enumerate(second)))
    assert found.p == pytest.approx(scipy.stats.ttest_rel(first, second).pvalue)
    assert (found.mean, found.num) == (pytest.approx(0.065), 4)


def test_intervals_of_accuracies_and_of_no_other_measure_end_at_0_and_1(runs, compare, tmp_path):
    runs("dann", 0.01, 0.99)
    runs("mcc", 0.98, 0.99)
    assert [row.result.interval for row in rows_of(tmp_path).values()] == [(0.0, 1.0), (pytest.approx(0.9215, abs=1e-4), 1.0)]
    write_run(tmp_path / "runs" / "x", "jan", "data.target=x", "seed=0", corr_c=-0.9)
    write_run(tmp_path / "runs" / "y", "jan", "data.target=x", "seed=1", corr_c=0.9)
    low, high = next(row.result.interval for table in tables(tmp_path) for row in table.rows if row.comparison.method == "jan")
    assert (low, high) == (pytest.approx(-11.4, abs=0.1), pytest.approx(11.4, abs=0.1))
    assert "of accuracies, the part within 0 and 1" in compare()


@pytest.mark.parametrize(("values", "reference"), [([0.5, 0.6], [0.4, 0.3]), ([0.5, 0.6, 0.7], [0.4, 0.5, 0.6])])
def test_a_difference_without_a_known_deviation_has_no_p_value(values, reference):
    assert paired_difference(dict(enumerate(values)), dict(enumerate(reference))).p is None


def test_runs_are_paired_by_seed_with_the_nearest_source_only(runs, tmp_path):
    runs("source_only", 0.4, 0.5, 0.45, 0.9)
    runs("source_only", 0.1, 0.1, 0.1, overrides=["optimizer.lr=0.1"])
    runs("dann", 0.6, 0.8, 0.7)
    runs("dann", 0.3, 0.5, 0.3, overrides=["optimizer.lr=0.1"])
    found = rows_of(tmp_path)
    assert found["dann optimizer.lr=0.001"].difference[::2] == (pytest.approx(0.25), 3)
    assert found["dann optimizer.lr=0.1"].difference.mean == pytest.approx(0.8 / 3)
    assert found["source_only optimizer.lr=0.1"].difference is None


def test_of_equally_near_references_the_best_is_compared_and_others_than_the_seeds_of_the_row_are_not(runs, tmp_path):
    runs("source_only", 0.1, 0.1, 0.1, overrides=["optimizer.lr=0.1"])
    runs("source_only", 0.6, 0.6, 0.6, overrides=["optimizer.lr=0.2"])
    runs("dann", 0.5, 0.7, 0.9)
    write_run(tmp_path / "runs" / "x", "source_only", "seed=9", accuracy=0.1)
    assert rows_of(tmp_path)["dann"].difference[::2] == (pytest.approx(0.1), 3)


def test_a_difference_in_fewer_seeds_says_so_and_why_it_has_no_p(runs, compare):
    runs("source_only", 0.5, 0.6, 0.7)
    runs("dann", 0.6, 0.7, 0.8, 0.1)
    runs("mcc", 0.5, 0.6, 0.7)
    text = compare()
    assert "in 3 of 4" in text
    assert "+0.0000" in text
    assert "-0.0000" not in text
    assert "Without p: the difference is the same in all pairs" in text


def test_small_scores_are_not_shown_as_zero(runs, compare):
    runs("dann", 0.5, 0.6, scores=(2e-6, 4e-6))
    runs("mcc", None, None, overrides=["data.target=x"], scores=(-1e-6, -3e-6))
    text = compare()
    for shown in ("3.0e-06", "-2.0e-06 ± 1.4e-06"):
        assert shown in text


def test_a_seed_that_was_trained_twice_counts_once(runs, tmp_path):
    for _ in range(2):
        runs("dann", 0.6, 0.8)
    row = rows_of(tmp_path)["dann"]
    assert (row.result.num, row.result.mean, len(row.comparison.runs)) == (2, pytest.approx(0.7), 4)


def test_folds_are_repetitions_like_seeds(runs, tmp_path):
    for fold in (0, 1):
        runs("source_only", 0.5, 0.5 + fold / 10, overrides=[f"data.fold={fold}"])
        runs("dann", 0.6, 0.7, overrides=[f"data.fold={fold}"])
    row = rows_of(tmp_path)["dann"]
    assert (row.result.num, row.difference.num) == (4, 4)


def test_at_80_columns_nothing_is_cut_and_the_pick_is_marked_with_its_run(runs, compare):
    runs("source_only", 0.5, 0.55, 0.6, overrides=["optimizer.lr=0.0123456789"])
    runs("a_method_with_quite_a_long_name", 0.7, 0.75, 0.9, overrides=["optimizer.lr=0.01234"], scores=(0.7, 0.8, 0.9))
    text = compare()
    lines = text.splitlines()
    table = lines[: next(number for number, line in enumerate(lines) if line.startswith("±"))]
    assert max(map(len, table)) <= 80
    width = next(line for line in table if "method" in line).index(" n ")
    joined = "".join(line[:width].strip() for line in table)
    assert "▸a_method_with_quite_a_long_namelr=0.01234" in joined
    assert "runs/5-a_method_with_quite_a_long_name" in joined
    for shown in ("0.7833 ± 0.1041", "[0.5248, 1.0000]", "+0.2333", "p = 0.020"):
        assert any(shown in line for line in table), shown
    assert "paired t-test" in text
    assert "Student's t" in text
    assert "Its best run: runs/5-a_method_with_quite_a_long_name" in text


def test_numbers_are_not_cut_on_narrow_terminals(runs, compare, monkeypatch):
    runs("source_only", 0.5, 0.55, 0.6)
    runs("dann", 0.7, 0.75, 0.9)
    monkeypatch.setenv("COLUMNS", "30")
    text = compare()
    assert "…" not in text
    for shown in ("0.7833 ± 0.1041", "[0.5248, 1.0000]", "+0.2333", "p = 0.020", "0.2000"):
        assert shown in text


def test_a_long_name_of_a_score_fits_80_columns(runs, compare):
    runs("source_only", 0.5, 0.55, 0.6)
    runs("dann", 0.7, 0.75, 0.9)
    for folder in Path("runs").iterdir():
        write_predictions(folder, 0, 1)
    text = compare("by=ensemble_agreement")
    table = text[: text.index("± standard")]
    assert max(map(len, table.splitlines())) <= 80
    assert "ensemble_" in table


def test_without_target_labels_the_score_orders_the_rows_and_the_source_is_named_as_such(runs, compare, tmp_path):
    runs("dann", None, None, scores=(0.1, 0.2))
    runs("mcc", None, None, scores=(0.8, 0.9))
    runs("source_only", None, None, scores=(0.4, 0.5))
    (table,) = tables(tmp_path)
    assert (table.measure, [row.comparison.method for row in table.rows]) == ("corr_c", ["dann", "source_only", "mcc"])
    assert [row.is_pick for row in table.rows] == [False, False, True]
    text = compare("format=markdown")
    assert text.splitlines()[0] == r"| method | n | corr\_c | vs source\_only | source accuracy | seconds |"
    assert "| ▸ mcc | 2 | 0.8500 ± 0.0707" in text
    assert "accuracy on the source is not that on the target" in text


def test_without_a_target_the_accuracy_on_the_source_orders_the_rows(tmp_path):
    write_run(tmp_path / "a", "fine_tune", source_accuracy=0.9)
    (table,) = tables(tmp_path)
    assert (table.measure, table.shows_source, table.rows[0].result.mean) == ("source/test_accuracy", False, 0.9)


def test_runs_of_other_data_are_in_a_table_of_their_own(runs, compare):
    runs("dann", 0.5, overrides=["data.target=x"])
    runs("dann", None, overrides=["data.target=y"])
    text = compare()
    assert [line for line in text.splitlines() if line.startswith("data.target=")] == [
        *(line for line in text.splitlines() if line.endswith(("/x", "/y")) and not line.startswith("▸"))
    ]
    assert [row["measure"] for row in csv.DictReader(io.StringIO(compare("format=csv")))] == ["target/test_accuracy", "corr_c"]


@pytest.fixture
def several_targets(runs, tmp_path):
    """Runs on three targets, of which the last has no labels in the runs of mcc."""
    names = ["cam_2", "猫 #1", "a very long name of a camera in the garden_of_the_museum"]
    for method, accuracies in (("dann", (0.5, 0.6)), ("mcc", (0.7, 0.8))):
        runs(method, *accuracies)
    for file in tmp_path.glob("runs/*/metrics.json"):
        metrics = json.loads(file.read_text())
        shown = names if metrics["target/test_accuracy"] < 0.65 else names[:2]
        metrics |= {f"target/{name}/test_accuracy": metrics["target/test_accuracy"] - 0.1 * place for place, name in enumerate(shown)}
        file.write_text(json.dumps(metrics))
    return names


def test_several_targets_have_a_table_of_their_own(several_targets, compare, tmp_path):
    short, other, long = several_targets
    text = compare()
    assert max(map(cell_len, text[: text.index("± standard")].splitlines())) <= 80
    (table,) = tables(tmp_path)
    assert (table.places, [set(row.each) for row in table.rows]) == (sorted(several_targets), [set(several_targets), {short, other}])
    assert [row.each[other].mean for row in table.rows] == [pytest.approx(0.45), pytest.approx(0.65)]
    on_each = text[text.index("Target accuracy on each target") :]
    assert "0.4500" in on_each and "± 0.0707" in on_each
    markdown = compare("format=markdown")
    assert f"| method | {long.replace('_', chr(92) + '_')} | cam\\_2 | 猫 \\#1 |" in markdown
    assert "| ▸ dann | 0.3500 ± 0.0707 | 0.5500 ± 0.0707 | 0.4500 ± 0.0707 |" in markdown
    assert "| mcc |  | 0.7500 ± 0.0707 | 0.6500 ± 0.0707 |" in markdown
    dann, mcc = csv.DictReader(io.StringIO(compare("format=csv"), newline=""))
    assert float(dann[f"mean_target/{other}/test_accuracy"]) == pytest.approx(0.45)
    assert mcc[f"mean_target/{long}/test_accuracy"] == ""
    assert long in compare("format=latex").replace("\\", "")
    compare("out=report.html")
    assert long in (tmp_path / "report.html").read_text()


def test_columns_that_do_not_fit_are_below_each_other(several_targets, compare, monkeypatch):
    monkeypatch.setenv("COLUMNS", "42")
    text = compare()
    table = text[: text.index("± standard")]
    assert max(map(cell_len, table.splitlines())) <= 42
    assert table.count(" mcc ") == 6, text


def test_an_oracle_is_marked(tmp_path, compare):
    write_run(tmp_path / "runs" / "a", "dann", accuracy=0.9, selection="oracle", corr_c=0.9)
    text = compare()
    assert "dann (oracle)" in text
    assert "never the pick" in text


def test_numbers_have_full_precision_in_csv_and_names_cannot_be_formulas(runs, compare):
    runs("=cmd|calc", 0.123456789, 0.2)
    runs("source_only", 0.3, 0.4)
    first, second = csv.DictReader(io.StringIO(compare("format=csv"), newline=""))
    assert (first["method"], float(first["mean"])) == ("'=cmd|calc", pytest.approx((0.123456789 + 0.2) / 2, abs=1e-15))
    assert float(first["minus_source_only"]) < 0
    assert second["minus_source_only"] == ""


def test_names_cannot_break_markdown_or_latex(runs, compare):
    runs("a|b<script>\\x_{y}%$&#~^\x1b", 0.5)
    assert r"| ▸ a\|b\<script\>\\x\_{y}" in compare("format=markdown") or r"| a\|b\<script\>\\x\_{y}" in compare("format=markdown")
    line = next(line for line in compare("format=latex").splitlines() if line.startswith("a"))
    assert line.startswith(
        r"a\textbar{}b\textless{}script\textgreater{}\textbackslash{}x\_\{y\}\%\$\&\#\textasciitilde{}\textasciicircum{}"
    )
    assert "\x1b" not in line


@pytest.mark.parametrize("name", ["[x](y)", "*d*", "~~a~~", "&amp;", "$a$", "--", "---:"])
def test_names_that_look_like_markdown_or_latex_stay_as_they_are(runs, compare, name):
    runs(name, 0.5)
    row = compare("format=markdown").splitlines()[2]
    escaped = re.sub(r"([*\[\]~&$])", r"\\\1", name)
    assert row.startswith(f"| {escaped} | 1 |")
    rows = compare("format=latex").split("\\midrule\n")[1].splitlines()
    assert not rows[0].startswith(("[", "*"))
    assert "--" not in rows[0]


def test_latex_has_minus_signs_in_numbers_and_hyphens_in_names(runs, compare):
    runs("source-only", 0.5)
    runs("source_only", 0.6)
    assert r"source-only & 1 & 0.5000 & $-$0.1000 & " in compare("format=latex")


def test_folders_that_are_named_twice_or_in_others_count_once(runs, compare, tmp_path):
    runs("dann", 0.5, 0.6)
    rows = csv.DictReader(io.StringIO(compare(".", "./runs/0-dann", str(tmp_path), "format=csv"), newline=""))
    assert [(row["n"], row["best_run"]) for row in rows] == [("2", "runs/1-dann")]


def test_runs_without_results_are_named(runs, compare, tmp_path):
    runs("dann", 0.5, 0.6, 0.7)
    sweep = tmp_path / "runs"
    for number in (1, 2):
        (sweep / f"{number}-dann" / "metrics.json").unlink()
    write_state(sweep, JobState("1-dann", "stopped", 1.0, 2.0))
    write_state(sweep, JobState("lr=9\x1b", "failed", 1.0, 2.0, reason="The loss is NaN. Lower it.\nMore."))
    write_state(sweep, JobState("lr=8", "failed", 1.0, 2.0, reason="The loss is NaN."))
    named = r"1-dann (stopped); 2-dann (not finished); lr=8, lr=9\x1b (failed: The loss is NaN)."
    assert f"Without results, so not in the table, in runs: {named}" in compare()
    assert "Without results" in compare("format=html")
    assert "2-dann (not finished)" in json.loads(compare("format=json"))["notes"][-1]
    states = {"runs/1-dann": "stopped", "runs/2-dann": "not finished"}
    states |= {f"runs/lr={lr}": "failed: The loss is NaN" for lr in ("8", "9\x1b")}
    assert {run["folder"]: run["state"] for run in json.loads(compare("format=json"))["unfinished"]} == states
    table = pandas.read_csv(io.StringIO(compare("format=csv")))
    assert table.state.tolist() == ["finished", *states.values()]
    assert table.best_run.tolist() == ["runs/0-dann", *list(states)[:-1], r"runs/lr=9\x1b"]
    assert (table.n.tolist(), table["mean"].count(), table[table.is_pick].empty) == ([1, 0, 0, 0, 0], 1, True)
    for file in (sweep / ".jobs").iterdir():
        file.write_text("{")
    assert "in runs: 1-dann, 2-dann (not finished)." in compare()
    (sweep / "0-dann" / "metrics.json").unlink()
    with pytest.raises(DataError, match=r"Type acclimate train resume=runs/0-dann\."):
        compare()


@pytest.mark.parametrize(("file", "contents"), [("metrics.json", "{"), ("run.json", "[]"), ("metrics.json", "{}")])
def test_damaged_runs_are_named(runs, compare, file, contents):
    runs("dann", 0.5, 0.6)
    Path("runs", "1-dann", file).write_text(contents)
    assert "Without results, so not in the table, in runs: 1-dann (damaged)." in compare()


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("fromat=csv", "does not take fromat=csv. Did you mean format?"),
        ("by=corc", "Did you mean corr_c? Choose one of corr_c."),
        ("--out", "does not take --out"),
    ],
)
def test_a_mistyped_word_is_explained(runs, compare, word, expected):
    runs("dann", 0.5)
    with pytest.raises(UserError) as raised:
        compare(word)
    assert expected in str(raised.value)


@pytest.mark.parametrize(
    ("file", "beginning"), [("a.csv", "data,"), ("a.md", "| method"), ("a.tex", "% "), ("a.json", "{"), ("a", "{"), ("a.txt", " ")]
)
def test_the_ending_of_a_file_is_its_format(runs, compare, tmp_path, file, beginning):
    runs("dann", 0.5, 0.6)
    printed = compare(f"out={file}")
    assert "0.5500" in printed
    text = (tmp_path / file).read_text()
    assert text.startswith(beginning)
    assert "dann" in text


def test_json_has_the_runs_their_metrics_and_the_picks(runs, compare, tmp_path):
    runs("dann", 0.5, 0.6)
    runs("mcc", 0.7, 0.8)
    compare("out=a.json", "by=corr_c")
    contents = json.loads((tmp_path / "a.json").read_text())
    assert [(method["name"], len(method["runs"]), method["mean"]) for method in contents["methods"]] == [
        ("dann", 2, 0.55),
        ("mcc", 2, 0.75),
    ]
    assert contents["picks"][0]["run_scores"]["runs/3-mcc"] == 0.2


def test_an_unknown_format_is_named(acclimate):
    code, message = acclimate("compare", ".", "format=exel")
    assert code == 2
    assert "format=exel is not a format of the table." in message


@pytest.mark.parametrize(("file", "typed"), [("a.xlsx", "a.json"), ("a.csv.gz", "a.csv")])
def test_a_file_with_the_ending_of_another_format_is_refused_with_one_that_works(runs, acclimate, tmp_path, file, typed):
    runs("dann", 0.5, 0.6)
    code, message = acclimate("compare", "runs", f"out={file}")
    assert (code, f"out={file} must end in .json or .txt" in message, f"Type out={typed}." in message) == (2, True, True)
    assert acclimate("compare", "runs", f"out={typed}")[0] == 0
    assert [path.name for path in tmp_path.glob("a.*")] == [typed]


def test_results_are_written_as_json_only(acclimate):
    code, message = acclimate("evaluate", "run=none", "out=a.csv")
    assert (code, "out=a.csv must end in .json. Type out=a.json." in message) == (2, True)
