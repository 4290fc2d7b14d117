"""Every loss is computed in float32, whatever the precision of training is."""

import importlib
import inspect
import pkgutil

import pytest
import torch

from acclimate import losses
from acclimate.losses.precision import in_float32


def random(*shape, seed=0):
    """Values that bfloat16 has exactly, as a network's outputs are under autocast."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).bfloat16()


FEATURES = random(6, 5), random(8, 5, seed=1)
VIEWS = FEATURES[0], random(6, 5, seed=2)
LOGITS, OTHER_LOGITS = random(6, 3, seed=3), random(6, 3, seed=4)
CLASSES = torch.arange(6) % 3
CRITIC = random(5, seed=5)
ARGUMENTS = {
    "domain_confusion": ([random(6, 1)], {"num_source": 2, "weights": random(6, seed=1).abs()}),
    "inverted_labels": ([random(6, 1)], {}),
    "certainty_weights": ([LOGITS], {}),
    "domain_accuracy": ([random(6, 1)], {"num_source": 2}),
    "classifier_discrepancy": ([LOGITS, OTHER_LOGITS], {}),
    "nt_xent": (VIEWS, {}),
    "correlation_alignment": (FEATURES, {}),
    "squared_distances": (FEATURES, {}),
    "feature_norm_growth": (FEATURES[:1], {}),
    "bandwidth_family": (FEATURES, {"factors": [0.5, 1.0]}),
    "maximum_mean_discrepancy": (FEATURES, {"bandwidths": [1.0, 2.0]}),
    "joint_maximum_mean_discrepancy": (
        [[FEATURES[0], LOGITS], [VIEWS[1], OTHER_LOGITS]],
        {"bandwidths": [torch.tensor([1.0, 2.0]), [0.92]]},
    ),
    "mean_of_pairs": ([random(6, 6).abs()], {}),
    "log_other_probability": ([LOGITS, CLASSES], {}),
    "margin_disparity": ([LOGITS, OTHER_LOGITS], {"source_classes": CLASSES, "target_classes": CLASSES}),
    "joint_transport_costs": (
        [FEATURES[0], LOGITS.softmax(dim=1), VIEWS[1], OTHER_LOGITS],
        {"feature_weight": 1.0, "label_weight": 1.0},
    ),
    "cross_correlation": (VIEWS, {}),
    "redundancy_reduction": (VIEWS, {}),
    "rotation_prediction": ([random(8, 4)], {}),
    "fixmatch": ([3 * LOGITS, OTHER_LOGITS], {"threshold": 0.7}),
    "pseudo_label": ([LOGITS, 0.5], {"start": 0.0, "end": 0.7}),
    "teacher_consistency": ([LOGITS, 3 * OTHER_LOGITS], {"threshold": 0.7}),
    "spectral_penalty": (FEATURES[:1], {}),
    "spectral_shrinkage": (FEATURES[:1], {}),
    "starting_point_distance": ([[FEATURES[0], LOGITS], [VIEWS[1], OTHER_LOGITS]], {}),
    "shrinkage": ([[FEATURES[0], LOGITS]], {}),
    "feature_map_distance": ([(FEATURES[0], LOGITS), (VIEWS[1], OTHER_LOGITS)], {}),
    "entropy": ([LOGITS.log_softmax(dim=1)], {}),
    "minimum_class_confusion": ([LOGITS], {}),
    "entropy_minimisation": ([LOGITS], {}),
    "batch_nuclear_norm": ([LOGITS], {}),
    "information": ([LOGITS], {}),
    "information_maximisation": ([LOGITS], {}),
    "wasserstein_estimate": ([random(6, 1), random(8)], {}),
    "interpolates": (FEATURES, {"positions": random(8).abs()}),
    "gradient_penalty": ([lambda features: (features * CRITIC.float()).square().sum(dim=1), FEATURES[0].float()], {}),
}
# They turn images or count, and calculate nothing.
NO_ARITHMETIC = {"rotations", "rotation_labels", "in_float32", "accuracy_by_domain"}


def public_functions():
    found = {}
    for module in pkgutil.iter_modules(losses.__path__, f"{losses.__name__}."):
        for name, function in inspect.getmembers(importlib.import_module(module.name), inspect.isfunction):
            if function.__module__ == module.name and not name.startswith("_"):
                found[name] = function
    return found


FUNCTIONS = public_functions()


def test_all_losses_are_tested():
    assert set(FUNCTIONS) == set(ARGUMENTS) | NO_ARITHMETIC


def single(value):
    if isinstance(value, torch.Tensor):
        return value.float() if value.is_floating_point() else value
    return [single(item) for item in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("name", ARGUMENTS)
def test_loss_of_half_precision_under_autocast_is_that_of_single_precision(name):
    args, options = ARGUMENTS[name]
    expected = FUNCTIONS[name](*single(args), **{key: single(value) for key, value in options.items()})
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = FUNCTIONS[name](*args, **options)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_loss_of_single_precision_is_not_made_coarser_by_autocast(name):
    args, options = ([single(value) for value in ARGUMENTS[name][0]], {key: single(value) for key, value in ARGUMENTS[name][1].items()})
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = FUNCTIONS[name](*args, **options)
    assert torch.equal(found, FUNCTIONS[name](*args, **options))


def test_float64_and_integers_stay():
    seen = in_float32(lambda *values, **named: [value.dtype for value in (*values, *named.values())])
    assert seen(torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.int64), last=torch.zeros(1).half()) == [
        torch.float64,
        torch.int64,
        torch.float32,
    ]
