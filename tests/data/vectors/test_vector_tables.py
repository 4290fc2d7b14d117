"""Tables of numbers as people have them."""

import csv
import re
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch

from acclimate.data.vectors.tables import read_table
from acclimate.data.vectors.vector_tables import VectorTables
from acclimate.data.vectors.vectors import Vectors, VectorView
from acclimate.errors import ConfigError, DataError
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
    frame.to_csv(path, index=False) if text is None else path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def hole(frame):
    frame.loc[3, "b"] = np.nan


def text_column(frame):
    frame["town"] = "Rome"


def unlabelled_row(frame):
    frame.loc[4, "label"] = None


@pytest.mark.parametrize("separator", [";", ","])
def test_a_table_with_decimal_commas_is_refused_with_the_command_that_rewrites_it(tmp_path, monkeypatch, separator):
    monkeypatch.chdir(tmp_path)
    rows().to_csv("commas.csv", index=False, sep=separator, decimal=",", quoting=csv.QUOTE_NONNUMERIC)
    with pytest.raises(DataError, match="Write decimals with a point") as problem:
        read(Path("commas.csv"))
    (command,) = re.findall(r"pandas\.read_csv\(.*?index=False\)", str(problem.value))
    eval(command)
    assert torch.equal(read(Path("points.csv")).values, torch.from_numpy(rows()[["a", "b"]].to_numpy(dtype=np.float32)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (hole, r"has 1 values that are missing or infinite, the first in row 3 of the column b"),
        (text_column, r"The column town of .* 'Rome'.*data\.columns=\[a,b\]"),
        (unlabelled_row, r"1 of the 30 labels of label of .* are missing\. .*data\.target=\[FILE,OTHER_FILE\]"),
        (lambda frame: "a,a,label\n1,2,cat\n3,4,dog\n", "several columns called a"),
        (lambda frame: "", "cannot be read as a table"),
        (lambda frame: "label\ncat\ndog\n", "has no numbers"),
        (lambda frame: "a,b,label\n", "has no rows, only the names of columns"),
        (lambda frame: frame.assign(b=1e300).to_csv(index=False), r"has 1e\+300 in row 0 of the column b, too large for 32 bits"),
        (
            lambda frame: frame.assign(b=1.6e12 + frame.index).to_csv(index=False),
            r"in the column b, too close together .* Subtract 1600000000000 ",
        ),
        (lambda frame: frame.assign(b=["1.5"] * 29 + ["?"]).to_csv(index=False), r"but '\?' in row 29\. .*data\.columns=\[a\]"),
        (lambda frame: frame.to_csv(index=False, header=False), r"first line must have the names of the columns, but has 0\.\d+"),
        (lambda frame: frame.to_csv(index=False).encode("utf-16"), "it is not in UTF-8"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        read(damaged(tmp_path, change))


@pytest.mark.parametrize(
    "text",
    [
        rows().to_csv(),
        rows().rename_axis("Unnamed: 0").to_csv(),
        rows().to_csv(index=False, lineterminator=",\n"),
        rows().to_csv(index=False, lineterminator="\r\n"),
        rows().to_csv(index=False, quoting=1),
        rows().to_csv(index=False).replace(",", ", "),
    ],
)
@pytest.mark.parametrize("name", ["rows.csv", "ROWS.CSV"])
def test_row_numbers_and_empty_columns_are_no_inputs(tmp_path, text, name):
    (tmp_path / name).write_text(text)
    table = read(tmp_path / name)
    assert (table.columns, table.labels) == (["a", "b"], rows()["label"].tolist())


def test_whole_numbers_that_32_bits_hold_may_be_close_together(tmp_path):
    rows(b=[100_001 + row for row in range(30)]).to_csv(tmp_path / "rows.csv", index=False)
    assert read(tmp_path / "rows.csv").values[:, 1].tolist() == [100_001 + row for row in range(30)]


def test_a_column_of_lists_has_a_number_for_each_input(tmp_path):
    values = rows()[["a", "b"]].to_numpy()
    pandas.DataFrame({"text": "x", "embedding": list(values), "label": rows()["label"]}).to_parquet(tmp_path / "rows.parquet")
    table = read(tmp_path / "rows.parquet", columns=["embedding"])
    assert (table.columns, table.unused) == (["embedding[0]", "embedding[1]"], ["text"])
    assert torch.equal(table.values, torch.from_numpy(values.astype(np.float32)))
    # As predictions name them.
    assert torch.equal(read(tmp_path / "rows.parquet", columns=table.columns).values, table.values)


def test_numbers_of_all_types_of_parquet_are_read(tmp_path):
    types = {
        "a": pandas.array([1, 2, 3], dtype="Int64"),
        "b": [Decimal("1.5")] * 3,
        "c": pandas.array([True, False, True], dtype="boolean"),
    }
    pandas.DataFrame(types).to_parquet(tmp_path / "rows.parquet")
    assert read(tmp_path / "rows.parquet").values.tolist() == [[1, 1.5, 1], [2, 1.5, 0], [3, 1.5, 1]]
    pandas.DataFrame({"a": pandas.array([1, None, 3], dtype="Int64")}).to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(DataError, match="1 values that are missing or infinite, the first in row 1 of the column a"):
        read(tmp_path / "rows.parquet")


def test_a_target_with_an_empty_column_of_classes_is_unlabelled(tmp_path, caplog):
    rows().to_csv(tmp_path / "source.csv", index=False)
    rows(label="").to_csv(tmp_path / "target.csv", index=False)
    rows(kind="x").drop(columns="label").to_csv(tmp_path / "other.csv", index=False)
    places = {name: str(tmp_path / f"{name}.csv") for name in ("source", "target", "other")}
    assert VectorTables(source=places["source"], target=places["target"]).read().target.test.labels is None
    with pytest.raises(DataError, match=r"has no column label, or nothing in it.* It has a, b\. "):
        VectorTables(source=places["target"]).read()
    with caplog.at_level("INFO"):
        assert VectorTables(source=places["source"], target=places["other"]).read().target.test.labels is None
    assert "not used: kind. None is called label" in caplog.text


def test_rows_of_other_widths_and_names_of_columns_that_arrays_lack_are_refused(tmp_path):
    for name, width in (("source", 4), ("target", 3)):
        np.savez(tmp_path / f"{name}.npz", X=np.random.default_rng(0).normal(size=(30, width)), y=np.arange(30) % 3)
    source, target = (str(tmp_path / f"{name}.npz") for name in ("source", "target"))
    with pytest.raises(DataError, match=r"target\.npz has rows of 3 numbers, but all must have 4"):
        VectorTables(source=source, target=target).read()
    for key in ("columns", "split", "group"):
        with pytest.raises(ConfigError, match=f"without names of columns, so leave data.{key} out"):
            VectorTables(source=source, **{key: ["a"] if key == "columns" else "a"})


def test_data_frames_are_read_by_the_names_of_their_columns():
    frame, kind = rows(), Vectors(width=2, columns=["a", "b"])
    expected = kind.read(frame[["a", "b"]].to_numpy()).values
    assert torch.equal(kind.read(frame[["b", "label", "a"]]).values, expected)
    assert torch.equal(Vectors(width=2).read(frame).values, expected)
    with pytest.raises(DataError, match=r"lacks the columns a\. It has b, label"):
        kind.read(frame[["b", "label"]])


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.ones((2, 2)) * 1j, "not rows of numbers"),
        ([[1, np.nan]], "missing or infinite, the first in row 0 of column 1"),
        (np.full((1, 2), 1e300), "too large for 32 bits"),
        (np.ones((2, 3)), r"have the shape \(2, 3\)\. Give vectors of 2 numbers"),
        ("", "is a folder"),
    ],
)
def test_inputs_that_are_no_vectors_are_refused(inputs, message):
    with pytest.raises(DataError, match=message):
        Vectors(width=2).read(inputs)


def test_tensors_with_a_gradient_are_read():
    assert Vectors(width=2).read(torch.ones(1, 2, requires_grad=True)).values.tolist() == [[1, 1]]


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
