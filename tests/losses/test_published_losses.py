"""Losses of one domain next to numbers that published code gives for the same inputs.

The code was run in float64, and in float32 where it knows nothing else; only what it returned is written here: the value, and
for each input the sum of its gradient times `chirp(..., phase=9.0)`, which sees every entry. Code for TensorFlow 1 was run with
compat.v1 of TensorFlow 2.21.
"""

import pytest
import torch
from published_inputs import FEATURES, SOURCE, SOURCE_LOGITS, TARGET, TARGET_LOGITS, chirp
from published_losses import ADAPT, TLLIB, Published, assert_as_published

from acclimate.losses.contrastive import nt_xent
from acclimate.losses.redundancy import redundancy_reduction
from acclimate.losses.rotation import rotation_prediction, rotations
from acclimate.losses.self_training import fixmatch, teacher_consistency
from acclimate.losses.spectral import spectral_shrinkage
from acclimate.losses.starting_point import feature_map_distance, shrinkage, starting_point_distance
from acclimate.losses.target_predictions import (
    batch_nuclear_norm,
    entropy_minimisation,
    information_maximisation,
    minimum_class_confusion,
)
from acclimate.methods.parts.centroid_labels import centroid_labels


def losses_of_shot(features):
    logits = features @ (2 * chirp(4, 5, phase=6.0)).T
    labels = centroid_labels(features.detach(), logits.detach())
    return information_maximisation(logits) + 0.3 * torch.nn.functional.cross_entropy(logits, labels)


PUBLISHED = {
    "bss": Published(
        TLLIB + "regularization/bss.py: BatchSpectralShrinkage with k=2",
        lambda features: spectral_shrinkage(features, num_values=2),
        [SOURCE],
        1.027236711684178,
        [-1.7069071835856087],
    ),
    "mcc": Published(
        TLLIB + "self_training/mcc.py: MinimumClassConfusionLoss with a temperature of 2.5",
        minimum_class_confusion,
        [TARGET_LOGITS],
        0.7251791963114491,
        [-0.021539964918102658],
        # It adds 1e-5 to probabilities in the entropy.
        1e-5,
    ),
    "bnm": Published(ADAPT + "bnm_loss.py: BNMLoss", batch_nuclear_norm, [TARGET_LOGITS], -0.37617041464154943, [-0.07762823475755681]),
    "bnm of its authors": Published(
        "github.com/cuishuhao/BNM at 2d23c61, DA/BNM/train_image.py: transfer_loss, which divides by the number of classes here",
        lambda logits: batch_nuclear_norm(logits) * 6 / 4,
        [TARGET_LOGITS],
        -0.5642556219623241,
        [-0.11644235213633525],
    ),
    "entropy_minimisation": Published(
        "github.com/DequanWang/tent at e9e926a, tent.py: softmax_entropy, its mean",
        entropy_minimisation,
        [TARGET_LOGITS],
        1.1308577508656248,
        [-0.18473857735339114],
    ),
    "information_maximisation": Published(
        ADAPT + "entropy_loss.py: entropy, its mean, plus diversity_loss.py: DiversityLoss",
        information_maximisation,
        [TARGET_LOGITS],
        -0.20526120804156966,
        [-0.13014794413134873],
    ),
    "shot of its authors": Published(
        "github.com/tim-learn/SHOT at f7d555a, object/image_target.py: classifier_loss of train_target with a head of these weights",
        losses_of_shot,
        [FEATURES],
        -0.5793934238305622,
        [0.3506951712633347],
        # It adds 1e-5 to probabilities in the logarithm.
        1e-6,
    ),
    "fixmatch": Published(
        TLLIB + "self_training/pseudo_label.py: ConfidenceBasedSelfTrainingLoss; two of six samples are confident",
        lambda strong: fixmatch(TARGET_LOGITS, strong, threshold=0.5),
        [SOURCE_LOGITS],
        0.1645053812978872,
        [-0.06536399163373628],
    ),
    "fixmatch of its authors": Published(
        "github.com/google-research/fixmatch at d4985a1, fixmatch.py: losses/xeu of FixMatch.model with confidence=0.5",
        lambda strong: fixmatch(TARGET_LOGITS, strong, threshold=0.5),
        [SOURCE_LOGITS],
        0.16450537741184235,
        [-0.06536398695427031],
        1e-6,
    ),
    "mean_teacher": Published(
        "github.com/Britefury/self-ensemble-visual-domain-adapt at a9808a1, compute_aug_loss with loss='var'",
        lambda student: teacher_consistency(student, TARGET_LOGITS, threshold=0.45),
        [SOURCE_LOGITS],
        0.011212519370019436,
        [0.001450372427351269],
        1e-5,
    ),
    "simclr": Published(
        "github.com/sthalles/SimCLR at 1848fc9, simclr.py: SimCLR.info_nce_loss and cross_entropy",
        lambda first, second: nt_xent(first, second, temperature=0.3),
        [SOURCE, TARGET],
        2.2108283038600893,
        [-1.197315145083442, 2.018087547936607],
    ),
    "simclr of its authors": Published(
        "github.com/google-research/simclr at 383d414, objective.py: add_contrastive_loss, which adds the means of two halves",
        lambda first, second: 2 * nt_xent(first, second, temperature=0.3),
        [SOURCE, TARGET],
        4.421656608581543,
        [2 * -1.1973151002627915, 2 * 2.01808735253165],
        1e-6,
    ),
    "barlow_twins": Published(
        "github.com/facebookresearch/barlowtwins at 8e8d284, main.py: BarlowTwins.forward with λ = 0.0051",
        lambda first, second: redundancy_reduction(first, second, off_diagonal_weight=0.0051),
        [SOURCE, TARGET],
        1.908418183759653,
        [-2.643523157366885, 4.7049068652095105],
        # Its batch norm adds 1e-5 to the variance.
        1e-4,
    ),
    "rotation": Published(
        "github.com/gidariss/FeatureLearningRotNet at edafaba, dataloader.py: DataLoader, and its CrossEntropyLoss",
        lambda images: rotation_prediction(rotations(images).flatten(1) @ chirp(48, 4, phase=5.0)),
        # Its images are bytes.
        [(127.5 + 127.5 * chirp(3, 3, 4, 4)).round() / 255],
        3.168778038188553,
        [],
        1e-7,
    ),
    "l2_sp of old layers": Published(
        TLLIB + "regularization/delta.py: SPRegularization",
        lambda weight, bias: starting_point_distance([weight, bias], [SOURCE, SOURCE[:, 0]]),
        [TARGET, TARGET[:, 1]],
        15.670575765721999,
        [],
    ),
    "l2_sp of new layers": Published(
        TLLIB + "regularization/delta.py: L2Regularization",
        lambda weight, bias: shrinkage([weight, bias]),
        [TARGET, TARGET[:, 1]],
        15.43089901112349,
        [],
    ),
    "delta": Published(
        "github.com/lixingjian/DELTA at 6ba10d2, train.py: reg_fea_map, which does not divide by the squared norm of the maps",
        lambda maps: feature_map_distance([maps], [SOURCE]) * SOURCE.square().sum(),
        [TARGET],
        10.886899920315104,
        [11.859331520101819],
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_loss_and_its_gradient_are_those_of_published_code(name):
    assert_as_published(PUBLISHED[name])
