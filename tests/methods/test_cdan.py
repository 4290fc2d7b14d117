"""CDAN and CDAN+E."""

import math

import pytest
import torch
from single_steps import NUM_CLASSES, NUM_FEATURES, UNEQUAL_SIZES, Objectives, assert_same_step, tiny_batch, tiny_method
from torch.nn import functional as F

from acclimate.methods.cdan import Cdan
from acclimate.methods.parts.multilinear_map import MultilinearMap


def algorithm(method, batch, *, weighted, randomised=False):
    """Long et al., NeurIPS 2018, Eq. 8 to 10, as a game of two players instead of a reversed gradient."""
    strength = 2 / (1 + math.exp(-10 * 0.5)) - 1
    errors, weights, logits = [], [], []
    for images, domain in ((batch.source.inputs, 1.0), (batch.target.views[0], 0.0)):
        features, predicted = method.classifier(images)
        probabilities = F.softmax(predicted, dim=1).detach()
        if randomised:
            joint = (features @ method.map.random_features) * (probabilities @ method.map.random_probabilities) / math.sqrt(5)
        else:
            joint = torch.stack([torch.outer(p, f).flatten() for p, f in zip(probabilities, features, strict=True)])
        said = method.discriminator(joint)[:, 0]
        errors.append(F.binary_cross_entropy_with_logits(said, torch.full_like(said, domain), reduction="none"))
        entropy = -(probabilities * probabilities.log()).sum(dim=1)
        weights.append(1 + torch.exp(-entropy) if weighted else torch.ones_like(entropy))
        logits.append(predicted)
    classification = F.cross_entropy(logits[0], batch.source.labels)
    domain = sum((w / w.sum() * e).sum() for w, e in zip(weights, errors, strict=True)) / 2
    return Objectives({"classification": classification, "domain": domain}, classification - strength * domain, domain)


@pytest.mark.parametrize("sizes", UNEQUAL_SIZES)
@pytest.mark.parametrize("weighted", [False, True])
def test_step_is_that_of_the_paper(sizes, weighted):
    method = tiny_method(Cdan, entropy_weighting=weighted, discriminator_width=8)
    assert_same_step(method, tiny_batch(*sizes), lambda *arguments: algorithm(*arguments, weighted=weighted))


def test_step_with_the_randomised_map_is_that_of_the_paper():
    method = tiny_method(Cdan, discriminator_width=8, max_map_outputs=NUM_CLASSES * NUM_FEATURES - 1, random_map_width=5)
    assert_same_step(method, tiny_batch(), lambda *arguments: algorithm(*arguments, weighted=False, randomised=True))


@pytest.mark.parametrize("weighted", [False, True])
def test_predictions_are_constants_for_the_discriminator(weighted):
    method, batch = tiny_method(Cdan, entropy_weighting=weighted), tiny_batch()
    domain = method.losses(*method.passes(batch)[:2])["domain"]
    assert torch.autograd.grad(domain, method.classifier.head.weight, allow_unused=True) == (None,)


def test_discriminator_learns_at_full_speed_before_the_features_do():
    method, batch = tiny_method(Cdan, progress=0.0), tiny_batch()
    method.losses(*method.passes(batch)[:2])["domain"].backward()
    assert all(not parameter.grad.any() for parameter in method.classifier.backbone.parameters())
    assert all(parameter.grad.any() for parameter in method.discriminator.parameters())


def test_reversal_and_domain_accuracy_are_logged():
    method = tiny_method(Cdan)
    method.training_step(tiny_batch(), 0)
    assert method.logged["adaptation/reversal"] == pytest.approx(2 / (1 + math.exp(-5)) - 1)
    assert 0 <= method.logged["adaptation/domain_accuracy"] <= 1


def test_map_is_the_outer_product_by_hand():
    mapped = MultilinearMap(2, 3)(torch.tensor([[2.0, 3.0]]), torch.tensor([[0.5, 0.25, 0.25]]))
    assert mapped.tolist() == [[1.0, 1.5, 0.5, 0.75, 0.5, 0.75]]


def test_map_is_randomised_only_beyond_the_paper_s_limit():
    assert (MultilinearMap(1024, 4).num_outputs, MultilinearMap(1025, 4).num_outputs) == (4096, 1024)
    assert not MultilinearMap(1024, 4).state_dict()


def test_random_matrices_are_saved_and_not_trained():
    random_map = MultilinearMap(64, 65)
    assert random_map.state_dict().keys() == {"random_features", "random_probabilities"}
    assert not list(random_map.parameters())
    other = MultilinearMap(64, 65)
    features, probabilities = torch.randn(2, 64), torch.rand(2, 65)
    assert not torch.equal(other(features, probabilities), random_map(features, probabilities))
    other.load_state_dict(random_map.state_dict())
    assert torch.equal(other(features, probabilities), random_map(features, probabilities))


def test_randomised_map_keeps_inner_products_on_average():
    """Theorem 1 of the paper."""
    torch.manual_seed(0)
    features, probabilities = torch.randn(2, 8, dtype=torch.float64), torch.rand(2, 4, dtype=torch.float64)
    exact, randomised = MultilinearMap(8, 4), MultilinearMap(8, 4, max_outputs=0, num_random=200_000).double()
    first, second = exact(features, probabilities)
    random_first, random_second = randomised(features, probabilities)
    assert (random_first @ random_second).item() == pytest.approx((first @ second).item(), abs=0.05 * (first.norm() * second.norm()).item())
