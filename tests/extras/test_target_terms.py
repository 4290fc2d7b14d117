"""Arguments of terms; a second view and the state of a term do not affect anything else."""

import functools

import pytest
import torch
from single_steps import NUM_CLASSES, UNEQUAL_SIZES, Objectives, assert_same_step, tiny_batch, tiny_classifier, tiny_method, two_views
from small_runs import build_method, compose
from torch import nn
from torch.nn import functional as F

from acclimate.errors import ConfigError
from acclimate.extras.terms import StatefulTerm, TargetTerms
from acclimate.losses.self_training import fixmatch, pseudo_label
from acclimate.methods.dann import Dann
from acclimate.methods.terms_alone import TermsAlone
from acclimate.models.batch_norm import batch_norms

# Of the tiny network some samples reach this and others do not.
THRESHOLD = 0.45


def size(logits):
    return logits.square().mean()


def test_term_of_the_logits_gets_nothing_else():
    terms = TargetTerms({"sum": lambda logits: logits.sum()}, {"sum": 0.5})
    assert not terms.need_strong_view
    assert terms.weighted(torch.ones(2, 3), {})["sum"] == 3


def test_term_gets_what_its_parameters_name():
    seen = {}

    def curious(logits, inputs, *, progress, strong_logits, classifier, own=3):
        seen.update(inputs=inputs, progress=progress, strong_logits=strong_logits, classifier=classifier, own=own)
        return logits.sum()

    method, batch = tiny_method(TermsAlone, terms={"curious": curious}, progress=0.25), two_views()
    method.training_step(batch, 0)
    assert seen["inputs"] is batch.target.views[0]
    assert seen["progress"] == 0.25
    assert seen["classifier"] is method.classifier
    assert seen["own"] == 3
    torch.testing.assert_close(seen["strong_logits"], method.classifier(batch.target.views[1]).logits)


def test_what_the_configuration_sets_is_not_asked_for():
    terms = TargetTerms({"pseudo_label": functools.partial(pseudo_label, start=0.0, end=0.5)}, {})
    assert terms.asked == {"pseudo_label": ["progress"]}


def test_term_that_is_a_module_is_asked_for_its_forward():
    class Bare(nn.Module):
        def forward(self, logits, strong_logits):
            return (logits - strong_logits).sum()

    assert TargetTerms({"bare": Bare()}, {}).need_strong_view


def test_term_that_asks_for_the_unknown_is_refused():
    with pytest.raises(ConfigError, match=r"term wish has the parameter labels, but .*strong_logits.*method\.terms\.wish\.labels=VALUE"):
        TargetTerms({"wish": lambda logits, labels: logits.sum()}, {})


@pytest.mark.parametrize("batch_norm", ["joint", "separate", "frozen"])
@pytest.mark.parametrize("make", [TermsAlone, Dann])
def test_strong_view_leaves_running_statistics_and_other_losses_as_they_are(make, batch_norm):
    found = []
    for terms in ({"size": size}, {"size": size, "fixmatch": functools.partial(fixmatch, threshold=0.0)}):
        method = tiny_method(make, terms=terms)
        method.batch_norm = batch_norm
        method.train().training_step(two_views(), 0)
        found.append((dict(method.classifier.named_buffers()), method.logged))
    (without, losses), (with_it, more_losses) = found
    of_all = ("loss/total", "adaptation/gradient_ratio")
    assert more_losses["loss/fixmatch"] > 0
    assert without and all(torch.equal(value, with_it[name]) for name, value in without.items())
    assert all(more_losses[name] == value for name, value in losses.items() if name not in of_all)
    assert all(layer.track_running_stats for layer in batch_norms(method.classifier))


def test_only_terms_that_ask_for_a_second_view_get_one(archives, tmp_path):
    for method, num_views in (("mcc", 1), ("fixmatch", 2)):
        _, batch = build_method(compose(tmp_path, *archives, f"method={method}"))
        assert len(batch.target.views) == num_views


def test_second_view_of_the_users_own_has_precedence(archives, tmp_path):
    parts, _ = build_method(compose(tmp_path, *archives, "method=fixmatch", "data.target_views=[plain,shift]"))
    assert parts.data.target_views == ["plain", "shift"]


class Counter(StatefulTerm):
    def start(self, classifier):
        self.head = nn.Parameter(classifier.head.weight.detach().clone(), requires_grad=False)
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def forward(self, logits):
        self.calls += 1
        return logits.square().mean()


def test_stateful_term_starts_from_the_classifier_and_is_in_the_checkpoint():
    method = tiny_method(TermsAlone, terms={"counter": Counter()})
    for _ in range(3):
        method.training_step(tiny_batch(), 0)
    state = method.state_dict()
    assert torch.equal(state["extras.terms.stateful.counter.head"], method.classifier.head.weight)
    other = tiny_method(TermsAlone, terms={"counter": Counter()})
    other.load_state_dict(state)
    assert other.extras.by_name["terms"].terms["counter"].calls == 3


def test_what_a_stateful_term_remembers_is_in_no_parameter_group():
    method = tiny_method(TermsAlone, terms={"counter": Counter()})
    assert [group["name"] for group in method.parameter_groups()] == ["backbone", "head"]
    assert sum(len(group["params"]) for group in method.parameter_groups()) == len(list(tiny_classifier().parameters()))


def fixmatch_step(method, batch):
    """Sohn et al., NeurIPS 2020, on predictions that each have the statistics of their own batch."""
    source, weak, strong = (method.classifier(images).logits for images in (batch.source.inputs, *batch.target.views))
    total, confident = 0.0, 0
    for q, p in zip(weak.softmax(dim=1).tolist(), strong.softmax(dim=1), strict=True):
        if max(q) >= THRESHOLD:
            confident += 1
            total = total - torch.log(p[q.index(max(q))])
    assert 0 < confident < len(weak)
    classification, unlabelled = F.cross_entropy(source, batch.source.labels), total / len(weak)
    return Objectives({"classification": classification, "fixmatch": unlabelled * 0.7}, classification + 0.7 * unlabelled)


@pytest.mark.parametrize("sizes", UNEQUAL_SIZES)
def test_step_with_fixmatch_is_that_of_the_paper(sizes):
    term = functools.partial(fixmatch, threshold=THRESHOLD)
    method = tiny_method(TermsAlone, terms={"fixmatch": term}, term_weights={"fixmatch": 0.7})
    assert_same_step(method, two_views(*sizes), fixmatch_step)


def pseudo_label_step(method, batch):
    """Lee, 2013, Eq. 15 and 16, with α_f = 3 between the shares 0.25 and 0.75, at 0.5."""
    source, target = (method.classifier(images).logits for images in (batch.source.inputs, batch.target.views[0]))
    one_hot = torch.eye(NUM_CLASSES, dtype=torch.float64)[target.detach().argmax(dim=1)]
    alpha = (0.5 - 0.25) / (0.75 - 0.25) * 3
    classification = F.cross_entropy(source, batch.source.labels)
    unlabelled = alpha * -(one_hot * F.log_softmax(target, dim=1)).sum() / len(target)
    return Objectives({"classification": classification, "pseudo_label": unlabelled}, classification + unlabelled)


@pytest.mark.parametrize("sizes", UNEQUAL_SIZES)
def test_step_with_pseudo_labels_is_that_of_the_paper(sizes):
    term = functools.partial(pseudo_label, start=0.25, end=0.75)
    method = tiny_method(TermsAlone, terms={"pseudo_label": term}, term_weights={"pseudo_label": 3.0})
    assert_same_step(method, tiny_batch(*sizes), pseudo_label_step)
