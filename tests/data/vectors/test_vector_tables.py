"""Tables of numbers as people have them."""

import numpy as np
import pandas
import pytest
import torch

from acclimate.data.vectors.tables import read_table
from acclimate.data.vectors.vector_tables import VectorTables
from acclimate.data.vectors.vectors import Vectors, VectorView
from acclimate.errors import DataError
from acclimate.inputs import VectorSpec


def rows(number=30, **columns):
    random = np.random.default_rng(0)
    frame = pandas.DataFrame(random.normal(size=(number, 2)), columns=["a", "b"])
    frame["label"] = [("cat", "dog", "owl")[row % 3] for row in range(number)]
    return frame.assign(**columns)


def read(path, **keys):
    return read_table(path, **{"columns": None, "label": "label", "split": None} | keys)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz"])
def test_columns_are_separated_as_the_header_says(tmp_path, separator, name):
    rows().to_csv(tmp_path / name, sep=separator, index=False)
    table = read(tmp_path / name)
    assert table.columns == ["a", "b"]
    assert table.labels == rows()["label"].tolist()
    assert torch.equal(table.values, torch.tensor(rows()[["a", "b"]].to_numpy(dtype=np.float32)))


def test_files_of_all_formats_say_the_same(tmp_path):
    frame = rows()
    frame.to_csv(tmp_path / "rows.csv", index=False, encoding="utf-8-sig")
    frame.to_parquet(tmp_path / "rows.parquet")
    np.savez(tmp_path / "rows.npz", x=frame[["a", "b"]].to_numpy(), y=frame["label"].to_numpy(dtype=str))
    one, other, arrays = (read(tmp_path / f"rows.{suffix}") for suffix in ("csv", "parquet", "npz"))
    assert torch.equal(one.values, other.values) and torch.equal(one.values, arrays.values)
    assert one.labels == other.labels == arrays.labels
    assert (one.columns, arrays.columns) == (["a", "b"], None)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ([3, 7] * 15, ["3", "7"]),
        ([10.0, 9.0] * 15, ["9", "10"]),
        (["NA", "None"] * 15, ["NA", "None"]),
        ([True, False] * 15, ["False", "True"]),
        (["b", "a"] * 15, ["a", "b"]),
    ],
)
def test_classes_are_the_labels_that_occur(tmp_path, labels, classes):
    rows(label=labels).to_csv(tmp_path / "rows.csv", index=False)
    assert VectorTables(source=str(tmp_path / "rows.csv")).read().classes == classes


def damaged(tmp_path, change):
    frame = rows()
    text = change(frame)
    path = tmp_path / "rows.csv"
    path.write_text(text) if isinstance(text, str) else frame.to_csv(path, index=False)
    return path


def hole(frame):
    frame.loc[3, "b"] = np.nan


def text_column(frame):
    frame["town"] = "Rome"


def unlabelled_row(frame):
    frame.loc[4, "label"] = None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (hole, r"has 1 values that are missing or infinite, the first in row 3 of the column b"),
        (text_column, r"The column town of .* 'Rome'.*data\.columns=\[a,b\]"),
        (unlabelled_row, r"1 of the 30 labels of label of .* are missing"),
        (lambda frame: "a,a,label\n1,2,cat\n3,4,dog\n", "several columns called a"),
        (lambda frame: "", "cannot be read as a table"),
        (lambda frame: "label\ncat\ndog\n", "has no numbers"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        read(damaged(tmp_path, change))


def test_the_columns_that_are_advised_work(tmp_path):
    assert read(damaged(tmp_path, text_column), columns=["a", "b"]).values.shape == (30, 2)


@pytest.mark.parametrize("name", ["label", "part", "who"])
def test_what_is_no_input_cannot_become_one(tmp_path, name):
    rows(part="train", who=1.0, label=1).to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(DataError, match=rf"data\.columns names {name}, but classes, parts and groups are no inputs"):
        read(tmp_path / "rows.csv", columns=["a", name], split="part", group="who")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros(3), "y": np.zeros(3)}, r"x of .* has the shape \(3,\)"),
        ({"x": np.zeros((3, 2)), "y": np.zeros(2)}, "has 3 rows in x, but 2 labels in y"),
        ({"x_train": np.zeros((3, 2)), "x_test": np.zeros((3, 4))}, "have 2, 4 columns"),
        ({"x_train": np.zeros((3, 2)), "y_train": np.zeros(3), "x_test": np.zeros((3, 2))}, "has no y_test"),
        ({"x_test": np.zeros((3, 2))}, "neither x nor x_train"),
    ],
)
def test_arrays_that_do_not_go_together_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "rows.npz", **arrays)
    with pytest.raises(DataError, match=message):
        read(tmp_path / "rows.npz")


def test_a_column_may_say_the_parts(tmp_path):
    rows(part=["train"] * 18 + ["val"] * 6 + ["test"] * 6).to_csv(tmp_path / "rows.csv", index=False)
    data = VectorTables(source=str(tmp_path / "rows.csv"), split="part")
    assert [len(part) for part in data.domains.source] == [18, 6, 6]
    assert data.input_spec().width == 2


def test_a_column_of_parts_without_one_to_train_on_is_named(tmp_path):
    rows(part="test").to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(DataError, match=r"The column part of .* has no train"):
        VectorTables(source=str(tmp_path / "rows.csv"), split="part").read()


def test_models_get_mean_and_deviation_of_the_training_rows(tmp_path):
    rows(c=5.0).to_csv(tmp_path / "rows.csv", index=False)
    data = VectorTables(source=str(tmp_path / "rows.csv"))
    values = data.domains.source.train.values.double()
    spec = data.input_spec()
    torch.testing.assert_close(spec.mean.double(), values.mean(dim=0), rtol=0, atol=1e-6)
    torch.testing.assert_close(spec.std[:2].double(), values[:, :2].std(dim=0, correction=0), rtol=0, atol=1e-6)
    # A constant column cannot be divided by its deviation.
    assert spec.std[2] == 1


def test_rows_that_are_copies_are_in_one_part(tmp_path):
    frame = pandas.concat([rows(), rows()])
    frame.to_csv(tmp_path / "rows.csv", index=False)
    digests = [set(part.digests().tolist()) for part in VectorTables(source=str(tmp_path / "rows.csv")).domains.source]
    assert not digests[0] & digests[1] and not digests[0] & digests[2] and not digests[1] & digests[2]


@pytest.mark.parametrize("name", ["noise", "strong"])
def test_random_views_depend_on_the_seed_of_each_row_alone(name):
    spec = VectorSpec(3, torch.tensor([0.0, 1.0, 2.0]), torch.tensor([1.0, 10.0, 100.0]))
    view, vectors = VectorView(name, spec), torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    seen = view.look(vectors, range(40))
    assert view.random
    assert torch.equal(seen, view.look(vectors.flip(0), range(39, -1, -1)).flip(0))
    # Noise is in proportion to the deviation of each number.
    assert torch.equal((seen - vectors).abs().mean(dim=0).argsort(), torch.tensor([0, 1, 2]))


def test_a_strong_view_hides_a_fifth_of_the_numbers():
    spec = VectorSpec(10, torch.full((10,), 7.0), torch.ones(10))
    seen = VectorView("strong", spec).look(torch.zeros(2000, 10), range(2000))
    assert abs(float((seen == 7).float().mean()) - 0.2) < 0.01


def test_the_plain_view_changes_nothing():
    vectors = torch.randn(4, 3)
    assert Vectors(width=3).view("plain").look(vectors, []) is vectors
