"""Names of files, classes and folders that programs stumble over: trained on, drawn, and written to tables."""

import csv
import json
import os
import shutil

import pytest
from small_runs import SMALL, write_photographs
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

# With the pictures and the logger that runs have by default.
SHORT = (
    "data=image_folder",
    *(option for option in SMALL if option not in ("logger=none", "callbacks.pictures=null")),
    "data.cache=none",
    "data.num_workers=0",
    "trainer.max_steps=2",
)
LATIN_1 = os.fsdecode(b"K\xe4fer")
CLASSES = [
    "$10_$20",
    "猫",
    "سحاب",
    "😀",
    "x" * 250,
    "o'brien",
    "cam #2",
    "a\nWarning: b",
    "\x1b[31mred",
    "<script>alert(1)<script>",
    "=cmd|x",
    "${oc.env:HOME}",
    "%s{0}",
    "a,b",
    "null",
    "\u202egnp",
    LATIN_1,
]


def write_named_photographs(root, names, seed):
    """Write images in as many classes as there are names; the files have the names of their classes, too."""
    for number in range(0, len(names), 3):
        write_photographs(root / "new", seed=seed + number, number=6)
        for name, folder in zip(names[number : number + 3], sorted((root / "new").iterdir()), strict=False):
            folder.rename(root / name)
            (root / name / "0.png").rename(root / name / f"{name[:200]}.png")
        shutil.rmtree(root / "new")


def as_written(name):
    """Names in tables hold bytes that are no UTF-8 as escapes."""
    return os.fsencode(name).decode(errors="backslashreplace")


def read_table(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def unescaped(cell):
    return cell.removeprefix("'").encode("latin-1", "backslashreplace").decode("unicode_escape")


def test_classes_and_files_of_any_names_are_trained_drawn_and_written(tmp_path, acclimate, recwarn):
    write_named_photographs(tmp_path / "source", CLASSES, seed=0)
    write_named_photographs(tmp_path / "target", CLASSES, seed=100)
    code, message = acclimate("train", *SHORT, "method=dann", "data.source=source", "data.target=target", "hydra.run.dir=run")
    assert code == 0
    log = (tmp_path / "run" / "train.log").read_text()
    assert all(line.startswith("[") and line.isprintable() for line in log.splitlines()), log
    assert "goes on without" not in log + message
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]
    assert {file.name for file in (tmp_path / "run").glob("*.png")} >= {"source_confusion.png", "target_confusion.png"}
    rows = read_table(tmp_path / "run" / "test_predictions.csv")
    assert {unescaped(row["label"]) for row in rows if row["domain"] == "source"} == set(map(as_written, CLASSES))
    assert all(len(row["sample"].splitlines()) == 1 and row["sample"].isprintable() for row in rows)
    assert len(read_table(tmp_path / "run" / "parts.csv")) == 2 * 6 * len(CLASSES)

    assert acclimate("evaluate", "run=run", "allow_seen=true")[0] == 0
    assert acclimate("predict", "run=run", "inputs=target", "out=predictions.csv") == (0, "")
    rows = read_table(tmp_path / "predictions.csv")
    assert len(rows) == 6 * len(CLASSES)
    assert all((tmp_path / "target" / os.fsdecode(unescaped(row["input"]).encode("utf-8", "surrogateescape"))).is_file() for row in rows)


@pytest.mark.parametrize("name", [LATIN_1, "a,b\n$10_$20 #3"])
def test_data_and_runs_may_be_in_folders_of_any_names(name, tmp_path, acclimate):
    write_photographs(tmp_path / name / "source", number=5)
    write_photographs(tmp_path / name / "target", number=5, seed=1)
    data = f"data.source={name}/source", f"data.target={name}/target"
    code, message = acclimate("train", *SHORT, "method=dann", *data, f"hydra.run.dir={name}/run #1")
    assert code == 0, message
    log = (tmp_path / name / "run #1" / "train.log").read_text()
    assert all(line.startswith("[") for line in log.splitlines()), log
    # Its files are opened by UTF-8.
    assert ("goes on without TensorBoard" in log) == (name == LATIN_1)
    assert log.count("goes on without") == (name == LATIN_1)
    assert json.loads((tmp_path / name / "run #1" / "metrics.json").read_text())["train/steps"] == 2
    for arguments in (
        ("evaluate", f"run={name}/run #1", f"data.target={name}/target", "allow_seen=true"),
        ("predict", f"run={name}/run #1", f"inputs={name}/target", f"out={name}/predictions.csv"),
        ("train", f"resume={name}/run #1", "trainer.max_steps=3"),
        ("compare", name),
    ):
        assert acclimate(*arguments)[0] == 0, arguments


def test_tensorboard_gets_the_configuration_of_data_in_a_folder_of_any_name(tmp_path, acclimate):
    write_photographs(tmp_path / LATIN_1, number=5)
    assert acclimate("train", *SHORT, f"data.source={LATIN_1}", "method=fine_tune", "hydra.run.dir=run") == (0, "")
    assert "goes on without" not in (tmp_path / "run" / "train.log").read_text()
    (events,) = (tmp_path / "run").glob("events*")
    tags = {value.tag for event in EventFileLoader(str(events)).Load() for value in event.summary.value}
    assert {"final/source/test_accuracy", "_hparams_/experiment"} <= tags
