"""Tables of numbers go through every method that needs no pictures, every selection and every verb."""

import csv
import json
import logging

import numpy as np
import pytest
import torch
from small_runs import ADAPTS, METHODS, assert_stop_changes_nothing, compose, differences, trained_state, write_archives, write_tables

import acclimate as package
from acclimate.config.groups import group_options
from acclimate.errors import ConfigError, DataError
from acclimate.inputs import Features
from acclimate.training import assembly, run

RANDOM = ("data.source_view=noise", "data.target_views=[noise]", "model.dropout=0.3")
OF_PICTURES = ["rotation"]
TWO_EPOCHS = "trainer.max_epochs=2"


@pytest.fixture(scope="module")
def trained(tables, tmp_path_factory):
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("trained")
    run.train(compose(folder, *tables, "method=dann", TWO_EPOCHS))
    return folder


# One of each kind: aligned, taking turns, with terms, without a target, without a source, with a network of its own.
KINDS = ("dann", "mcd", "dann_mcc_fixmatch", "fine_tune", "shot", "co_tuning")
WITH_A_STOP = [pytest.param(method, marks=() if method in KINDS else pytest.mark.slow) for method in METHODS if method not in OF_PICTURES]


@pytest.mark.parametrize("method", [method for method in METHODS if method not in (*OF_PICTURES, *KINDS)])
def test_every_method_trains(tables, tmp_path, method):
    run.train(compose(tmp_path, *tables, *RANDOM, f"method={method}", "trainer.max_epochs=1"))


@pytest.mark.parametrize("method", WITH_A_STOP)
def test_every_method_trains_and_a_stop_changes_nothing(tables, tmp_path, method):
    assert_stop_changes_nothing(tmp_path, *tables, *RANDOM, f"method={method}", TWO_EPOCHS, batches=4)


@pytest.mark.parametrize("option", ["method=rotation", "method.cutmix=1.0"])
def test_what_needs_pictures_is_refused_before_training(tables, tmp_path, acclimate, option):
    names = [option] if option.startswith("method=") else ["method=dann", option]
    code, message = acclimate("train", *tables, *names, "logger=none", "trainer=cpu", "hydra.run.dir=run")
    assert (code, "needs images, but the data contains vectors" in message) == (2, True)
    assert not list(tmp_path.rglob("*.ckpt"))


@pytest.mark.parametrize("method", ["fine_tune", "stoch_norm", "mcc"])
def test_a_single_vector_in_a_batch_has_no_statistics_for_batch_norm(tables, tmp_path, method):
    small = (*tables, f"method={method}", "model.bottleneck=null", "data.batch_size=1", "data.target_batch_size=2")
    with pytest.raises(ConfigError, match=r"data\.batch_size=1 is too small for this method or this model\. Use data\.batch_size=2"):
        assembly.build(compose(tmp_path, *small))
    assembly.build(compose(tmp_path, *small, "data.batch_size=2"))


def test_without_a_source_the_size_of_its_batches_does_not_matter(tables, trained, tmp_path):
    assembly.build(compose(tmp_path, *tables, "method=shot", f"init_from={trained}", "data.batch_size=1", "data.target_batch_size=2"))


@pytest.mark.parametrize("method", ["l2_sp", "delta"])
def test_a_backbone_without_weights_has_no_start_to_stay_near(tables, tmp_path, method):
    with pytest.raises(ConfigError, match=r"the backbone has no weights\. Use method=fine_tune"):
        assembly.build(compose(tmp_path, *tables, "model.backbone.widths=[]", f"method={method}"))
    assembly.build(compose(tmp_path, *tables, "model.backbone.widths=[]", "method=fine_tune"))


@pytest.mark.parametrize("selection", group_options("selection"))
def test_every_selection_selects(tables, tmp_path, selection):
    metrics = run.train(compose(tmp_path, *tables, "method=dann", f"selection={selection}", TWO_EPOCHS))
    assert np.isfinite(metrics["selection/value"])


def accuracy(folder, tables, *overrides):
    return run.train(compose(folder, *tables, *ADAPTS, "model.backbone.widths=[32]", *overrides))["target/test_accuracy"]


@pytest.mark.parametrize("method", ["dann", "dann_mcc_fixmatch", "shot"])
def test_adaptation_repairs_a_shift_of_the_numbers(tmp_path, method):
    tables = write_tables(tmp_path, num_source=400, num_target=400, degrees=45)
    source_only = accuracy(tmp_path / "source_only", tables, "method=source_only")
    assert 0.5 < source_only < 0.92
    assert accuracy(tmp_path / "adapted", tables, f"method={method}") >= source_only + 0.05


def rows_of(file):
    with file.open() as table:
        return list(csv.DictReader(table))


