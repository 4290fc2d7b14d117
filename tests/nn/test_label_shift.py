"""How frequent classes are in the target, estimated without its labels, and source batches in these proportions."""

import pytest
import torch
from small_runs import ADAPTING, build_method, compose, differences, train_and_stop, trained_state, write_archives

from acclimate import run
from acclimate.data.arrays import Arrays
from acclimate.data.image_set import Parts
from acclimate.errors import ConfigError, Interrupted
from acclimate.nn.label_shift import ClassProportions, systematic_resample, target_class_weights
from acclimate.types import Labelled

ESTIMATED = "method.target_class_weights=estimated"


def tensor(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def weights(confusion, source, target, **options):
    return target_class_weights(confusion, source, target, **{"ridge": 1e-9} | options)


def test_weights_of_two_classes_by_hand():
    # Classes are 1/2 and 1/2 in the source, 1/4 and 3/4 in the target; the classifier is right in 0.8 and 0.9 of the cases.
    confusion = torch.tensor([[0.8, 0.1], [0.2, 0.9]], dtype=torch.float64)
    found = weights(confusion, tensor(0.5, 0.5), tensor(0.25 * 0.8 + 0.75 * 0.1, 0.25 * 0.2 + 0.75 * 0.9))
    torch.testing.assert_close(found, tensor(0.5, 1.5))


def test_weights_of_a_perfect_classifier_are_quotients_of_frequencies():
    found = weights(torch.eye(3, dtype=torch.float64), tensor(0.5, 0.3, 0.2), tensor(0.1, 0.3, 0.6))
    torch.testing.assert_close(found, tensor(0.2, 1.0, 3.0))


def test_known_shift_is_recovered_from_a_noisy_classifier():
    generator = torch.Generator().manual_seed(0)
    confusion = torch.rand(5, 5, dtype=torch.float64, generator=generator) + 2 * torch.eye(5)
    confusion = confusion / confusion.sum(dim=0)
    source, target = tensor(0.1, 0.2, 0.3, 0.2, 0.2), tensor(0.4, 0.1, 0.0, 0.3, 0.2)
    torch.testing.assert_close(weights(confusion, source, confusion @ target), target / source, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("confusion", [torch.full((3, 3), 1 / 3), torch.zeros(3, 3)], ids=["guesses", "nothing is known"])
def test_weights_are_one_where_predictions_say_nothing(confusion):
    found = target_class_weights(confusion, torch.tensor([0.2, 0.3, 0.5]), torch.full((3,), 1 / 3))
    torch.testing.assert_close(found, torch.ones(3), atol=1e-5, rtol=0)


def test_weights_are_not_negative_and_keep_the_sum():
    # More of the first class is predicted than there can be.
    confusion, source = torch.tensor([[0.6, 0.4], [0.4, 0.6]], dtype=torch.float64), tensor(0.4, 0.6)
    found = weights(confusion, source, tensor(0.9, 0.1))
    assert found.tolist() == pytest.approx([2.5, 0.0])
    assert (source * weights(confusion, source, tensor(0.9, 0.1), least=0.05)).sum().item() == pytest.approx(1)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"ridge": 0.0}, "ridge must be above 0"), ({"least": 1.0}, "below 1"), ({"source": torch.ones(3)}, r"\(K, K\)")],
)
def test_arguments_that_make_no_sense_are_refused(options, message):
    arguments = {"confusion": torch.eye(2), "source_proportions": torch.ones(2), "target_prediction": torch.ones(2)}
    options = {"source_proportions" if name == "source" else name: value for name, value in options.items()}
    with pytest.raises(ValueError, match=message):
        target_class_weights(**arguments | options)


def test_equal_weights_leave_the_batch_as_it_is():
    labels = torch.tensor([2, 0, 1, 1, 0, 2, 2])
    assert systematic_resample(labels, torch.ones(3), torch.tensor(0.3)).tolist() == list(range(7))


def test_classes_are_drawn_in_proportion_to_their_weights():
    labels, class_weights = torch.arange(3).repeat(4), torch.tensor([2.0, 1.0, 0.0])
    for offset in (0.0, 0.4, 0.9):
        counts = labels[systematic_resample(labels, class_weights, torch.tensor(offset))].bincount(minlength=3)
        assert counts.tolist() == [8, 4, 0]


def test_every_row_of_a_class_is_drawn_equally_often_on_average():
    labels, class_weights = torch.tensor([0, 0, 0, 1, 1]), torch.tensor([0.5, 1.75])
    offsets = (torch.arange(1000) + 0.5) / 1000
    counts = sum(systematic_resample(labels, class_weights, offset).bincount(minlength=5) for offset in offsets)
    torch.testing.assert_close(counts / 1000, torch.tensor([0.5, 0.5, 0.5, 1.75, 1.75]), atol=0.01, rtol=0)


