"""Parts of one's own data: groups, folds, and the table of parts that a run leaves."""

import csv
import json
from collections import defaultdict

import pandas
import pytest
import torch
from small_runs import compose, write_photographs

from acclimate.data.images.image_folder import ImageFolder
from acclimate.data.images.image_table import ImageTable
from acclimate.data.splitting import Fold, split
from acclimate.data.vectors.vector_tables import VectorTables
from acclimate.errors import ConfigError, DataError
from acclimate.training import run

DIGESTS = torch.arange(60)
LABELS = torch.arange(60) % 3


def names_of(parts):
    return [{part.name(index) for index in range(len(part))} for part in parts if part is not None]


def test_groups_stay_in_one_part():
    groups = [f"patient {index // 5}" for index in range(60)]
    parts = split(DIGESTS, LABELS, fractions=[0.2, 0.2], seed=0, what="x", groups=groups)
    assert sorted(index for part in parts for index in part) == list(range(60))
    found = [{groups[index] for index in part} for part in parts]
    assert not found[0] & found[1] and not found[0] & found[2] and not found[1] & found[2]


def test_copies_join_the_groups_that_they_are_in():
    digests = torch.arange(60)
    digests[5] = digests[0]
    groups = [f"patient {index // 5}" for index in range(60)]
    parts = split(digests, None, fractions=[0.2, 0.2], seed=0, what="x", groups=groups)
    (together,) = {tuple(number for number, part in enumerate(parts) if set(range(10)) & set(part)) for _ in range(1)}
    assert len(together) == 1


@pytest.mark.parametrize("labels", [LABELS, None])
def test_every_sample_is_tested_in_one_fold(labels):
    tested = []
    for number in range(5):
        train, val, test = split(DIGESTS, labels, fractions=[0.2, 0.2], seed=0, what="x", fold=Fold(number, 5))
        assert sorted([*train, *val, *test]) == list(range(60))
        assert len(test) == 12
        tested += test
    assert sorted(tested) == list(range(60))


@pytest.fixture
def photographs(tmp_path):
    write_photographs(tmp_path / "photos", number=12)
    for path in list((tmp_path / "photos").rglob("*.png")):
        path.rename(path.with_name(f"patient_{int(path.stem) // 3}_{path.stem}.png"))
    return tmp_path / "photos"


def test_a_group_of_files_is_found_in_their_paths(photographs):
    parts = ImageFolder(source=str(photographs), group=r"(\w+/patient_\d+)_").read().source
    found = [{name.rpartition("_")[0] for name in names} for names in names_of(parts)]
    assert sum(map(len, found)) == len(set().union(*found)) == 12


def test_a_file_without_a_group_is_named(photographs):
    (photographs / "ant" / "patient_0_0.png").rename(photographs / "ant" / "other.png")
    with pytest.raises(DataError, match=r"35 of the 36 samples .* not of .*other\.png"):
        ImageFolder(source=str(photographs), group=r"patient_(\d+)").read()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"group": "("}, "data.group=( is not a regular expression"),
        ({"fold": 1}, "Say of how many, such as data.folds=5"),
        ({"folds": 3, "fold": 3}, "numbered from 0 to 2"),
        ({"folds": 3, "parts": "x.csv"}, "Leave one of them out"),
        ({"parts": "x.csv"}, "data.parts=x.csv cannot be read"),
    ],
)
def test_keys_that_make_no_division_are_refused(photographs, keys, message):
    with pytest.raises(ConfigError) as refused:
        ImageFolder(source=str(photographs), **keys).read()
    assert message in str(refused.value)


def test_folds_of_data_with_a_test_part_are_refused(photographs, tmp_path):
    for part in ("train", "test"):
        write_photographs(tmp_path / "divided" / part, number=4)
    with pytest.raises(ConfigError, match="has a test part of its own"):
        ImageFolder(source=str(tmp_path / "divided"), folds=3).read()


