"""Losses that align the domains next to numbers that published code gives for the same inputs.

The code was run in float64, and in float32 where it knows nothing else; only what it returned is written here: the value, and
for each input the sum of its gradient times `chirp(..., phase=9.0)`, which sees every entry. Code for TensorFlow 1 was run with
compat.v1 of TensorFlow 2.21.
"""

import pytest
import torch
from published_inputs import LABELS, SOURCE, SOURCE_LOGITS, TARGET, TARGET_LOGITS, chirp
from published_losses import ADAPT, TLLIB, Published, assert_as_published

from acclimate.losses.adversarial import certainty_weights, domain_confusion, inverted_labels
from acclimate.losses.classifier_discrepancy import classifier_discrepancy
from acclimate.losses.correlation_alignment import correlation_alignment
from acclimate.losses.feature_norm import feature_norm_growth
from acclimate.losses.kernel_discrepancy import joint_maximum_mean_discrepancy, maximum_mean_discrepancy
from acclimate.losses.margin_disparity import margin_disparity
from acclimate.losses.optimal_transport import joint_transport_costs
from acclimate.losses.spectral import spectral_penalty
from acclimate.losses.wasserstein import gradient_penalty, interpolates, wasserstein_estimate
from acclimate.methods.parts.critic import DomainCritic
from acclimate.methods.parts.transport_plan import transport_plan

WDGRL = "github.com/RockySJ/WDGRL at f1f8c3a, toy/wd.py: "
BANDWIDTHS = [0.7, 1.5, 3.0]
# Published features come out of a ReLU. The critic's slopes are above and below 1.
CRITIC_INPUTS = SOURCE.abs(), TARGET.abs()
CRITIC_WEIGHTS = [chirp(5, 10, phase=5.0).T, 0.3 * chirp(10, phase=6.0), 0.7 * chirp(1, 10, phase=7.0)]


def domain_loss(source, target):
    return domain_confusion(torch.cat([source, target]), num_source=len(source))


def weighted_domain_loss(logits):
    weights = certainty_weights(torch.cat([SOURCE_LOGITS, TARGET_LOGITS]))
    return domain_confusion(logits, num_source=6, weights=weights)


def classification_and_disparity(logits, adversary_logits):
    (source, target), (source_said, target_said) = logits.split(6), adversary_logits.split(6)
    disparity = margin_disparity(
        source_said, target_said, source_classes=source.argmax(dim=1), target_classes=target.argmax(dim=1), margin=4.0
    )
    return torch.nn.functional.cross_entropy(source, LABELS) + disparity


def sum_of_kernels(source, target):
    return 3 * maximum_mean_discrepancy(source, target, bandwidths=BANDWIDTHS) + 2 / (len(source) - 1)


def product_of_sums_of_kernels(source, target, source_probabilities, target_probabilities):
    layers = [source, source_probabilities], [target, target_probabilities]
    return 2 * joint_maximum_mean_discrepancy(*layers, bandwidths=[BANDWIDTHS[:2], [0.92]]) + 2 / (len(source) - 1)


def transport(source, target, target_logits):
    costs = joint_transport_costs(source, LABELS, target, target_logits, feature_weight=0.3, label_weight=0.7)
    return (transport_plan(costs) * costs).sum()


def transport_by_a_given_plan(source, target, target_logits):
    costs = joint_transport_costs(source, LABELS, target, target_logits, feature_weight=0.3, label_weight=0.7)
    return costs[torch.arange(6), torch.tensor([2, 0, 1, 5, 3, 4])].mean()


def critic_with(hidden_weight, hidden_bias, output_weight):
    weights = {"hidden.weight": hidden_weight, "hidden.bias": hidden_bias, "output.weight": output_weight}
    return lambda features: torch.func.functional_call(DomainCritic(5, width=10), weights, features)


def distance_of_the_critic(source, target):
    critic = critic_with(*CRITIC_WEIGHTS)
    return wasserstein_estimate(critic(source), critic(target))


def loss_of_the_critic(*weights):
    source, target = CRITIC_INPUTS
    critic = critic_with(*weights)
    between = interpolates(source, target, positions=0.5 + 0.5 * chirp(6, phase=4.0))
    distance = wasserstein_estimate(critic(source), critic(target))
    return 10 * gradient_penalty(critic, torch.cat([source, target, between])) - distance


