"""Self-supervised methods train features of both domains without a label, and claim nothing about predictions."""

import logging

import pytest
import torch
from small_runs import SELF_SUPERVISED, build_method, compose, differences, trained_state

from acclimate.errors import ConfigError
from acclimate.models.classifier import Classifier
from acclimate.runs import checkpoints
from acclimate.training import assembly, evaluation, run
from acclimate.types import Unlabelled

SHORT = ("trainer.max_epochs=2",)
TIMES = ("train/seconds", "train/samples_per_second")


@pytest.fixture(scope="module")
def trained(archives, tmp_path_factory):
    """Folder and metrics of a finished run of each method."""
    finished = {}
    for method in SELF_SUPERVISED:
        folder = tmp_path_factory.mktemp(method)
        config = compose(folder, *archives, f"method={method}", *SHORT)
        config["callbacks"]["pictures"] = {"_target_": "acclimate.training.callbacks.pictures.Pictures", "folder": str(folder)}
        finished[method] = folder, run.train(config)
    return finished


@pytest.mark.parametrize("method", SELF_SUPERVISED)
def test_no_label_of_either_domain_changes_anything(archives, tmp_path, method):
    results = []
    for tamper in ("nothing", "permute", "replace", "remove"):
        options = ("data._target_=small_runs.Tampered", f"data.tamper={tamper}", "data.of_source=true")
        metrics = run.train(compose(tmp_path / tamper, *archives, f"method={method}", *options, *SHORT))
        results.append(({name: value for name, value in metrics.items() if name not in TIMES}, trained_state(tmp_path / tamper)))
    assert all(differences(results[0], result) == [] for result in results[1:])


@pytest.mark.parametrize("method", SELF_SUPERVISED)
def test_no_loader_gives_out_a_label(archives, tmp_path, method):
    parts, batch = build_method(compose(tmp_path, *archives, f"method={method}"))
    assert batch.source.labels.shape == (0,)
    for loader in (*parts.data.val_dataloader(), *parts.data.test_dataloader()):
        assert all(type(batch) is Unlabelled for batch in loader)
    assert parts.data.evaluated_domains("test") == ["source", "target"]


@pytest.mark.parametrize("method", ["simclr", "barlow_twins"])
def test_images_of_both_domains_come_in_two_different_strong_views(archives, tmp_path, method):
    for name, are_equal in (("strong", False), ("plain", True)):
        _, (source, target, _) = build_method(compose(tmp_path, *archives, f"method={method}", f"data.strong_view={name}"))
        assert source.inputs.shape == source.second_view.shape == (4, 3, 16, 16)
        assert [view.shape for view in target.views] == [(3, 3, 16, 16)] * 2
        for first, second in ((source.inputs, source.second_view), target.views):
            assert all(torch.equal(*pair) == are_equal for pair in zip(first, second, strict=True))


@pytest.mark.parametrize("method", SELF_SUPERVISED)
def test_head_is_no_part_of_the_training(archives, tmp_path, trained, method):
    fresh = assembly.build(compose(tmp_path, *archives, f"method={method}")).method.classifier.head
    checkpoint = checkpoints.read_checkpoint(checkpoints.last_checkpoint(trained[method][0]))
    assert torch.equal(checkpoint["state_dict"]["classifier.head.weight"], fresh.weight)


@pytest.mark.parametrize("method", SELF_SUPERVISED)
def test_metrics_say_nothing_of_predictions(trained, method):
    folder, metrics = trained[method]
    assert not any("accuracy" in name for name in metrics)
    assert {name for name in metrics if name.startswith("score/")} == {"score/rankme"}
    assert not (folder / "predictions.npz").exists()
    assert not list(folder.glob("*_confusion.png"))


@pytest.mark.parametrize("method", SELF_SUPERVISED)
def test_no_symptom_is_seen_in_predictions_of_an_untrained_head(archives, tmp_path, caplog, method):
    """This one takes everything for one class."""
    parts = assembly.build(compose(tmp_path, *archives, f"method={method}", "trainer.max_epochs=6"))
    with torch.no_grad():
        parts.method.classifier.head.bias[0] = 100
    with caplog.at_level(logging.WARNING, logger="acclimate"):
        parts.trainer.fit(parts.method, parts.data)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("method", SELF_SUPERVISED)
def test_last_checkpoint_is_selected(trained, method):
    folder, metrics = trained[method]
    assert metrics["selection/name"] == "last"
    assert metrics["selection/step"] == metrics["train/steps"] == 10
    assert differences(trained_state(folder), trained_state(folder, "best.ckpt")) == []


@pytest.mark.parametrize("selection", ["auto", "information", "source_accuracy", "vote", "oracle"])
def test_selection_by_predictions_is_refused(archives, tmp_path, selection):
    with pytest.raises(ConfigError, match=r"needs predictions.*selection=last or selection=rankme"):
        assembly.build(compose(tmp_path, *archives, "method=simclr", f"selection={selection}"))


