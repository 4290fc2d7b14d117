"""Results of each class, in the folder of a run and in the output of evaluate."""

import csv
import json
import math
import warnings

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, classification_report, precision_recall_fscore_support
from small_runs import compose, write_photographs

from acclimate.data.domains import Domains
from acclimate.reports.tables import print_class_results
from acclimate.scores.class_measures import class_measures
from acclimate.training import run
from acclimate.training.callbacks.final_predictions import FinalPredictions
from acclimate.training.class_results import class_results


def rows_of(file):
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


@pytest.fixture(scope="module")
def trained(tmp_path_factory, archives):
    folder = tmp_path_factory.mktemp("runs") / "run"
    run.train(compose(folder, *archives, "method=source_only", "trainer.max_epochs=1"))
    return folder


def test_the_measures_are_those_of_scikit_learn():
    labels, predicted = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2]), torch.tensor([0, 1, 0, 1, 0, 2, 2, 0, 1])
    confusion = torch.zeros(3, 3, dtype=torch.int64).index_put((labels, predicted), torch.tensor(1), accumulate=True)
    found = class_measures(confusion)
    expected = precision_recall_fscore_support(labels, predicted)
    for measure, values in zip((found.precision, found.recall, found.f1, found.support), expected, strict=True):
        assert measure.tolist() == pytest.approx(list(values))
    assert found.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels, predicted))


def test_what_is_undefined_is_nan_and_not_in_the_balanced_accuracy():
    found = class_measures(torch.tensor([[2, 2, 0], [0, 0, 0], [0, 0, 0]]))
    assert [measure.isnan().tolist() for measure in found[1:]] == [[False, False, True], [False, True, True], [False, False, True]]
    assert found.balanced_accuracy == 0.5


@pytest.mark.parametrize(
    ("labels", "predicted"),
    [
        ([0, 1, 2, 3], [0, 0, 0, 0]),
        ([0, 0, 1, 1, 1], [0, 2, 1, 1, 2]),
        ([1, 1, 1], [0, 0, 0]),
        ([3, 3, 0, 1], [3, 0, 0, 2]),
    ],
    ids=["collapsed", "a class that is predicted but absent", "nothing is right", "all at once"],
)
def test_rows_are_those_of_scikit_learn_where_classes_are_absent_or_never_predicted(labels, predicted):
    predictions = FinalPredictions()
    predictions.labels = {"target": [torch.tensor(labels)]}
    predictions.probabilities = {"target": [torch.eye(4)[predicted]]}
    total, *rows = class_results(predictions, Domains(list("abcd"), None, None))
    report = classification_report(labels, predicted, target_names=list("abcd"), labels=range(4), output_dict=True, zero_division=np.nan)
    with warnings.catch_warnings(action="ignore"):
        balanced = balanced_accuracy_score(labels, predicted)
    assert total["balanced_accuracy"] == pytest.approx(balanced)
    for row, expected in [(total, report["macro avg"]), *((row, report[row["class"]]) for row in rows)]:
        found = [math.nan if row[name] is None else row[name] for name in ("inputs", "precision", "recall", "f1")]
        names = ("support", "precision", "recall", "f1-score")
        assert found == pytest.approx([expected[name] for name in names], nan_ok=True)


def test_a_run_leaves_the_results_of_each_class_of_both_domains(trained):
    rows = rows_of(trained / "per_class.csv")
    metrics = json.loads((trained / "metrics.json").read_text())
    assert list(rows[0]) == ["domain", "class", "inputs", "accuracy", "precision", "recall", "f1", "balanced_accuracy"]
    for domain in ("source", "target"):
        total, *classes = [row for row in rows if row["domain"] == domain]
        assert (total["class"], [row["class"] for row in classes]) == ("", ["0", "1", "2"])
        assert float(total["accuracy"]) == pytest.approx(metrics[f"{domain}/test_accuracy"], abs=1e-6)
        recalls = [float(row["recall"]) for row in classes]
        assert float(total["balanced_accuracy"]) == pytest.approx(sum(recalls) / 3, abs=1e-5)
        inputs = [int(row["inputs"]) for row in classes]
        correct = sum(recall * number for recall, number in zip(recalls, inputs, strict=True))
        assert correct / sum(inputs) == pytest.approx(float(total["accuracy"]), abs=1e-5)