def test_a_run_leaves_its_parts_and_another_takes_them_up(photographs, tmp_path):
    options = ["data=image_folder", f"data.source={photographs}", f"data.target={photographs}", "data.num_workers=0"]
    short = ("trainer.max_epochs=1", "method=source_only")
    run.train(compose(tmp_path / "first", *options, *short, "data.split_seed=3"))
    with (tmp_path / "first" / "parts.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 72
    photographs.rename(tmp_path / "moved")
    moved = [option.replace(str(photographs), str(tmp_path / "moved")) for option in options]
    run.train(compose(tmp_path / "second", *moved, *short, f"data.parts={tmp_path / 'first' / 'parts.csv'}"))
    found = defaultdict(set)
    for name in ("first", "second"):
        with (tmp_path / name / "parts.csv").open() as file:
            found[name] = {(row["digest"], row["domain"], row["part"]) for row in csv.DictReader(file)}
    assert found["first"] == found["second"]


def test_samples_that_the_table_does_not_know_are_counted(photographs, tmp_path):
    (tmp_path / "parts.csv").write_text("sample,domain,part,group,digest\n")
    with pytest.raises(DataError, match=r"does not say in which part 36 of the 36 samples .* are"):
        ImageFolder(source=str(photographs), parts=str(tmp_path / "parts.csv")).read()


def test_predictions_of_the_test_are_written_by_input(photographs, tmp_path):
    options = ["data=image_folder", f"data.source={photographs}", f"data.target={photographs}", "data.num_workers=0"]
    run.train(compose(tmp_path / "run", *options, "trainer.max_epochs=1", "method=source_only"))
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    with (tmp_path / "run" / "test_predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    for domain in ("source", "target"):
        own = [row for row in rows if row["domain"] == domain]
        assert sum(row["label"] == row["prediction"] for row in own) / len(own) == pytest.approx(metrics[f"{domain}/test_accuracy"])
        assert all(row["label"] in row["sample"] for row in own)
        assert all(abs(sum(float(row[f"p({name})"]) for name in ("ant", "bee", "owl")) - 1) < 1e-4 for row in own)


def table_of(photographs, tmp_path, **columns):
    paths = sorted(photographs.rglob("*.png"))
    frame = pandas.DataFrame({"path": [str(path.relative_to(tmp_path)) for path in paths], "label": [path.parent.name for path in paths]})
    for name, values in columns.items():
        frame[name] = values(paths)
    frame.to_csv(tmp_path / "images.csv", index=False)
    return str(tmp_path / "images.csv")


def test_a_table_of_images_has_the_division_of_their_folder(photographs, tmp_path):
    listed = ImageTable(source=table_of(photographs, tmp_path)).read()
    folder = ImageFolder(source=str(photographs)).read()
    assert listed.classes == folder.classes
    assert names_of(listed.source) == names_of(folder.source)
    assert [part.labels.tolist() for part in listed.source] == [part.labels.tolist() for part in folder.source]


def test_a_table_may_say_the_parts_and_groups(photographs, tmp_path):
    parts = {"0": "val", "1": "test"}
    source = table_of(
        photographs,
        tmp_path,
        split=lambda paths: [parts.get(path.stem.split("_")[1], "train") for path in paths],
        who=lambda paths: [path.stem.split("_")[1] for path in paths],
    )
    divided = ImageTable(source=source, split="split").read().source
    assert [len(part) for part in divided] == [18, 9, 9]
    grouped = ImageTable(source=source, group="who").read().source
    assert sum(len({name.split("patient_")[1][0] for name in names}) for names in names_of(grouped)) == 4


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"path": "file"}, "has no column file, which data.path names. It has path, label. Type data.path=COLUMN."),
        ({"label": "kind"}, "has no column kind, which data.label names"),
        ({"split": "part"}, "has no column part, which data.split names"),
        ({"group": "who"}, "has no column who, which data.group names"),
    ],
)
def test_columns_that_are_not_there_are_named(photographs, tmp_path, keys, message):
    with pytest.raises(DataError) as refused:
        ImageTable(source=table_of(photographs, tmp_path), **keys).read()
    assert message in str(refused.value)


def test_listed_files_that_are_not_there_are_counted(photographs, tmp_path):
    source = table_of(photographs, tmp_path)
    next(photographs.rglob("*.png")).unlink()
    with pytest.raises(DataError, match=r"1 of the 36 images that .* lists do not exist, such as photos"):
        ImageTable(source=source).read()


def test_a_table_of_images_trains(photographs, tmp_path):
    source = table_of(photographs, tmp_path)
    pandas.read_csv(source).drop(columns="label").to_parquet(tmp_path / "target.parquet")
    options = ["data=table", f"data.source={source}", f"data.target={tmp_path / 'target.parquet'}", "data.num_workers=0"]
    metrics = run.train(compose(tmp_path / "run", *options, "method=dann", "trainer.max_epochs=1"))
    assert "source/test_accuracy" in metrics and "target/test_accuracy" not in metrics


def test_rows_of_a_table_of_vectors_stay_with_their_group(tmp_path):
    generator = torch.Generator().manual_seed(0)
    frame = pandas.DataFrame(torch.randn(60, 3, generator=generator).numpy(), columns=["a", "b", "c"])
    frame["label"] = [("cat", "dog")[row % 2] for row in range(60)]
    frame["who"] = [f"patient {row // 6}" for row in range(60)]
    frame.to_csv(tmp_path / "rows.csv", index=False)
    data = VectorTables(source=str(tmp_path / "rows.csv"), group="who")
    parts = data.domains.source
    found = [{data.group_of(name) for name in names} for names in names_of(parts)]
    assert sum(map(len, found)) == 10
    assert data.input_spec().width == 3
