"""Runs with several sources and targets, for every kind of data that is named by paths."""

import csv

import numpy as np
import pytest
import torch
from small_runs import PHOTOGRAPHED, assert_stop_changes_nothing, build_method, compose, rotating_blobs, rotating_clouds, write_photographs

import acclimate
from acclimate.data.leakage import find_leaks
from acclimate.training import run
from acclimate.training.figures.samples import random_inputs, random_samples

ONE_EPOCH = ("trainer.max_epochs=1", "data.num_workers=0")
NAMES = ("cam 1", "cam #2", "dark", "light")


def write(folder, kind):
    """Write four domains of a kind of data and return the options that name two sources and two targets."""
    paths = []
    for number, name in enumerate(NAMES):
        if kind in ("image_folder", "table"):
            write_photographs(folder / name, seed=number, number=8)
            paths.append(folder / name)
        elif kind == "arrays":
            images, labels = rotating_blobs(30, degrees=10 * number, seed=number)
            paths.append(folder / f"{name}.npz")
            np.savez(paths[-1], x=images, y=labels)
        else:
            values, labels = rotating_clouds(30, degrees=10 * number, seed=number)
            paths.append(folder / f"{name}.csv")
            rows = [",".join([*map(str, row), PHOTOGRAPHED[label]]) for row, label in zip(values, labels, strict=True)]
            paths[-1].write_text("\n".join(["a,b,c,d,label", *rows, ""]))
    if kind == "table":
        for place, path in enumerate(paths):
            rows = [f"{name}/{one}/{number}.png,{one}" for name in [path.name] for one in PHOTOGRAPHED for number in range(8)]
            paths[place] = folder / f"{path.name}.csv"
            paths[place].write_text("\n".join(["path,label", *rows, ""]))
    quoted = [f"'{path}'" for path in paths]
    return [f"data={kind}", f"data.source=[{','.join(quoted[:2])}]", f"data.target=[{','.join(quoted[2:])}]"]


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    return write(tmp_path_factory.mktemp("arrays"), "arrays")


@pytest.mark.parametrize("kind", ["image_folder", "table", "arrays", "vectors"])
def test_every_sample_and_every_accuracy_tells_its_domain(tmp_path, kind, caplog):
    caplog.set_level("INFO")
    metrics = run.train(compose(tmp_path / "run", *write(tmp_path, kind), "method=dann", *ONE_EPOCH))
    for domain, names in (("source", NAMES[:2]), ("target", NAMES[2:])):
        with (tmp_path / "run" / "test_predictions.csv").open() as file:
            rows = [row for row in csv.DictReader(file) if row["domain"].startswith(domain)]
        assert {row["domain"] for row in rows} == {f"{domain}/{name}" for name in names}
        correct = {name: [row["label"] == row["prediction"] for row in rows if row["domain"] == f"{domain}/{name}"] for name in names}
        for name in names:
            assert metrics[f"{domain}/{name}/test_accuracy"] == pytest.approx(np.mean(correct[name]))
        assert metrics[f"{domain}/test_accuracy"] == pytest.approx(np.mean(np.concatenate(list(correct.values()))))
        assert all(f"\n  {name}" in "\n" + "\n".join(caplog.messages) for name in names)
        with (tmp_path / "run" / "parts.csv").open() as file:
            parts = {row["sample"]: row["domain"] for row in csv.DictReader(file)}
        assert all(parts[row["sample"]] == row["domain"] for row in rows)
        assert all(name in sample for sample, domain_name in parts.items() for name in [domain_name.partition("/")[2]])
    assert {f"source/{name}/val_accuracy" for name in NAMES[:2]} <= metrics.keys()
    with (tmp_path / "run" / "per_class.csv").open() as file:
        totals = {row["domain"]: float(row["accuracy"]) for row in csv.DictReader(file) if not row["class"]}
    tested = {key.removesuffix("/test_accuracy"): value for key, value in metrics.items() if key.endswith("/test_accuracy")}
    assert totals == pytest.approx(tested, abs=1e-6)
    again = acclimate.evaluate(tmp_path / "run")
    assert {key: value for key, value in again.items() if "accuracy" in key} == {
        key: value for key, value in metrics.items() if "accuracy" in key
    }


def test_a_single_place_has_the_metrics_that_it_had(tmp_path, arrays):
    (tmp_path / "one").mkdir()
    options = [text if "=[" not in text else text.split(",")[0].replace("[", "") for text in arrays]
    metrics = run.train(compose(tmp_path / "run", *options, "method=source_only", *ONE_EPOCH))
    assert [key for key in metrics if "accuracy" in key and not key.startswith("score/")] == [
        "source/val_accuracy",
        "source/test_accuracy",
        "target/test_accuracy",
    ]
    assert build_method(compose(tmp_path / "x", *options, "method=dann"))[1].source.domains is None