PUBLISHED = {
    "dann": Published(
        TLLIB + "alignment/dann.py: DomainAdversarialLoss",
        domain_loss,
        [SOURCE[:, :1], TARGET[:5, :1]],
        0.8589855432510376,
        [0.032864393023535256, -0.015156242393388742],
        1e-5,
    ),
    "cdan_e": Published(
        "github.com/thuml/CDAN at c904cd3, pytorch/loss.py: CDAN with entropy",
        weighted_domain_loss,
        [torch.cat([SOURCE, TARGET])[:, :1]],
        0.8374093174934387,
        [0.16256751389419188],
        1e-4,
    ),
    "adda": Published(
        TLLIB + "alignment/adda.py: DomainAdversarialLoss", inverted_labels, [TARGET[:, :1]], 0.6251940413547591, [0.008087290692425654]
    ),
    "adda of its authors": Published(
        "github.com/erictzeng/adda at 383f655, tools/train_adda.py: mapping_loss, half of which is the source, a constant",
        lambda target: (inverted_labels(-SOURCE[:, :1]) + inverted_labels(target)) / 2,
        [TARGET[:, :1]],
        0.6525995135307312,
        [0.004043645466722853],
        1e-6,
    ),
    "mdd": Published(
        "github.com/thuml/MDD at 51e5484, model/MDD.py: MDD.get_loss",
        classification_and_disparity,
        [torch.cat([SOURCE_LOGITS, TARGET_LOGITS]), torch.cat([TARGET_LOGITS, SOURCE_LOGITS])],
        6.534158586750857,
        [0.3674851301894916, -1.001071887466985],
    ),
    "mcd": Published(
        "github.com/mil-tokyo/MCD_DA at af10217, classification/solver.py: Solver.discrepancy",
        classifier_discrepancy,
        [SOURCE_LOGITS, TARGET_LOGITS],
        0.15188736968312697,
        [-0.01469412352131808, -0.02973471328869761],
    ),
    "dan": Published(
        TLLIB + "alignment/dan.py: MultipleKernelMaximumMeanDiscrepancy, which sums its kernels and adds 2 / (N - 1)",
        sum_of_kernels,
        [SOURCE, TARGET],
        0.4673565360549377,
        [0.4328624384435312, 0.2711593498397537],
        1e-6,
    ),
    "jan": Published(
        TLLIB + "alignment/jan.py: JointMultipleKernelMaximumMeanDiscrepancy, with the same differences",
        product_of_sums_of_kernels,
        [SOURCE, TARGET, SOURCE_LOGITS.softmax(dim=1), TARGET_LOGITS.softmax(dim=1)],
        0.4064157009124756,
        [0.2911485834313865, 0.19770024928426583, -0.01170402890231946, -0.05834589146939058],
        1e-6,
    ),
    "deep_coral": Published(
        ADAPT + "coral_loss.py: CORALLoss",
        correlation_alignment,
        [SOURCE, TARGET[:5]],
        0.011760287756360956,
        [-0.012138706559412665, 0.008871010050868206],
    ),
    "deep_jdot": Published(
        "github.com/scikit-adaptation/skada at 46bc3db, skada/deep/losses.py: deepjdot_loss, with POT 0.9.7",
        transport,
        [SOURCE, TARGET, TARGET_LOGITS],
        1.8062424220421813,
        [-0.5191615734542969, 0.14363574181510397, 0.06872774914957584],
    ),
    "deep_jdot of its authors": Published(
        "github.com/bbdamodaran/deepJDOT at b881467, Deepjdot.py: align_loss plus classifier_cat_loss without the source's",
        transport_by_a_given_plan,
        [SOURCE, TARGET, TARGET_LOGITS],
        2.8020862003066718,
        [-0.9034850493930446, 0.146480867330873, 0.24740078454697118],
    ),
    "wdgrl": Published(
        WDGRL + "wd_loss",
        distance_of_the_critic,
        list(CRITIC_INPUTS),
        -0.10540395975112915,
        [-0.10728185245339635, 0.3361034225333676],
        1e-5,
    ),
    "wdgrl's critic": Published(
        WDGRL + "-wd_loss + gp_param * gradient_penalty",
        loss_of_the_critic,
        CRITIC_WEIGHTS,
        0.2856737971305847,
        [-1.6146628151501994, 0.07735071986615552, -1.6444290184388692],
        1e-5,
    ),
    "afn": Published(
        "github.com/jihanyang/AFN at d96515b, vanilla/Office31/SAFN/code/train.py: get_L2norm_loss_self_driven",
        feature_norm_growth,
        [SOURCE],
        1.0,
        [2.4202198825700734],
    ),
    "bsp": Published(
        TLLIB + "alignment/bsp.py: BatchSpectralPenalizationLoss",
        lambda source, target: spectral_penalty(source) + spectral_penalty(target),
        [SOURCE, TARGET],
        16.96563826217323,
        [-8.273634495181607, 0.9065039860264799],
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_loss_and_its_gradient_are_those_of_published_code(name):
    assert_as_published(PUBLISHED[name])


def test_transport_plan_is_that_of_pot():
    """`ot.emd` and `ot.emd2` of POT 0.9.7, for squared distances of six and four samples of equal weight."""
    costs = torch.cdist(SOURCE, TARGET[:4]).square()
    plan = transport_plan(costs)
    twelfths = [[2, 0, 0, 0], [1, 1, 0, 0], [0, 2, 0, 0], [0, 0, 0, 2], [0, 0, 1, 1], [0, 0, 2, 0]]
    torch.testing.assert_close(plan, torch.tensor(twelfths, dtype=torch.float64) / 12)
    assert (plan * costs).sum().item() == pytest.approx(4.226945597927282, rel=1e-9)
