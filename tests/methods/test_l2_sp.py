"""L²-SP: the step of the paper, and a starting point that stays what it was."""

import copy

import pytest
import torch
from single_steps import UNEQUAL_SIZES, Objectives, assert_same_step, deep_classifier, tiny_batch, tiny_method
from small_runs import compose, differences, train_and_stop, trained_state
from torch.nn import functional as F

from acclimate.errors import Interrupted
from acclimate.methods.l2_sp import L2Sp
from acclimate.runs import checkpoints
from acclimate.training import assembly, evaluation, run


def moved_away(**options):
    """A method whose backbone is no longer where it started; also gives that start, by the names of the classifier."""
    method = tiny_method(L2Sp, classifier=deep_classifier, **options)
    start = copy.deepcopy(dict(method.classifier.named_parameters()))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in method.classifier.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
    return method, start


def algorithm(method, batch, *, start, alpha, beta):
    """Li et al., ICML 2018: Ω(w) = α / 2 · ‖w_S - w_S⁰‖² + β / 2 · ‖w_S̄‖²."""
    task = F.cross_entropy(method.classifier(batch.source.inputs).logits, batch.source.labels)
    near, small = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for name, parameter in method.classifier.named_parameters():
        if name.startswith("backbone"):
            near = near + alpha / 2 * torch.linalg.vector_norm(parameter - start[name].detach()) ** 2
        else:
            small = small + beta / 2 * torch.linalg.vector_norm(parameter) ** 2
    return Objectives({"classification": task, "starting_point": near, "shrinkage": small}, task + near + small)


@pytest.mark.parametrize("sizes", UNEQUAL_SIZES)
@pytest.mark.parametrize(("alpha", "beta"), [(0.1, 0.01), (2.0, 0.5)])
def test_step_is_that_of_the_paper(sizes, alpha, beta):
    method, start = moved_away(start_weight=alpha, shrinkage_weight=beta)
    batch = tiny_batch(*sizes)._replace(target=None)
    assert_same_step(method, batch, lambda *arguments: algorithm(*arguments, start=start, alpha=alpha, beta=beta))


def test_there_is_nothing_to_pay_at_the_start():
    method, batch = tiny_method(L2Sp), tiny_batch()._replace(target=None)
    assert method.losses(*method.passes(batch)[:2])["starting_point"].item() == 0


def test_penalty_alone_leads_back_to_the_start():
    method, start = moved_away(start_weight=1.0)
    batch = tiny_batch()._replace(target=None)
    optimizer = method.configure_optimizers()["optimizer"]
    for _ in range(200):
        optimizer.zero_grad()
        method.losses(*method.passes(batch)[:2])["starting_point"].backward()
        optimizer.step()
    for name, parameter in method.classifier.backbone.named_parameters():
        torch.testing.assert_close(parameter, start[f"backbone.{name}"], rtol=1e-6, atol=1e-8)


def test_start_neither_learns_nor_is_held_by_the_optimizer():
    method, start = moved_away()
    method.train()
    assert [group["name"] for group in method.parameter_groups()] == ["backbone", "head"]
    method.training_step(tiny_batch()._replace(target=None), 0).backward()
    for name, parameter in method.start.network.named_parameters():
        assert parameter.grad is None
        assert torch.equal(parameter, start[f"backbone.{name}"])
    assert not any(layer.training for layer in method.start.modules())


def test_a_frozen_backbone_stays_at_the_start():
    method, batch = tiny_method(L2Sp, backbone_rate=0.0), tiny_batch()._replace(target=None)
    method.training_step(batch, 0).backward()
    assert method.logged["loss/starting_point"] == 0
    assert method.classifier.head.weight.grad.any()


OPTIONS = ("method=l2_sp", "trainer.max_epochs=2")


def test_stopped_run_keeps_its_start_though_the_weights_file_has_changed(archives, tmp_path):
    weights = tmp_path / "weights.pth"
    pretrained = (*archives, *OPTIONS, f"model.weights={weights}")
    body = assembly.build(compose(tmp_path / "random", *archives, *OPTIONS)).method.classifier.backbone.body
    torch.save(body.state_dict(), weights)
    run.train(compose(tmp_path / "whole", *pretrained))
    config = compose(tmp_path / "run", *pretrained)
    with pytest.raises(Interrupted):
        train_and_stop(config, hook="on_train_batch_end", batches=4)
    torch.save({name: value * 2 for name, value in body.state_dict().items()}, weights)
    run.train({**config, "resume": True})
    assert differences(trained_state(tmp_path / "whole"), trained_state(tmp_path / "run")) == []


def test_classifier_is_rebuilt_from_a_checkpoint_and_evaluates_as_it_did(archives, tmp_path):
    metrics = run.train(compose(tmp_path, *archives, *OPTIONS))
    checkpoint = checkpoints.read_checkpoint(checkpoints.best_checkpoint(tmp_path))
    assert not any("start" in name for name in checkpoints.rebuild_classifier(checkpoint).state_dict())
    del checkpoint["config"]["trainer"]["enable_progress_bar"]
    assert evaluation.evaluate(checkpoint["config"], checkpoint)["target/test_accuracy"] == metrics["target/test_accuracy"]


def test_optimizer_s_own_weight_decay_is_off(archives, tmp_path):
    assert compose(tmp_path, *archives, *OPTIONS)["optimizer"]["weight_decay"] == 0