def test_selection_by_the_rank_of_features_is_taken(archives, tmp_path):
    metrics = run.train(compose(tmp_path, *archives, "method=simclr", "selection=rankme", *SHORT))
    assert metrics["selection/name"] == "rankme"
    assert metrics["selection/value"] == metrics["score/rankme"]


@pytest.mark.parametrize("option", ["method.target_class_weights=estimated", "+terms=mcc", "data.source_sampling=balanced"])
@pytest.mark.parametrize("method", SELF_SUPERVISED)
def test_what_looks_at_predictions_or_labels_is_refused(archives, tmp_path, method, option):
    if option == "+terms=mcc":
        option = "+method.terms={mcc:{_target_:acclimate.losses.target_predictions.minimum_class_confusion,_partial_:true,temperature:2.5}}"
    with pytest.raises(ConfigError, match=r"needs? (predictions|labels)"):
        assembly.build(compose(tmp_path, *archives, f"method={method}", option))


def parameters(classifier: Classifier, *parts: str):
    return {name: value for name, value in classifier.state_dict().items() if name.startswith(parts)}


@pytest.mark.parametrize("method", SELF_SUPERVISED)
def test_next_run_takes_the_features_and_the_head_that_it_would_have_had_alone(archives, tmp_path, trained, method):
    options = (*archives, "method=dann", "seed=3")
    alone = assembly.build(compose(tmp_path, *options)).method.classifier
    after = assembly.build(compose(tmp_path, *options, f"init_from={trained[method][0]}")).method.classifier
    origin = checkpoints.read_checkpoint(checkpoints.best_checkpoint(trained[method][0]))["state_dict"]
    features = {name: origin[f"classifier.{name}"] for name in parameters(after, "backbone.", "bottleneck.")}
    assert differences(features, parameters(after, "backbone.", "bottleneck.")) == []
    assert differences(parameters(alone, "head."), parameters(after, "head.")) == []
    assert not torch.equal(after.head.weight, origin["classifier.head.weight"])


def test_head_of_the_run_after_it_is_kept_by_what_follows(archives, tmp_path, trained):
    run.train(compose(tmp_path / "second", *archives, "method=dann", f"init_from={trained['simclr'][0]}", *SHORT))
    third = assembly.build(compose(tmp_path / "third", *archives, "method=shot", f"init_from={tmp_path / 'second'}"))
    second = checkpoints.read_checkpoint(checkpoints.best_checkpoint(tmp_path / "second"))["state_dict"]
    assert torch.equal(third.method.classifier.head.weight, second["classifier.head.weight"])


def test_untrained_head_is_neither_adapted_nor_asked_for_predictions(archives, tmp_path, trained):
    folder, _ = trained["rotation"]
    message = r"Rotation has trained features without labels, and no head.*method=dann init_from=RUN"
    with pytest.raises(ConfigError, match=message):
        assembly.build(compose(tmp_path, *archives, "method=shot", f"init_from={folder}"))
    with pytest.raises(ConfigError, match=message):
        checkpoints.rebuild_classifier(checkpoints.read_checkpoint(checkpoints.best_checkpoint(folder)))


def test_evaluation_measures_the_features_again(trained):
    folder, expected = trained["barlow_twins"]
    checkpoint = checkpoints.read_checkpoint(checkpoints.best_checkpoint(folder))
    del checkpoint["config"]["trainer"]["enable_progress_bar"]
    found = evaluation.evaluate(checkpoint["config"], checkpoint)
    assert found["score/rankme"] == expected["score/rankme"]
    assert not any("accuracy" in name for name in found)


def sizes(parts):
    return {domain: [len(images) for images in getattr(parts.data.domains, domain)] for domain in ("source", "target")}


def test_few_labels_thin_the_source_of_methods_that_need_them_alone(archives, tmp_path):
    few = ("data.source_labels_per_class=2", "data.batch_size=6")
    whole = sizes(assembly.build(compose(tmp_path, *archives, "method=dann")))
    parts, batch = build_method(compose(tmp_path, *archives, "method=dann", *few))
    assert batch.source.labels.bincount().tolist() == [2, 2, 2]
    assert sizes(parts) == {"source": [6, *whole["source"][1:]], "target": whole["target"]}
    for method in SELF_SUPERVISED:
        assert sizes(assembly.build(compose(tmp_path, *archives, f"method={method}", *few))) == whole


def test_seed_chooses_the_labelled_images(archives, tmp_path):
    chosen = []
    for seed in (0, 0, 1):
        parts = assembly.build(compose(tmp_path, *archives, "method=dann", "data.source_labels_per_class=2", f"seed={seed}"))
        chosen.append(parts.data.domains.source.train.images)
    assert torch.equal(chosen[0], chosen[1])
    assert not torch.equal(chosen[0], chosen[2])
