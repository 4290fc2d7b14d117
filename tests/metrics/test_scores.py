"""What holds for every label-free score: order, batches, few or odd images, collapse, labels."""

import math

import pytest
import torch
from predictions import NUM_CLASSES, NUM_FEATURES, SCORES, collapsed_model, good_model, make_score, shuffled, value_of

from acclimate.metrics.automatic import Automatic
from acclimate.types import Prediction

SAMPLED = ["class_ami", "dev", "devn", "iwv", "snd", "transfer_score"]
# What the head of the YAML says of them.
FOOLED_BY_COLLAPSE = ["target_entropy", "snd"]
NEED_SOURCE = ["dev", "devn", "iwv", "source_accuracy"]


@pytest.mark.parametrize("name", SCORES)
def test_order_of_images_does_not_matter(name):
    domains = good_model(noise=1.5)
    assert value_of(make_score(name), shuffled(domains)) == pytest.approx(value_of(make_score(name), domains), rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("batch_size", [1, 7])
@pytest.mark.parametrize("name", SCORES)
def test_number_of_batches_does_not_matter(name, batch_size):
    domains = good_model(noise=1.5)
    expected = value_of(make_score(name), domains)
    assert value_of(make_score(name), domains, batch_size=batch_size) == pytest.approx(expected, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("name", SAMPLED)
def test_sample_depends_neither_on_order_nor_on_batches(name):
    domains = good_model(noise=1.5)
    expected = value_of(make_score(name, max_samples=16), domains)
    assert expected != value_of(make_score(name), domains)
    for batch_size in (1, 7, 1000):
        assert value_of(make_score(name, max_samples=16), shuffled(domains), batch_size=batch_size) == expected


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


@pytest.mark.parametrize("name", SCORES)
def test_a_training_that_has_diverged_ends_in_no_error_and_never_wins(name):
    broken = good_model()
    for part in (broken.source, broken.target):
        part.features[:] = torch.nan
        part.logits[:] = torch.nan
    value = value_of(make_score(name), broken)
    assert math.isnan(value) or value < value_of(make_score(name), good_model())


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