def test_predictions_go_by_the_names_of_the_columns(trained, tables, tmp_path, acclimate):
    """Another order, further columns and no labels change nothing; the path, the array and the table give the same."""
    target = next(text for text in tables if text.startswith("data.target=")).partition("=")[2]
    with open(target) as file:
        rows = list(csv.DictReader(file))
    with (tmp_path / "other.csv").open("w", newline="") as file:
        names = ["sway", "note", "hum", "load", "heat"]
        writer = csv.DictWriter(file, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows({**row, "note": "text"} for row in rows)
    for inputs in (target, "other.csv"):
        assert acclimate("predict", f"run={trained}", f"inputs={inputs}", f"out={inputs.rpartition('/')[2]}.out.csv") == (0, "")
    expected = rows_of(tmp_path / "target.csv.out.csv")
    assert rows_of(tmp_path / "other.csv.out.csv") == expected
    assert [row["input"] for row in expected] == [str(row) for row in range(len(rows))]
    model = package.load(trained)
    found = model.predict(np.array([[row[name] for name in ("heat", "load", "hum", "sway")] for row in rows], dtype=float))
    assert found.labels == [row["label"] for row in expected]
    assert model.predict(target).labels == found.labels
    code, message = acclimate("predict", f"run={trained}", "inputs=other.csv", "out=./other.csv")
    assert (code, "out=other.csv is one of the inputs, which it would replace. Name another file" in message) == (2, True)
    (tmp_path / "lacking.csv").write_text("heat,hum\n1,2\n")
    code, message = acclimate("predict", f"run={trained}", "inputs=lacking.csv", "out=out.csv")
    assert (code, "lacking.csv lacks the columns load, sway. It has heat, hum." in message) == (2, True)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        pytest.param(np.zeros((2, 3)), r"The inputs have the shape \(2, 3\). Give vectors of 4 numbers.", id="another width"),
        pytest.param([["a", "b"]], "The inputs are not rows of numbers", id="text"),
        pytest.param(np.zeros((0, 4)), "There are no inputs", id="none"),
        pytest.param([[0, 0, 0, float("nan")]], r"The prediction for inputs\[0\] is not finite|missing or infinite", id="a missing value"),
    ],
)
def test_a_predictor_refuses_other_inputs(trained, inputs, message):
    with pytest.raises(package.errors.UserError, match=message):
        package.load(trained).predict(inputs)


def test_a_loaded_model_takes_one_vector_tensors_and_lists(trained):
    model = package.load(trained)
    expected = model.predict(np.ones((1, 4))).probabilities
    for inputs in (np.ones(4), torch.ones(4), [1, 1, 1, 1], [[1.0, 1, 1, 1]], torch.ones(1, 4, dtype=torch.float64)):
        assert torch.equal(model.predict(inputs).probabilities, expected)


def test_evaluate_finds_the_same_accuracies_on_the_same_data_and_refuses_another_kind(trained, tables, tmp_path, acclimate):
    metrics = json.loads((trained / "metrics.json").read_text())
    assert package.evaluate(trained)["target/test_accuracy"] == metrics["target/test_accuracy"]
    images = write_archives(tmp_path)
    code, message = acclimate("evaluate", f"run={trained}", *images)
    assert (code, "The data contains images, but the model was trained on vectors" in message) == (2, True), message


def test_a_run_on_images_refuses_tables(archives, tables, tmp_path, acclimate):
    run.train(compose(tmp_path / "run", *archives, "method=source_only", "trainer.max_epochs=1"))
    code, message = acclimate("evaluate", f"run={tmp_path / 'run'}", *tables)
    assert (code, "The data contains vectors, but the model was trained on images" in message) == (2, True), message


@pytest.mark.parametrize(("data", "model"), [("archives", "mlp"), ("tables", "small_cnn")])
def test_a_model_for_another_kind_is_refused_and_the_one_that_is_advised_works(data, model, request, tmp_path, acclimate):
    words = [*request.getfixturevalue(data), "method=source_only", "logger=none", "trainer=smoke", "hydra.run.dir=run"]
    code, message = acclimate("train", *words, f"model={model}")
    assert (code, f"{model} does not accept" in message) == (2, True)
    advised = message.rpartition("model=")[2].split(".")[0].strip()
    assert acclimate("train", *words, f"model={advised}") == (0, "")


def test_rank_and_chain_take_tables(tables, tmp_path, acclimate):
    assert acclimate("rank", *tables, "model=mlp", "data.target=null") == (0, "")
    stages = ["first.method=simclr", "second.method=dann", "trainer=smoke", "logger=none", "data.batch_size=8", "hydra.run.dir=chain"]
    assert acclimate("chain", *tables, *stages) == (0, "")


