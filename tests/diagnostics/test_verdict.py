"""The verdict on made-up numbers."""

import math

import pytest
import torch
from test_training_problems import COLLAPSED, assert_options_exist, evidence

from acclimate.diagnostics.verdict import NO_PROOF, Signs, memorised_source, verdict


def confusion(correct, num_inputs=400):
    """Four equally frequent classes, whose mistakes are all taken for the next class."""
    row = torch.tensor([correct, 1 - correct, 0, 0]) * num_inputs / 4
    return torch.stack([row.roll(number) for number in range(4)]).round().long()


def signs(evidence=evidence(), *, train=0.92, val=0.9, num_inputs=400, distance=0.4, aligns=True):  # noqa: B008
    return Signs(evidence, train, None if val is None else confusion(val, num_inputs), distance, aligns)


def test_a_healthy_run_is_said_to_have_no_bad_sign():
    assert verdict(signs()) == [
        "Is it learning? Source accuracy 0.92 on training inputs, 0.90 on validation inputs: no sign of memorising.",
        "Is it adapting? Proxy A-distance 0.40 (0: alike, 2: apart): the features of the domains are near.",
        "Can it be trusted? Target predictions as diverse as 4.0 equally frequent classes, the source has 4.0: no sign of a collapse.",
        NO_PROOF,
    ]
    assert memorised_source(signs()) is None


@pytest.mark.parametrize(
    ("changed", "place", "said"),
    [
        ({"train": 1.0, "val": 0.6}, 0, "1.00 on training inputs, 0.60 on validation inputs: memorised."),
        ({"train": 0.3, "val": 0.28}, 0, "hardly better than the most frequent class for all (0.25)."),
        ({"distance": 1.4}, 1, "Proxy A-distance 1.40 (0: alike, 2: apart): the features of the domains are still apart."),
        ({"distance": 1.4, "aligns": False}, 1, "are still apart, but this method does not align them."),
        ({"distance": 0.1, "aligns": False}, 1, "are near, although this method does not align them."),
        (
            {"evidence": COLLAPSED},
            2,
            "as diverse as 1.1 equally frequent classes, the source has 4.0: collapsed, unless the target really is like that.",
        ),
        ({"evidence": evidence(target=(50, 50, 0, 0))}, 2, "collapsing, unless the target really is like that."),
    ],
)
def test_a_bad_sign_is_told_in_its_line(changed, place, said):
    lines = verdict(signs(**changed))
    assert len(lines) == 4
    assert lines[place].endswith(said)


def test_what_was_not_measured_is_left_out():
    without_source = evidence(accuracies=())._replace(source_counts=None)
    of_target = {"train": None, "val": None, "distance": None}
    assert verdict(signs(without_source, **of_target)) == [
        "Can it be trusted? Target predictions as diverse as 4.0 equally frequent classes, there are 4: no sign of a collapse.",
        NO_PROOF,
    ]
    without_target = verdict(signs(evidence(target=None), distance=None))
    assert [line.partition("?")[0] for line in without_target] == ["Is it learning"]
    assert len(verdict(signs(distance=math.nan))) == 3
    assert verdict(signs(without_source._replace(target_counts=None), **of_target)) == []


def test_a_memorised_source_is_told_with_numbers_and_an_option_that_exists():
    message = memorised_source(signs(train=1.0, val=0.6))
    assert "100% of the source's training inputs are recognised, but only 60% of its 400 validation inputs" in message
    assert_options_exist(message)


def test_a_source_that_is_learned_better_than_it_generalises_is_not_memorised_yet():
    assert memorised_source(signs(train=0.75, val=0.6)) is None
    # Of 20 inputs, three standard errors are 33 points.
    assert memorised_source(signs(train=0.9, val=0.6, num_inputs=20)) is None
    assert memorised_source(signs(train=1.0, val=0.6, num_inputs=20)) is not None


def test_few_inputs_that_cannot_show_all_classes_are_no_collapse():
    assert "no sign of a collapse" in verdict(signs(evidence()._replace(target_counts=torch.tensor([1, 1, 1, 0]))))[2]
