"""Predictions by `acclimate predict` and in Python: what they take, and images that cannot be read."""

import csv
import io
import os
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from small_runs import compose, write_test_images

from acclimate import load
from acclimate.errors import ConfigError, DataError
from acclimate.training import run


@pytest.fixture(scope="module")
def trained(archives, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    run.train(compose(folder, *archives, "method=source_only", "trainer.max_steps=2"))
    return folder


@pytest.fixture
def photos(acclimate, archives):
    """A folder of twelve images, among which are a damaged one, a note and what a file manager leaves behind."""
    Path("photos").mkdir()
    write_test_images(archives, Path("photos"))
    whole = Path("photos/000.png").read_bytes()
    Path("photos/damaged.png").write_bytes(whole[: len(whole) // 2])
    Path("photos/notes.txt").write_text("no image")
    Path("photos/Thumbs.db").write_bytes(b"")
    return Path("photos")


@pytest.fixture
def predict(acclimate, trained):
    """Call the verb; return the exit code, the message, and the rows of `out=photos/labels.csv` by name."""

    def call(*arguments):
        code, message = acclimate("predict", f"run={trained}", "out=photos/labels.csv", *arguments)
        table = Path("photos/labels.csv")
        rows = list(csv.DictReader(table.read_text().splitlines())) if table.exists() else []
        return code, message, {row["input"]: row for row in rows}

    return call


def test_a_bad_image_is_named_or_has_a_row_of_its_own(predict, photos):
    code, message, rows = predict("inputs=photos")
    assert (code, rows) == (2, {}), "half a table was written"
    assert "photos/damaged.png is not a whole image" in message
    code, message, rows = predict("inputs=photos", message.strip().rstrip(".").rpartition(" ")[2])
    assert code == 0, message
    assert len(rows) == 13
    damaged = rows.pop("damaged.png")
    assert (damaged["label"], damaged["confidence"]) == ("", "")
    assert "is not a whole image" in damaged["problem"]
    assert all(row["label"] and float(row["confidence"]) > 0.3 and not row["problem"] for row in rows.values())


def test_its_own_table_is_no_input(predict, photos):
    for _ in range(2):
        code, message, rows = predict("inputs=photos", "on_bad_image=skip")
        assert (code, len(rows)) == (0, 13), message


@pytest.mark.parametrize("value", ["photos/000.png", "[photos/000.png]", '["photos/000.png"]', "'photos/000.png'"])
def test_a_single_image(predict, photos, value):
    code, message, rows = predict(f"inputs={value}")
    assert (code, [*rows]) == (0, ["photos/000.png"]), message


def test_a_list_of_images_and_folders_keeps_its_order(predict, photos):
    for number, name in enumerate(("a,b.png", "[c].png", "o'brien.png", "é #2=$x.png")):
        Image.new("L", (20, 20), 40 * number).save(name)
    Path("more").mkdir()
    Image.new("L", (20, 20)).save("more/d.png")
    listed = """["a,b.png",[c].png,"o'brien.png", é #2=$x.png,more,nowhere.png]"""
    code, message, rows = predict(f"inputs={listed}", "on_bad_image=skip")
    assert code == 0, message
    assert [*rows] == ["a,b.png", "[c].png", "o'brien.png", "é #2=$x.png", "more/d.png", "nowhere.png"]
    assert "does not exist" in rows["nowhere.png"]["problem"]


def test_paths_from_standard_input(predict, photos, monkeypatch):
    Image.new("L", (20, 20)).save("a b.png")
    for table in (Path("photos/labels.csv"), Path("photos/labels.csv")):
        lines = f"a b.png\n\nphotos/001.png\r\n{table}\n".encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))
        code, message, rows = predict("inputs=-")
        assert (code, [*rows]) == (0, ["a b.png", "photos/001.png"]), message


def test_the_table_on_standard_output(acclimate, photos, trained):
    before = os.dup(1)
    with open("written.csv", "wb") as file:
        os.dup2(file.fileno(), 1)
    try:
        code, message = acclimate("predict", f"run={trained}", "inputs=photos/000.png", "out=-")
    finally:
        os.dup2(before, 1)
        os.close(before)
    assert (code, "Wrote the predictions for 1 inputs" in message) == (0, True)
    assert Path("written.csv").read_text().startswith("input,label,confidence,problem\nphotos/000.png,")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["inputs=nowhere"], "inputs=nowhere does not exist. Type inputs=DIR"),
        (["inputs=[]"], "inputs=[] names no inputs"),
        (["inputs=photos/notes.txt"], "If it lists paths, one per line, type inputs=- < photos/notes.txt"),
        (["inputs=photos", "on_bad_image=drop"], "on_bad_image=drop must be error or skip"),
        (
            ["inputs=photos", "out=photos/000.png"],
            "out=photos/000.png must end in .csv or .txt. Type out=photos",
        ),
        (["inputs=photos", "out=labels.csv.gz"], "must end in .csv or .txt. Type out=labels.csv."),
    ],
)
def test_what_cannot_be_predicted_is_refused(predict, photos, arguments, part):
    before = {path: path.read_bytes() for path in photos.iterdir()}
    code, message, _ = predict(*arguments)
    assert code == 2
    assert part in message
    assert before == {path: path.read_bytes() for path in photos.iterdir()}


def test_in_python(trained, photos):
    model = load(trained)
    images = [photos / "000.png", photos / "damaged.png", photos / "001.png"]
    with pytest.raises(DataError, match=r"damaged\.png is not a whole image: .*on_bad_image='skip'"):
        model.predict(images)
    found = model.predict(images, features=True, on_bad_image="skip")
    whole = model.predict(images[::2], features=True)
    assert found.labels == [whole.labels[0], "", whole.labels[1]]
    for values, expected in ((found.probabilities, whole.probabilities), (found.features, whole.features)):
        torch.testing.assert_close(values[::2], expected)
        assert values[1].isnan().all()
    assert found.problems.keys() == {1}
    labels, probabilities, features = model.predict(images[1], on_bad_image="skip")
    assert (labels, features, probabilities.shape) == ([""], None, (1, 3))
    with pytest.raises(ConfigError, match="on_bad_image=drop must be error or skip"):
        model.predict(images, on_bad_image="drop")


def test_vectors_have_no_bad_images(tables, tmp_path):
    run.train(compose(tmp_path, *tables, "method=source_only", "trainer.max_steps=1"))
    with pytest.raises(ConfigError, match="have no on_bad_image"):
        load(tmp_path).predict([[0.0] * 4], on_bad_image="skip")
