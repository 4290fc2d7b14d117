"""DeepJDOT."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from single_steps import UNEQUAL_SIZES, Objectives, assert_same_step, tiny_batch, tiny_method
from small_runs import compose
from torch.nn import functional as F

from acclimate.methods.deep_jdot import DeepJdot


def plan_of(costs):
    """The linear program of optimal transport, as its definition has it: dense, one row for each sample."""
    num_source, num_target = costs.shape
    rows = [np.eye(num_source)[[i]].T * np.ones((1, num_target)) for i in range(num_source)]
    columns = [np.ones((num_source, 1)) * np.eye(num_target)[[j]] for j in range(num_target)]
    masses = [1 / num_source] * num_source + [1 / num_target] * num_target
    constraints = np.stack([constraint.ravel() for constraint in rows + columns])
    return torch.tensor(linprog(costs.ravel(), A_eq=constraints, b_eq=masses).x.reshape(costs.shape))


def algorithm(method, batch):
    """Damodaran et al., ECCV 2018: a plan for fixed networks, then a step of the networks for a fixed plan."""
    strength = 2 / (1 + math.exp(-10 * 0.5)) - 1
    source, source_logits = method.classifier(batch.source.inputs)
    target, target_logits = method.classifier(batch.target.views[0])
    rows = []
    for features, label in zip(source, batch.source.labels, strict=True):
        apart = torch.stack([(features - other).square().sum() for other in target])
        rows.append(0.001 * apart - 0.0001 * F.log_softmax(target_logits, dim=1)[:, label])
    costs = torch.stack(rows)
    losses = {
        "classification": F.cross_entropy(source_logits, batch.source.labels),
        "transport": strength * (plan_of(costs.detach().numpy()) * costs).sum(),
    }
    return Objectives(losses, sum(losses.values()))


@pytest.mark.parametrize("sizes", UNEQUAL_SIZES)
def test_step_is_that_of_the_paper(sizes):
    assert_same_step(tiny_method(DeepJdot), tiny_batch(*sizes), algorithm)


def test_transport_has_no_weight_before_the_predictions_have_a_meaning():
    method, batch = tiny_method(DeepJdot, progress=0.0), tiny_batch()
    assert method.losses(*method.passes(batch)[:2])["transport"] == 0


def test_target_is_taught_the_labels_of_the_source():
    method, batch = tiny_method(DeepJdot, feature_weight=0.0), tiny_batch(6, 6)
    method.losses(*method.passes(batch)[:2])["transport"].backward()
    assert method.classifier.head.weight.grad.any()


def test_strength_is_logged():
    method = tiny_method(DeepJdot)
    method.training_step(tiny_batch(), 0)
    assert method.logged["adaptation/strength"] == pytest.approx(2 / (1 + math.exp(-5)) - 1)


def test_defaults_are_those_of_the_published_script_and_can_be_changed(tmp_path):
    """deepjdot_svhn_mnist.py of github.com/bbdamodaran/deepJDOT at b881467, not the defaults of its constructor."""
    config = compose(tmp_path, "method=deep_jdot")
    assert (config["method"]["feature_weight"], config["method"]["label_weight"]) == (0.001, 0.0001)
    assert config["data"]["source_sampling"] == "balanced"
    assert compose(tmp_path, "method=deep_jdot", "data.source_sampling=natural")["data"]["source_sampling"] == "natural"