def test_evaluate_prints_and_writes_them_and_keeps_the_mistakes(trained, acclimate, tmp_path):
    code, message = acclimate("evaluate", f"run={trained}", "out=again.json", "mistakes=mistakes")
    assert (code, message) == (0, "")
    assert "per_class" not in json.loads((tmp_path / "again.json").read_text())
    assert rows_of(tmp_path / "again-per_class.csv") == rows_of(trained / "per_class.csv")
    predictions = rows_of(trained / "test_predictions.csv")
    wrong = {(row["domain"], row["sample"]) for row in predictions if row["label"] != row["prediction"]}
    rows = rows_of(tmp_path / "mistakes" / "mistakes.csv")
    listed = [row for row in rows if row["list"] == "misclassified"]
    assert {(row["domain"], row["sample"]) for row in listed} == wrong
    assert len(listed) == len(wrong) > 0
    for row in rows:
        assert (tmp_path / "mistakes" / row["file"]).read_bytes().startswith(b"\x89PNG")
        assert row["file"].split("/")[1].startswith(f"{row['label']}-{row['prediction']}-{float(row['confidence']):.3f}-")
    uncertain = [float(row["confidence"]) for row in rows if row["list"] == "uncertain" and row["domain"] == "target"]
    assert uncertain == sorted(uncertain)
    assert len(uncertain) == 12


def test_a_folder_with_files_is_not_used_for_mistakes(acclimate, tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "file").touch()
    code, message = acclimate("evaluate", "run=run", "mistakes=old")
    assert code == 2
    assert "mistakes=old already exists and is not an empty folder. Name a new one: mistakes=old-2." in message


def test_files_of_images_are_copied_whatever_their_classes_are_called(acclimate, tmp_path):
    write_photographs(tmp_path / "source")
    # The last two fit into the name of a folder, but both together do not fit into that of a file.
    for name, other in (("owl", "-owl=<i>"), ("ant", 50 * "\U00020000"), ("bee", 50 * "\U00020001")):
        (tmp_path / "source" / name).rename(tmp_path / "source" / other)
    write_photographs(tmp_path / "target", seed=1)
    images = ["data=image_folder", f"data.source={tmp_path / 'source'}", f"data.target={tmp_path / 'target'}", "data.num_workers=0"]
    for place in (tmp_path / "target").glob("*/*.png"):
        place.rename(tmp_path / "target" / f"{place.parent.name}{place.name}")
    for name in ("ant", "bee", "owl"):
        (tmp_path / "target" / name).rmdir()
    run.train(compose(tmp_path / "run", *images, "method=source_only", "trainer.max_epochs=1"))
    assert {row["domain"] for row in rows_of(tmp_path / "run" / "per_class.csv")} == {"source"}
    code, _ = acclimate("evaluate", "run=run", "mistakes=mistakes")
    assert code == 0
    rows = rows_of(tmp_path / "mistakes" / "mistakes.csv")
    assert {(row["domain"], row["list"]) for row in rows} >= {("source", "uncertain"), ("target", "uncertain")}
    assert ("target", "misclassified") not in {(row["domain"], row["list"]) for row in rows}
    for row in rows:
        assert row["file"].rpartition("/")[2][0] not in ".-"
        assert (tmp_path / "mistakes" / row["file"]).read_bytes() == (tmp_path / row["sample"]).read_bytes()


def test_vectors_are_listed_in_the_table(acclimate, tables, tmp_path):
    run.train(compose(tmp_path / "run", *tables, "method=source_only", "trainer.max_epochs=1"))
    code, _ = acclimate("evaluate", "run=run", "mistakes=mistakes")
    assert code == 0
    rows = rows_of(tmp_path / "mistakes" / "mistakes.csv")
    assert rows
    assert {row["file"] for row in rows} == {""}
    assert rows[0]["sample"].startswith("row ")
    assert [path.name for path in (tmp_path / "mistakes").iterdir()] == ["mistakes.csv"]


def test_printed_results_are_of_each_class_or_of_the_lowest_of_many(capsys):
    def row(name, recall):
        return {"domain": "target", "class": name, "inputs": 5, "precision": None, "recall": recall, "f1": 0.5, "balanced_accuracy": 0.25}

    print_class_results([row(None, 0.5), row("<cat>", 0.75), row("dog\x1b", None)])
    text = capsys.readouterr().out
    assert "│ <cat>   │      5 │         - │ 0.7500 │ 0.5000 │" in text
    assert r"dog\x1b" in text
    assert "│ (mean)  │      5 │         - │ 0.5000 │ 0.5000 │" in text
    assert "mean recall: 0.2500" in text
    print_class_results([row(None, 0.5), *(row(f"class {number}", number / 50) for number in reversed(range(50)))])
    text = capsys.readouterr().out
    assert ("class 39" in text, "class 40" in text, "The 40 of 50 classes" in text) == (True, False, True)
