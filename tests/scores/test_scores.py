"""Properties of every label-free score: rounding, order, batches, few or unusual inputs, collapse, labels."""

import math

import pytest
import torch
from predictions import (
    NUM_CLASSES,
    NUM_FEATURES,
    SCORES,
    collapsed_model,
    good_model,
    make_score,
    rounded,
    shuffled,
    trained_model,
    value_of,
)

from acclimate.scores.automatic import Automatic
from acclimate.scores.domain_accuracy import OracleAccuracy
from acclimate.types import Prediction

SAMPLED = ["class_ami", "dev", "devn", "iwv", "snd", "transfer_score"]
# They fit a classifier to a half of the images, or look at the neighbours of some.
DIVIDE = ["dev", "devn", "iwv", "transfer_score"]
# What the head of the YAML says of them.
FOOLED_BY_COLLAPSE = ["target_entropy", "snd"]
NEED_SOURCE = ["dev", "devn", "iwv", "source_accuracy"]


@pytest.mark.parametrize("name", [name for name in SCORES if name not in DIVIDE])
def test_order_of_images_does_not_matter(name):
    domains = good_model(noise=1.5)
    assert value_of(make_score(name), shuffled(domains)) == pytest.approx(value_of(make_score(name), domains), rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("name", DIVIDE)
def test_a_data_set_in_another_order_is_divided_into_other_parts_and_nothing_else_changes(name):
    domains = trained_model(0)
    assert value_of(make_score(name), shuffled(domains)) == pytest.approx(value_of(make_score(name), domains), abs=0.05)
    by_class = domains.target.logits.argmax(dim=1).argsort()
    in_order = domains._replace(target=Prediction(*(rows[by_class] for rows in domains.target)))
    assert value_of(make_score(name), in_order) == pytest.approx(value_of(make_score(name), domains), abs=0.05)


@pytest.mark.parametrize("batch_size", [1, 7])
@pytest.mark.parametrize("name", SCORES)
def test_number_of_batches_does_not_matter(name, batch_size):
    domains = good_model(noise=1.5)
    expected = value_of(make_score(name), domains)
    assert value_of(make_score(name), domains, batch_size=batch_size) == pytest.approx(expected, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("name", SAMPLED)
def test_sample_does_not_depend_on_batches(name):
    domains = good_model(noise=1.5)
    expected = value_of(make_score(name, max_samples=16), domains)
    assert expected != value_of(make_score(name), domains)
    for batch_size in (1, 7, 17, 64, 1000):
        assert value_of(make_score(name, max_samples=16), domains, batch_size=batch_size) == expected


def both_sizes(names):
    """Settings of scores that look at all images, and at fewer than there are."""
    return [(name, {}) for name in names] + [(name, {"max_samples": 400}) for name in names if name in SAMPLED]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("name", "settings"), both_sizes(SCORES))
def test_rounding_of_predictions_hardly_moves_a_score(name, settings, seed):
    domains = trained_model(seed)
    expected = value_of(make_score(name, **settings), domains)
    for other in range(2):
        assert value_of(make_score(name, **settings), rounded(domains, seed=other)) == pytest.approx(expected, abs=1e-4)


UNUSUAL = {
    "low rank": lambda features, logits: Prediction(features @ torch.randn(32, 256, generator=torch.Generator().manual_seed(1)), logits),
    "constant features": lambda features, logits: Prediction(torch.cat([features, torch.full((len(features), 16), 0.3)], dim=1), logits),
    "certain": lambda features, logits: Prediction(features, 100 * logits),
    "a missing class": lambda features, logits: Prediction(features, logits - 50 * torch.eye(NUM_CLASSES)[0]),
    "an impossible class": lambda features, logits: Prediction(features, logits + torch.tensor([-torch.inf, 0, 0, 0])),
    "collapsed": lambda features, logits: Prediction(torch.full_like(features, 0.3), torch.arange(4.0).expand_as(logits)),
}


@pytest.mark.parametrize("kind", UNUSUAL)
@pytest.mark.parametrize(("name", "settings"), both_sizes(SCORES))
def test_rounding_of_unusual_predictions_hardly_moves_a_score(name, settings, kind):
    domains = trained_model(0, num_source=500, num_target=900)
    domains = domains._replace(source=UNUSUAL[kind](*domains.source), target=UNUSUAL[kind](*domains.target))
    expected = value_of(make_score(name, **settings), domains)
    assert value_of(make_score(name, **settings), rounded(domains)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("name", "settings"), both_sizes(SCORES))
def test_batch_size_does_not_matter_for_many_images(name, settings):
    domains = trained_model(0)
    expected = value_of(make_score(name, **settings), domains, batch_size=10_000)
    for batch_size in (17, 64):
        assert value_of(make_score(name, **settings), domains, batch_size=batch_size) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("name", SCORES)
def test_a_second_validation_starts_anew(name):
    score = make_score(name)
    expected = value_of(score, good_model())
    score.reset()
    value_of(score, collapsed_model())
    score.reset()
    assert value_of(score, good_model()) == expected


@pytest.mark.parametrize("name", SCORES)
def test_collapse_does_not_win_except_where_it_is_said(name):
    good, collapsed = value_of(make_score(name), good_model()), value_of(make_score(name), collapsed_model())
    assert (collapsed > good) == (name in FOOLED_BY_COLLAPSE)


def test_a_collapsed_model_gets_the_lowest_value_of_the_default_and_so_never_wins():
    """A checkpoint is kept only if it is better than all before, and nothing is below it: not even a model that knows nothing."""
    ignorant = good_model()._replace(target=Prediction(torch.ones(60, NUM_FEATURES), torch.zeros(60, NUM_CLASSES)))
    values = [value_of(Automatic(), domains) for domains in (collapsed_model(), ignorant, good_model(noise=5.0), good_model())]
    assert values[0] == pytest.approx(1 / (2 * math.sqrt(NUM_CLASSES)), abs=1e-6)
    assert values == sorted(values)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("images", [(1, 1), (3, 2), (2, 3), (9, 13)])
@pytest.mark.parametrize("kind", ["usual", "constant", "zero", "ten thousand"])
@pytest.mark.parametrize("name", SCORES)
def test_value_is_finite(name, kind, images, dtype):
    domains = good_model(*images)
    change = {
        "usual": lambda rows: rows,
        "constant": torch.ones_like,
        "zero": torch.zeros_like,
        "ten thousand": lambda rows: 1e4 * (2 * (rows > 1).float() - 1),
    }[kind]
    source, target = (Prediction(*(change(rows).to(dtype) for rows in part)) for part in domains[:2])
    assert math.isfinite(value_of(make_score(name), domains._replace(source=source, target=target)))


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
@pytest.mark.parametrize("name", [*SCORES, "auto"])
def test_a_training_that_has_diverged_has_no_score(name, broken):
    domains = good_model()
    for part in (domains.source, domains.target):
        part.features[:] = broken
        part.logits[:] = broken
    assert math.isnan(value_of(make_score(name), domains))


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
@pytest.mark.parametrize(("name", "settings"), [*both_sizes([*SCORES]), ("auto", {})])
def test_a_single_prediction_that_is_not_finite_leaves_no_score(name, settings, broken):
    for place in (0, 777):
        domains = trained_model(0)
        part = domains.source if name == "source_accuracy" else domains.target
        (part.features if name == "rankme" else part.logits)[place, 2] = broken
        score = make_score(name, **settings)
        assert math.isnan(value_of(score, domains))
        score.reset()
        assert math.isfinite(value_of(score, trained_model(0)))


@pytest.mark.parametrize("labels", [torch.zeros(60, dtype=torch.int64), None])
def test_accuracy_of_predictions_that_are_not_finite_is_no_score(labels):
    score = OracleAccuracy()
    score.update("target", Prediction(torch.ones(60, 2), torch.full((60, 2), torch.nan)), labels)
    assert math.isnan(score.compute())


@pytest.mark.parametrize("name", [name for name in SCORES if name not in NEED_SOURCE])
def test_source_is_not_needed(name):
    score = make_score(name)
    score.update("target", good_model().target, None)
    assert float(score.compute()) == value_of(make_score(name), good_model())


@pytest.mark.parametrize("name", SCORES)
def test_target_labels_are_not_looked_at_even_if_they_are_given(name):
    domains = good_model()
    expected = value_of(make_score(name), domains)
    score = make_score(name)
    score.update("source", domains.source, domains.labels)
    score.update("target", domains.target, torch.full((60,), NUM_CLASSES + 99))
    assert float(score.compute()) == expected


@pytest.mark.parametrize("name", SCORES)
def test_predictions_that_require_no_gradient_leave_none(name):
    with torch.inference_mode():
        value = value_of(make_score(name), good_model())
    assert math.isfinite(value)


@pytest.mark.parametrize("name", SCORES)
def test_score_is_called_what_selects_it(name):
    assert make_score(name).name == name
    assert not make_score(name).is_oracle


@pytest.mark.parametrize("name", SCORES)
def test_autocast_makes_no_score_coarser(name):
    domains = good_model(noise=1.5)
    expected = value_of(make_score(name), domains)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert value_of(make_score(name), domains) == expected