def test_confusion_is_the_same_whether_batches_are_resampled_or_not():
    logits, labels = torch.randn(12, 3, generator=torch.Generator().manual_seed(0)), torch.arange(3).repeat(4)
    images = torch.arange(12.0)
    found = []
    for class_weights in (torch.ones(3), torch.tensor([2.0, 1.0, 0.5])):
        proportions = ClassProportions(3, start=0.0, momentum=0.0)
        proportions.weights = lambda class_weights=class_weights: class_weights
        source = proportions.resample(Labelled(images, labels), progress=1.0)
        chosen = source.images.long()
        # As many of each class as there were, each row repeated: averages over a class stay.
        proportions.update(logits.reshape(4, 3, 3).mean(dim=0)[labels[chosen]], source.labels, logits)
        confusion = proportions.source_predictions / proportions.source_predictions.sum(dim=0)
        found.append((confusion, proportions.source_labels.clone()))
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("method", ADAPTING)
def test_every_method_takes_source_batches_in_estimated_proportions(archives, tmp_path, method, monkeypatch):
    parts, batch = build_method(compose(tmp_path, *archives, f"method={method}", ESTIMATED, "data.batch_size=12"))
    method = parts.method
    monkeypatch.setattr(method.class_proportions, "weights", lambda: torch.tensor([3.0, 0.0, 0.0]))
    batch = batch._replace(source=Labelled(batch.source.images, torch.arange(12) % 3))
    seen = []
    losses = method.losses
    method.losses = lambda batch, source, target: (seen.append(batch.source.labels), losses(batch, source, target))[1]
    method.take_turns = lambda batch: seen.append(batch.source.labels)
    method.train_adversary = lambda *arguments: None
    method.training_step(batch, 0)
    assert [labels.tolist() for labels in seen] == [[0] * 12] * 2


def test_batches_are_untouched_before_the_start(archives, tmp_path):
    parts, batch = build_method(compose(tmp_path, *archives, "method=dann", ESTIMATED, "method.target_class_weights_from=0.6"))
    parts.method.class_proportions.weights = lambda: torch.tensor([3.0, 0.0, 0.0])
    seen = []
    parts.method.take_turns = lambda batch: seen.append(batch.source)
    parts.method.training_step(batch, 0)
    assert seen[0] is batch.source


def test_stopped_run_continues_as_if_never_stopped(archives, tmp_path):
    options = ("method=dann", ESTIMATED, "method.target_class_weights_from=0", "trainer.max_epochs=2")
    whole, stopped = (compose(tmp_path / name, *archives, *options) for name in ("whole", "stopped"))
    run.train(whole)
    with pytest.raises(Interrupted):
        train_and_stop(stopped, hook="on_train_batch_end", batches=4)
    run.train(stopped | {"resume": True})
    assert differences(trained_state(tmp_path / "whole"), trained_state(tmp_path / "stopped")) == []
    assert any("class_proportions" in name for name in trained_state(tmp_path / "whole")["state_dict"])


def test_target_without_a_class_is_noticed(tmp_path):
    archives = write_archives(tmp_path, num_source=240, num_target=240, num_test=30, degrees=0.0)
    setting = (
        "data.batch_size=32",
        "data.target_batch_size=32",
        "optimizer.lr=0.003",
        "trainer.max_epochs=40",
        "trainer.check_val_every_n_epoch=40",
    )
    config = compose(tmp_path / "run", *archives, *setting, "method=mcc", "method.batch_norm=joint", ESTIMATED)
    config["data"]["_target_"] = f"{__name__}.WithoutTheThird"
    parts = run.build(config)
    parts.trainer.fit(parts.method, parts.data)
    first, second, missing = parts.method.class_proportions.weights().tolist()
    # The running estimates still remember what the classifier said before it had learned.
    assert missing < 0.5
    assert min(first, second) > 1


class WithoutTheThird(Arrays):
    """Arrays whose target lacks a class."""

    def read(self):
        domains = super().read()
        kept = [part.take((part.labels < 2).nonzero()[:, 0].tolist()) for part in domains.target]
        return domains._replace(target=Parts(*kept))


def test_method_that_does_not_look_at_the_target_refuses_it(archives, tmp_path):
    with pytest.raises(ConfigError, match=r"target_class_weights=estimated needs the target"):
        run.build(compose(tmp_path, *archives, "method=source_only", ESTIMATED))


def test_start_must_be_a_share(archives, tmp_path):
    with pytest.raises(ConfigError, match=r"target_class_weights_from must be at least 0 and at most 1, but is 2"):
        run.build(compose(tmp_path, *archives, "method=dann", ESTIMATED, "method.target_class_weights_from=2"))
