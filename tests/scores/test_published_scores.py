"""Scores next to numbers that published code gives for the same inputs; only what it returned is written here.

Scripts over folders of models were given these predictions in place of a model's.
"""

import pytest
import torch
from published_inputs import FEATURES, LOGITS, TARGET_LOGITS, chirp
from torch.nn import functional as F

from acclimate.losses.target_predictions import information
from acclimate.scores import transfer_score
from acclimate.scores.class_correlation import correlation_with_identity, relative_nuclear_norm
from acclimate.scores.cluster_agreement import cluster_agreement
from acclimate.scores.ensemble_agreement import ensemble_agreement
from acclimate.scores.feature_rank import effective_rank
from acclimate.scores.h_score import h_score
from acclimate.scores.importance_weighting import deep_embedded_risk, normalised_weights
from acclimate.scores.leep import log_expected_empirical_prediction
from acclimate.scores.logme import log_maximum_evidence
from acclimate.scores.soft_neighbourhood import soft_neighbourhood_density

LABELS = torch.arange(20) % 3
SEPARATED = FEATURES + F.one_hot(LABELS, 5)
# Of three models.
LOGITS_OF_MODELS = torch.stack([LOGITS, LOGITS + 1.5 * chirp(20, 4, phase=11.0), 0.5 * LOGITS + 2 * chirp(20, 4, phase=12.0)])
WEIGHTS, ERRORS = 1.5 + chirp(9, phase=1.0), chirp(9, phase=2.0).square()


def test_logme_is_that_of_its_authors():
    """LogME(regression=False).fit of github.com/thuml/LogME at 56551ca, which stops when a step changes less than a hundredth."""
    assert log_maximum_evidence(SEPARATED, LABELS).item() == pytest.approx(-0.44536351369700383, rel=1e-3)


def test_leep_is_that_of_published_code():
    """LEEP of github.com/thuml/LogME at 56551ca."""
    assert log_expected_empirical_prediction(LOGITS.softmax(dim=1), LABELS).item() == pytest.approx(-1.0220875886360132, rel=1e-9)


def test_h_score_is_that_of_published_code():
    """h_score in tllib/ranking/hscore.py of github.com/thuml/Transfer-Learning-Library at c4aa59e."""
    assert h_score(SEPARATED, LABELS).item() == pytest.approx(1.6068007666219075, rel=1e-6)


def test_deep_embedded_validation_is_that_of_its_authors():
    """get_dev_risk in dev.py of github.com/thuml/Deep-Embedded-Validation at abf9c96."""
    assert deep_embedded_risk(ERRORS, WEIGHTS).item() == pytest.approx(0.6774646545457614, rel=1e-7)


def test_normalised_deep_embedded_validation_is_that_of_its_authors():
    """get_dev_risk(..., 'max') in deep_embedded_validator.py of github.com/KevinMusgrave/pytorch-adapt at 1366df7."""
    assert deep_embedded_risk(ERRORS, normalised_weights(WEIGHTS)).item() == pytest.approx(0.5723430053118643, rel=1e-9)


def test_soft_neighbourhood_density_is_that_of_its_authors():
    """neighbor_density of the probabilities in nc_ps/eval.py of github.com/VisionLearningGroup/SND at 6aae970.

    It adds 1e-5 to each of 20 probabilities in the logarithm.
    """
    assert soft_neighbourhood_density(LOGITS).item() == pytest.approx(1.337363422970721, abs=2e-4)


def test_class_ami_is_that_of_its_authors():
    """get_clustering_performance with centroid_init='label_centers' in class_cluster_validator.py of pytorch-adapt at 1366df7.

    It starts at the centroids of the predicted classes; clusters are far enough apart for one best solution.
    """
    clusters = torch.arange(40) % 4
    features = 3 * F.one_hot(clusters, 5) + 0.4 * chirp(40, 5, phase=8.0)
    logits = 2 * F.one_hot(clusters, 4) + 1.6 * chirp(40, 4, phase=4.0)
    assert cluster_agreement(features, logits) == pytest.approx(0.48701830827791637, rel=1e-9)


def test_information_is_that_of_its_authors():
    """Entropy and diversity of pytorch-adapt at 1366df7: EntropyLoss and DiversityLoss, which its IMValidator adds."""
    assert information(TARGET_LOGITS).item() == pytest.approx(0.20526120804156966, rel=1e-9)


def test_nuclear_norm_is_that_of_published_code():
    """BNMLoss of pytorch-adapt at 1366df7 gives -norm / N; the score divides by sqrt(N · min(N, K))."""
    probabilities = TARGET_LOGITS.softmax(dim=1)
    found = relative_nuclear_norm(probabilities.T @ probabilities, 6).item()
    assert found == pytest.approx(0.37617041464154943 * 6 / (6 * 4) ** 0.5, rel=1e-9)


def test_rankme_is_that_of_one_of_its_authors():
    """RankMe in callbacks/rankme.py of github.com/rbalestr-lab/stable-pretraining at 9aa93f8, which adds 1e-5 to each share."""
    assert effective_rank(FEATURES.T @ FEATURES).item() == pytest.approx(4.834730015115014, rel=3e-4)


def test_ensemble_agreement_is_that_of_its_authors():
    """The scores in ensv of ensv.py of github.com/LHXXHB/EnsV at b0bb1d1, for three candidates."""
    assert ensemble_agreement(LOGITS_OF_MODELS.softmax(dim=-1)).tolist() == pytest.approx([0.65, 0.85, 0.45])


def test_correlation_with_the_identity_is_that_of_published_code():
    """Corr-C as test in ensv.py of the same repository computes it, which does not divide by sqrt(K)."""
    probabilities = LOGITS_OF_MODELS.softmax(dim=-1)
    found = [2 * correlation_with_identity(rows.T @ rows).item() for rows in probabilities]
    assert found == pytest.approx([1.5616449054892938, 1.560974388791827, 1.5992162852737786], rel=1e-6)


def test_transfer_score_is_that_of_its_authors_without_the_uniformity_of_the_weights(monkeypatch):
    """get_transfer_score in train.py of github.com/sleepyseal/TransferScore at 8b5c521, for one batch, plus its `u`.

    It probes a twentieth of the samples, here the first, and was given these random places. It adds 1e-5 to each
    probability in the logarithm of the entropy, and 1e-6 in that of their mean.
    """
    classes = torch.arange(60) % 4
    features = 2 * F.one_hot(classes, 5) + 0.8 * chirp(60, 5, phase=8.0)
    logits = 2 * F.one_hot(classes, 4) + 1.6 * chirp(60, 4, phase=4.0)
    monkeypatch.setattr(transfer_score, "PROBED", 0.05)
    monkeypatch.setattr(torch, "rand", lambda *shape, **options: 0.5 + 0.5 * chirp(*shape, phase=6.0))
    assert transfer_score.hopkins_statistic(features).item() == pytest.approx(0.5884886693749484, rel=1e-9)
    found = transfer_score.transferability_and_discriminability(features, logits).item()
    assert found == pytest.approx(0.8486429464796476 + 0.19254017189749276, abs=1e-4)