def test_self_supervised_and_source_free_runs_start_from_others(tables, tmp_path):
    run.train(compose(tmp_path / "first", *tables, "method=simclr", TWO_EPOCHS))
    run.train(compose(tmp_path / "second", *tables, "method=dann", TWO_EPOCHS, f"init_from={tmp_path / 'first'}"))
    # The source need not be there any more, and the columns are those of the model.
    run.train(compose(tmp_path / "third", *tables, "method=shot", TWO_EPOCHS, f"init_from={tmp_path / 'second'}", "data.source=null"))
    kept = torch.load(tmp_path / "third" / "checkpoints" / "best.ckpt", weights_only=True)["inputs"]
    assert kept["columns"] == ["heat", "load", "hum", "sway"]


@pytest.mark.parametrize("views", ["null", "2"])
def test_features_of_a_frozen_backbone_are_kept(tables, tmp_path, caplog, views):
    """A second run, of another seed, computes none: with views that are not random, or with a fixed number of them."""
    random = () if views == "null" else RANDOM[:2]
    for seed in (1, 2):
        caplog.clear()
        with caplog.at_level(logging.INFO):
            options = ("method=dann", "model.freeze=backbone", f"data.fixed_views={views}", *random)
            # The same random weights for each seed.
            weights = f"init_from={tmp_path / 'first'}"
            if seed == 1:
                run.train(compose(tmp_path / "first", *tables, "method=source_only", "trainer.max_epochs=1"))
            parts = assembly.build(compose(tmp_path / "frozen", *tables, *options, weights, f"seed={seed}"))
            parts.trainer.fit(parts.method, parts.data)
        assert ("Computing once" in caplog.text) == (seed == 1)
    batch = next(iter(parts.data.train_dataloader()))
    assert isinstance(batch.source.inputs, Features)


TAMPER = {"nothing": lambda labels: labels, "shuffle": lambda labels: labels[1:] + labels[:1], "remove": lambda labels: None}


@pytest.mark.parametrize("method", ["dann", "dann_mcc_fixmatch", "shot"])
def test_target_labels_change_neither_division_nor_weights_nor_selection(tmp_path, method):
    """Shuffled, removed, and with the rows in another order."""
    found = {}
    for name, tamper in TAMPER.items():
        folder = tmp_path / name
        folder.mkdir()
        tables = write_tables(tmp_path)
        target = tmp_path / "target.csv"
        header, *rows = target.read_text().splitlines()
        values, labels = zip(*(row.rsplit(",", 1) for row in rows), strict=True)
        changed = tamper(list(labels))
        lines = list(values) if changed is None else [f"{row},{label}" for row, label in zip(values, changed, strict=True)]
        head = header.removesuffix(",label") if changed is None else header
        target.write_text("\n".join([head, *(lines if name == "nothing" else reversed(lines))]))
        start = {"shot": (f"init_from={tmp_path / 'start'}",)}.get(method, ())
        if start and name == "nothing":
            run.train(compose(tmp_path / "start", *tables, "method=source_only", "trainer.max_epochs=1"))
        metrics = run.train(compose(folder, *tables, f"method={method}", *start, TWO_EPOCHS))
        kept = {key: value for key, value in metrics.items() if key.startswith("selection/")}
        found[name] = kept, trained_state(folder), trained_state(folder, "best.ckpt")
        assert ("target/test_accuracy" in metrics) == (name != "remove")
    for name in ("shuffle", "remove"):
        assert differences(found["nothing"], found[name]) == [], name


def test_few_labels_of_the_target_train(tables, tmp_path):
    metrics = run.train(compose(tmp_path, *tables, "method=dann", "data.target_labels_per_class=2", "method.mixup=0.4", TWO_EPOCHS))
    assert metrics["train/steps"] > 0


def test_pictures_of_a_run_are_drawn(tables, tmp_path):
    config = compose(tmp_path, *tables, "method=dann", "trainer.max_epochs=1")
    pictures = {"_target_": "acclimate.training.callbacks.pictures.Pictures", "folder": str(tmp_path)}
    run.train({**config, "callbacks": {**config["callbacks"], "pictures": pictures}})
    assert (tmp_path / "samples.png").stat().st_size > 1000


def test_a_wrong_width_and_unnamed_columns_are_refused(trained, tmp_path, acclimate):
    np.savez(tmp_path / "wide.npz", x=np.zeros((2, 5)))
    code, message = acclimate("predict", f"run={trained}", "inputs=wide.npz", "out=out.csv")
    assert (code, "wide.npz has vectors of 5 numbers, but the model was trained on 4" in message) == (2, True)


def test_views_of_another_kind_are_refused(tables, tmp_path):
    with pytest.raises((ConfigError, DataError), match="crop_flip"):
        run.train(compose(tmp_path, *tables, "data.source_view=crop_flip", "method=dann"))