@pytest.mark.parametrize("options", [(), ("data.domain_sampling=balanced", "data.source_sampling=balanced")])
def test_a_run_with_several_places_resumes_exactly(tmp_path, arrays, options):
    assert_stop_changes_nothing(tmp_path, *arrays, "method=dann", "trainer.max_epochs=2", *options, batches=9)


def test_the_domain_of_each_sample_reaches_the_method(tmp_path, arrays):
    parts, batch = build_method(
        compose(tmp_path, *arrays, "method=dann", "data.domain_sampling=balanced", "data.target_labels_per_class=1")
    )
    assert batch.source.domains.bincount().tolist() == [2, 2] and batch.target.domains.bincount().max() <= 2
    target = parts.data.domains.target.train
    assert torch.equal(batch.target.domains, target.domains[batch.target.samples])
    source, target, few = parts.method.passes(batch)
    assert torch.equal(source.domains, batch.source.domains) and torch.equal(target.domains, batch.target.domains)
    assert torch.equal(few.domains, batch.target_labelled.domains)
    # Pictures show as many of each.
    train = parts.data.domains.source.train
    shown = random_samples(train, 4)
    assert len(set(shown)) == 4 and train.domains[shown].bincount().tolist() == [2, 2]
    assert torch.equal(random_inputs(parts.data, 4)["source"], parts.data.kind.view("plain").look(train.load(shown), []))


def test_features_of_a_frozen_backbone_are_kept_for_several_places(tmp_path, arrays):
    options = ("method=dann", "model.freeze=backbone", *ONE_EPOCH)
    accuracies = []
    for cache in ("disk", "none"):
        metrics = run.train(compose(tmp_path / cache, *arrays, *options, f"data.feature_cache={cache}"))
        accuracies.append({key: value for key, value in metrics.items() if key.endswith("test_accuracy")})
    assert accuracies[0] == accuracies[1] and len(accuracies[0]) == 6


def test_other_targets_are_evaluated_and_seen_ones_are_refused(tmp_path, arrays):
    sources = next(text for text in arrays if text.startswith("data.source"))
    single = [*arrays[:2], arrays[2].partition(",")[0].replace("[", "")]
    run.train(compose(tmp_path / "run", *single, "method=source_only", *ONE_EPOCH))
    metrics = acclimate.evaluate(tmp_path / "run", [arrays[2]])
    assert {key for key in metrics if key.startswith("target/")} == {f"target/{name}test_accuracy" for name in ("", "dark/", "light/")}
    with pytest.raises(acclimate.errors.DataError, match="has seen inputs"):
        acclimate.evaluate(tmp_path / "run", [sources.replace("source", "target")])
    with pytest.raises(acclimate.errors.ConfigError, match=r"data\.source and data\.target both name .*cam #2"):
        both = [arrays[1], f"data.target=[{arrays[1].partition(',')[2]}"]
        run.train(compose(tmp_path / "same", "data=arrays", *both, "method=dann", *ONE_EPOCH))


def test_one_of_several_targets_may_have_no_labels(tmp_path):
    options = write(tmp_path, "image_folder")
    for number, image in enumerate(sorted((tmp_path / "light").rglob("*.png"))):
        image.rename(tmp_path / "light" / f"{number}.png")
    for name in PHOTOGRAPHED:
        (tmp_path / "light" / name).rmdir()
    metrics = run.train(compose(tmp_path / "run", *options, "method=dann", "selection=oracle", *ONE_EPOCH))
    assert metrics["target/test_accuracy"] == metrics["target/dark/test_accuracy"]
    assert metrics["target/val_oracle_accuracy"] == metrics["target/dark/val_oracle_accuracy"] == metrics["selection/value"]
    assert not any("light" in key for key in metrics)
    with (tmp_path / "run" / "test_predictions.csv").open() as file:
        known = {(row["domain"], row["label"] != "") for row in csv.DictReader(file)}
    assert known == {("source/cam 1", True), ("source/cam #2", True), ("target/dark", True), ("target/light", False)}


def test_a_division_is_taken_up_by_several_places(tmp_path, arrays):
    run.train(compose(tmp_path / "run", *arrays, "method=source_only", *ONE_EPOCH))
    table = tmp_path / "run" / "parts.csv"
    parts, _ = build_method(compose(tmp_path / "again", *arrays, f"data.parts={table}", "data.split_seed=5", "method=source_only"))
    with table.open() as file:
        rows = {(row["sample"], row["part"]) for row in csv.DictReader(file)}
    found = {
        (samples.name(index), part)
        for domain in (parts.data.domains.source, parts.data.domains.target)
        for part, samples in domain._asdict().items()
        for index in range(len(samples))
    }
    assert found == rows
    assert find_leaks(parts.data.domains, parts.seen) == []


def test_a_missing_place_in_a_list_is_named(tmp_path, acclimate):
    (tmp_path / "a").mkdir()
    code, message = acclimate("train", "data=image_folder", "data.source=[a,cam #2]", "data.target=[a]")
    assert code == 2 and "cam #2 is not a folder" in message
    assert "data.source" in message
