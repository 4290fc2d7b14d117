"""Parts of methods next to numbers that published code gives for the same inputs; only what it returned is written here."""

import pytest
import torch
from published_inputs import FEATURES, LOGITS, SOURCE, SOURCE_LOGITS, chirp
from torch import nn

from acclimate.extras.label_shift import ClassProportions, target_class_weights
from acclimate.methods.parts.category_relationship import direct_relationship
from acclimate.methods.parts.centroid_labels import centroid_labels
from acclimate.methods.parts.multilinear_map import MultilinearMap
from acclimate.models.lora import add_update
from acclimate.models.stoch_norm import StochNorm
from acclimate.schedules import sigmoid_ramp
from acclimate.types import Labelled


def test_multilinear_map_is_that_of_published_code():
    """MultiLinearMap in tllib/alignment/cdan.py of github.com/thuml/Transfer-Learning-Library at c4aa59e."""
    features, probabilities = SOURCE.clone().requires_grad_(), SOURCE_LOGITS.softmax(dim=1).requires_grad_()
    value = (MultilinearMap(5, 4)(features, probabilities) * chirp(6, 20, phase=5.0)).sum()
    assert value.item() == pytest.approx(-0.9719251665310538, rel=1e-9)
    slopes = [
        (gradient * chirp(*gradient.shape, phase=9.0)).sum().item() for gradient in torch.autograd.grad(value, [features, probabilities])
    ]
    assert slopes == pytest.approx([1.6094352143490795, -1.5569092523523476], rel=1e-9)


def test_random_multilinear_map_is_that_of_published_code():
    """RandomizedMultiLinearMap of the same file, given these matrices."""
    random_map = MultilinearMap(5, 4, max_outputs=0, num_random=7).double()
    random_map.random_features, random_map.random_probabilities = chirp(5, 7, phase=4.0), chirp(4, 7, phase=6.0)
    value = (random_map(SOURCE, SOURCE_LOGITS.softmax(dim=1)) * chirp(6, 7, phase=5.0)).sum()
    assert value.item() == pytest.approx(-1.1347544135170382, rel=1e-6)


def test_strength_of_the_reversal_is_that_of_published_code():
    """WarmStartGradientReverseLayer(alpha=1, hi=0.1, max_iters=1000) in tllib/modules/grl.py of the same library after 2500 steps."""
    assert 0.1 * sigmoid_ramp(0.25, steepness=10.0) == pytest.approx(0.08482836186885834, rel=1e-6)


def test_centroid_labels_are_those_of_their_authors():
    """obtain_label in object/image_target.py of github.com/tim-learn/SHOT at f7d555a, which changes 14 of these 20 labels."""
    expected = [0, 2, 2, 1, 3, 3, 0, 2, 0, 1, 1, 3, 0, 2, 2, 1, 1, 3, 1, 0]
    assert centroid_labels(FEATURES, LOGITS).tolist() == expected
    assert LOGITS.argmax(dim=1).tolist() != expected


def test_direct_relationship_is_that_of_its_authors():
    """direct_relationship_learning in module/relationship_learning.py of github.com/thuml/CoTuning at fc3eb54.

    Its probabilities are softmax(0.884 · logits), so it was given these logits divided by that number.
    """
    expected = [
        [0.2582487892398814, 0.401023514171146, 0.12500948021117153, 0.21571821637780092],
        [0.3437543685914003, 0.17782388862857498, 0.28193416929231746, 0.19648757348770726],
        [0.16401663948233414, 0.34820626232951085, 0.17209830507415044, 0.31567879311400454],
    ]
    found = direct_relationship(LOGITS.softmax(dim=1), torch.arange(20) % 3, num_classes=3)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_stochastic_normalisation_is_that_of_its_authors(monkeypatch):
    """StochNorm1d in tllib/normalization/stochnorm.py of the same library, which drew the batch for all channels but the last."""
    layer = nn.BatchNorm1d(5).double()
    layer.weight.data, layer.bias.data = chirp(5) + 2, chirp(5, phase=1.0)
    layer.running_mean, layer.running_var = chirp(5, phase=2.0), chirp(5, phase=3.0).abs() + 0.5
    monkeypatch.setattr(torch, "rand", lambda *shape, **options: torch.tensor([0.0, 0.0, 0.0, 0.0, 0.9]))
    outputs = StochNorm(layer, selection_rate=0.5)(SOURCE)
    assert (outputs * chirp(6, 5, phase=5.0)).sum().item() == pytest.approx(10.996035398446612, rel=1e-6)
    means = [0.805871773683488, 0.6456029621710654, -0.2964916342726271, -0.7223271801869324, 0.8772460478170356]
    variances = [0.6240497244479304, 0.6942451041800606, 1.3585930781125952, 0.5457003831694391, 0.9287759957268216]
    assert layer.running_mean.tolist() == pytest.approx(means, rel=1e-9)
    assert layer.running_var.tolist() == pytest.approx(variances, rel=1e-9)


