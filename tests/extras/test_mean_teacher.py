"""The mean teacher: what it averages, when, and what it leaves alone."""

import copy

import pytest
import torch
from single_steps import RATE, UNEQUAL_SIZES, tiny_method, two_views
from small_runs import assert_stop_changes_nothing, compose
from torch.nn import functional as F

from acclimate.extras.mean_teacher import MeanTeacher
from acclimate.methods.dann import Dann
from acclimate.methods.terms_alone import TermsAlone
from acclimate.runs import checkpoints
from acclimate.training import evaluation, run

THRESHOLD = 0.45


def taught(make=TermsAlone, *, decay=0.7, threshold=THRESHOLD, **options):
    method = tiny_method(make, terms={"mean_teacher": MeanTeacher(decay=decay, threshold=threshold)}, **options)
    return method, method.extras.by_name["terms"].terms["mean_teacher"]


def train(method, batch, num_steps):
    optimizer = method.configure_optimizers()["optimizer"]
    for _ in range(num_steps):
        optimizer.zero_grad()
        method.training_step(batch, 0).backward()
        optimizer.step()


def plain_training(student, batch, *, num_steps, weight):
    """French et al., ICLR 2018, with the decay of Tarvainen and Valpola's code; returns the losses and the teacher."""
    teacher = copy.deepcopy(student)
    losses = []
    for step in range(num_steps):
        source, strong = student(batch.source.inputs).logits, student(batch.target.views[1]).logits
        with torch.no_grad():
            said = teacher(batch.target.views[0]).logits.softmax(dim=1)
        counts = (said.max(dim=1).values >= THRESHOLD).double()
        assert 0 < counts.sum() < len(counts)
        consistency = ((strong.softmax(dim=1) - said) ** 2).mean(dim=1) @ counts / len(counts)
        losses.append(weight * consistency.item())
        total = F.cross_entropy(source, batch.source.labels) + weight * consistency
        gradients = torch.autograd.grad(total, list(student.parameters()))
        decay = min(0.7, 1 - 1 / (step + 2))
        with torch.no_grad():
            for mine, theirs, gradient in zip(student.parameters(), teacher.parameters(), gradients, strict=True):
                mine.sub_(RATE * gradient)
                theirs.copy_(decay * theirs + (1 - decay) * mine)
    return losses, teacher


@pytest.mark.parametrize("sizes", UNEQUAL_SIZES)
def test_steps_are_those_of_the_papers(sizes):
    batch = two_views(*sizes)
    method, term = taught(term_weights={"mean_teacher": 3.0})
    student = copy.deepcopy(method.classifier)
    losses, teacher = plain_training(student, batch, num_steps=5, weight=3.0)
    optimizer, found = method.configure_optimizers()["optimizer"], []
    for _ in range(5):
        optimizer.zero_grad()
        method.training_step(batch, 0).backward()
        optimizer.step()
        found.append(method.logged["loss/mean_teacher"])
    assert found == pytest.approx(losses, rel=1e-9)
    for name, parameter in student.named_parameters():
        torch.testing.assert_close(method.classifier.get_parameter(name), parameter, rtol=1e-9, atol=1e-12)
    # Here the average is taken after the step, and by the term before its next prediction.
    term(None, batch.target.views[1].new_zeros(sizes[1], 3), batch.target.views[0], method.classifier)
    for name, parameter in teacher.named_parameters():
        torch.testing.assert_close(term.teacher.module.get_parameter(name), parameter, rtol=1e-9, atol=1e-12)


def test_average_by_hand():
    method, term = taught(decay=0.6)
    bias = method.classifier.head.bias
    found = []
    for value in (8.0, 4.0, 9.0, 2.0):
        bias.data.fill_(value)
        term.teacher.update_parameters(method.classifier)
        found.append(term.teacher.module.head.bias[0].item())
    # Equal shares of two; then of three would be 2/3 for the past, of which 0.6 is left.
    assert found == pytest.approx([8, 6, 0.6 * 6 + 0.4 * 9, 0.6 * (0.6 * 6 + 0.4 * 9) + 0.4 * 2])


def test_teacher_equals_the_student_in_the_first_batch():
    (method, term), batch = taught(), two_views()
    method.training_step(batch, 0)
    for name, parameter in method.classifier.named_parameters():
        assert torch.equal(term.teacher.module.get_parameter(name), parameter)


def test_no_gradient_reaches_the_teacher_and_no_optimizer_holds_it():
    (method, term), batch = taught(), two_views()
    assert [group["name"] for group in method.parameter_groups()] == ["backbone", "head"]
    method.training_step(batch, 0).backward()
    assert all(not parameter.requires_grad and parameter.grad is None for parameter in term.teacher.parameters())


@pytest.mark.parametrize("batch_norm", ["joint", "separate", "frozen"])
def test_predictions_of_the_teacher_change_no_statistics(batch_norm):
    found = []
    for terms in ({}, {"mean_teacher": MeanTeacher(threshold=0.0)}):
        method = tiny_method(Dann, terms=terms)
        method.batch_norm = batch_norm
        method.train()
        for _ in range(2):
            method.training_step(two_views(), 0)
        found.append(dict(method.classifier.named_buffers()))
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())
    for name, value in method.extras.by_name["terms"].terms["mean_teacher"].teacher.module.named_buffers():
        assert torch.equal(value, found[0][name])


def test_frozen_statistics_hold_for_the_teacher_too():
    method, term = taught(threshold=0.0)
    method.batch_norm = "frozen"
    method.train()
    batch = two_views(7, 4)
    whole = batch.target.views[0]
    seen = []
    term.teacher.module.register_forward_hook(lambda module, inputs, output: seen.append(output.logits))
    method.training_step(batch, 0)
    torch.testing.assert_close(seen[0], copy.deepcopy(term.teacher).eval()(whole).logits)


def test_teacher_predicts_with_dropout_as_the_student_does():
    method, term = taught(threshold=0.0)
    method.classifier.dropout.p = term.teacher.module.dropout.p = 0.5
    method.train().training_step(two_views(), 0)
    assert term.teacher.module.dropout.training
    method.classifier.dropout.eval()
    method.training_step(two_views(), 0)
    assert not term.teacher.module.dropout.training


OPTIONS = ("method=mean_teacher", "method.terms.mean_teacher.threshold=0", "model.dropout=0.3", "trainer.max_epochs=2")


def test_stopped_run_continues_with_the_same_teacher(archives, tmp_path):
    """As the contract demands of every method, but with a threshold that an untrained teacher reaches."""
    state = assert_stop_changes_nothing(tmp_path, *archives, *OPTIONS, batches=4)["state_dict"]
    student = {name: tensor for name, tensor in state.items() if name.endswith("head.weight")}
    assert len(student) == 2
    assert not torch.equal(*student.values())


def test_classifier_is_rebuilt_from_a_checkpoint_without_its_teacher(archives, tmp_path):
    metrics = run.train(compose(tmp_path, *archives, *OPTIONS))
    checkpoint = checkpoints.read_checkpoint(checkpoints.best_checkpoint(tmp_path))
    classifier = checkpoints.rebuild_classifier(checkpoint)
    assert torch.equal(classifier.head.weight, checkpoint["state_dict"]["classifier.head.weight"])
    del checkpoint["config"]["trainer"]["enable_progress_bar"]
    assert evaluation.evaluate(checkpoint["config"], checkpoint)["target/test_accuracy"] == metrics["target/test_accuracy"]
