"""Translation of classes into those of a pretrained model."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from acclimate.methods.parts.category_relationship import calibrated_relationship, direct_relationship, logistic_regression


def predictions(num_images=40, num_classes=3, num_pretrained=5, seed=0):
    """Of a pretrained model whose class c is mostly predicted for images of class c, and others for none in particular."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(num_images) % num_classes
    logits = torch.randn(num_images, num_pretrained, generator=generator)
    logits[torch.arange(num_images), labels] += 2
    return logits.softmax(dim=1), labels


@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize("strength", [100.0, 0.1])
def test_logistic_regression_is_that_of_scikit_learn(num_classes, strength):
    probabilities, labels = predictions(num_classes=num_classes)
    found = logistic_regression(probabilities.double(), labels, num_classes=num_classes, strength=strength)
    expected = LogisticRegression(C=strength, fit_intercept=False, tol=1e-10, max_iter=10_000).fit(probabilities.numpy(), labels.numpy())
    if num_classes == 3:
        np.testing.assert_allclose(found.numpy(), expected.coef_, rtol=1e-3, atol=1e-4)
    else:
        # Of two classes it has one vector, the difference of ours, whose square is twice the sum of theirs.
        single = LogisticRegression(C=2 * strength, fit_intercept=False, tol=1e-10, max_iter=10_000)
        difference = single.fit(probabilities.numpy(), labels.numpy()).coef_[0]
        np.testing.assert_allclose((found[1] - found[0]).numpy(), difference, rtol=1e-3, atol=1e-4)


def published(probabilities, labels):
    """The reverse approach written again with scikit-learn, for every fourth image of a class held out."""
    x, y = probabilities.double().numpy(), labels.numpy()
    place = np.array([np.sum(y[: number + 1] == label) for number, label in enumerate(y)])
    fit, held = place % 4 != 0, place % 4 == 0
    fits = [
        LogisticRegression(C=10.0**power, fit_intercept=False, tol=1e-10, max_iter=10_000).fit(x[fit], y[fit]) for power in range(4, -5, -1)
    ]
    coef = fits[int(np.argmax([one.score(x[held], y[held]) for one in fits]))].coef_

    def softmax(logits):
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    scales = np.logspace(-2, 2, 401)
    losses = [-np.log(softmax(scale * x[held] @ coef.T)[np.arange(held.sum()), y[held]]).mean() for scale in scales]
    class_given_pretrained = softmax(scales[int(np.argmin(losses))] * coef.T)
    joint = (class_given_pretrained * x.mean(axis=0)[:, None]).T
    return joint / joint.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(3))
def test_calibrated_relationship_is_the_published_algorithm(seed):
    probabilities, labels = predictions(seed=seed)
    found = calibrated_relationship(probabilities, labels, num_classes=3)
    np.testing.assert_allclose(found.numpy(), published(probabilities, labels), rtol=5e-3, atol=1e-4)


@pytest.mark.parametrize("relate", [direct_relationship, calibrated_relationship])
def test_each_class_is_translated_into_a_distribution_with_its_own_class_first(relate):
    probabilities, labels = predictions()
    relationship = relate(probabilities, labels, num_classes=3)
    assert relationship.shape == (3, 5)
    torch.testing.assert_close(relationship.sum(dim=1), torch.ones(3))
    assert relationship.argmax(dim=1).tolist() == [0, 1, 2]


@pytest.mark.parametrize("relate", [direct_relationship, calibrated_relationship])
def test_the_order_of_the_pretrained_classes_does_not_matter(relate):
    probabilities, labels = predictions()
    order = torch.tensor([3, 0, 4, 2, 1])
    found = relate(probabilities[:, order], labels, num_classes=3)
    torch.testing.assert_close(found, relate(probabilities, labels, num_classes=3)[:, order], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("relate", [direct_relationship, calibrated_relationship])
def test_one_image_of_each_class_or_none_gives_a_distribution_as_well(relate):
    probabilities, _ = predictions(num_images=2)
    relationship = relate(probabilities, torch.tensor([0, 1]), num_classes=3)
    torch.testing.assert_close(relationship.sum(dim=1), torch.ones(3))