def test_update_of_low_rank_is_that_of_its_authors():
    """Linear with r=2 and lora_alpha=2 in loralib/layers.py of github.com/microsoft/LoRA at c4593f0."""
    weight = add_update(chirp(4, 5, phase=1.0), chirp(2, 5, phase=2.0), chirp(4, 2, phase=3.0))
    outputs = nn.functional.linear(SOURCE, weight, chirp(4))
    assert (outputs * chirp(6, 4, phase=5.0)).sum().item() == pytest.approx(-1.6615097140890933, rel=1e-9)


def test_weights_of_classes_are_those_of_the_authors_of_black_box_shift_estimation():
    """estimate_labelshift_ratio in labelshift.py of github.com/zackchase/label_shift at 0e27d0a, of each sample 30,000 times.

    It penalises the weights themselves by one over the number of samples; so many leave no more of it than of our penalty.
    """
    labels, target_labels = (torch.arange(40) % 8).clamp_max(4) % 3, torch.tensor([0, 1, 2]).repeat_interleave(torch.tensor([4, 8, 18]))
    source_logits = 1.2 * nn.functional.one_hot(labels, 3) + chirp(40, 3, phase=2.0)
    target_logits = 1.2 * nn.functional.one_hot(target_labels, 3) + chirp(30, 3, phase=5.0)
    proportions = ClassProportions(3, momentum=0.0, least=0.0)
    proportions.resample(Labelled(source_logits, labels), progress=0.0)
    proportions.update(source_logits, labels, target_logits)
    assert proportions.weights().tolist() == pytest.approx([1.1382594471478358, 0.4227617644309249, 3.6093482729451343], rel=1e-2)
    joint = proportions.source_predictions.double() / 40
    source = joint.sum(dim=0)
    weights = target_class_weights(joint / source, source, proportions.target_predictions.double() / 30, ridge=1e-9)
    assert weights.tolist() == pytest.approx([1.1382594471478358, 0.4227617644309249, 3.6093482729451343], rel=2e-4)


def test_penalised_weights_of_classes_are_those_of_an_author_of_their_penalty():
    """compute_w_opt in label_shift.py of github.com/Angie-Liu/labelshift at 5bbe517 with rho = 0.1, solved by cvxpy 1.9.3.

    Norms are not squared there. Its solution is that of squared norms under another penalty, which its two norms give.
    """
    joint = torch.tensor([[7, 1, 1], [2, 23, 0], [1, 1, 4]], dtype=torch.float64) / 40
    target = torch.tensor([0.3, 0.3, 0.4], dtype=torch.float64)
    expected = torch.tensor([1.1594461797624818, 0.42238983940101404, 3.497699405117946], dtype=torch.float64)
    source, change = joint.sum(dim=0), expected - 1
    penalty = 0.1 * (joint @ expected - target).norm() / change.norm()
    found = target_class_weights(joint / source, source, target, ridge=9 * penalty.item())
    # Ours have the mean 1 in the source.
    assert found.tolist() == pytest.approx((expected / (source @ expected)).tolist(), rel=2e-5)
