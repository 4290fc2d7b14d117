"""Losses on the target's predictions are added to a method without writing Python."""

import pytest
import torch
from small_runs import SMALL, build_method
from torch.nn import functional as F

import acclimate
from acclimate.cli import GROUPS
from acclimate.config.check import check_config
from acclimate.config.groups import group_options
from acclimate.config.instantiate import locate
from acclimate.errors import ConfigError
from acclimate.losses.target_predictions import batch_nuclear_norm, minimum_class_confusion

TERMS = group_options("terms")
# Terms that take more than the target's logits have tests of their own.
SELF_TRAINING = ("fixmatch", "mean_teacher", "pseudo_label")
OF_LOGITS_ALONE = [name for name in TERMS if name not in SELF_TRAINING]
SUPERVISED = ("source_only", "fine_tune", "linear_probe")
ADAPTING = [name for name in group_options("method") if name not in SUPERVISED]


def compose_command(folder, *overrides):
    """Compose a configuration as the command line does."""
    return acclimate.compose([*overrides, *SMALL], folder=folder)


def terms_of(folder, *overrides):
    method = compose_command(folder, *overrides)["method"]
    return method.get("terms"), method.get("term_weights")


@pytest.mark.parametrize("name", TERMS)
def test_each_term_has_its_own_name_and_a_weight(tmp_path, archives, name):
    terms, weights = terms_of(tmp_path, *archives, "method=dann", f"+terms={name}")
    assert list(terms) == list(weights) == [name]
    check_config(compose_command(tmp_path, *archives, "method=dann", f"+terms={name}"))


@pytest.mark.parametrize("method", ADAPTING)
def test_term_joins_every_method_that_adapts(tmp_path, archives, method):
    terms, weights = terms_of(tmp_path, *archives, f"method={method}", "+terms=bnm")
    assert "bnm" in terms
    assert weights["bnm"] == 1.0


def test_several_terms_are_added_at_once(tmp_path, archives):
    terms, weights = terms_of(tmp_path, *archives, "method=dann", "+terms=[mcc,bnm]")
    assert weights == {"mcc": 1.0, "bnm": 1.0}
    assert terms["mcc"]["temperature"] == 2.5


def test_weight_of_a_term_is_set_on_the_command_line(tmp_path, archives):
    _, weights = terms_of(tmp_path, *archives, "method=dann", "+terms=[mcc,bnm]", "++method.term_weights.mcc=0.5")
    assert weights == {"mcc": 0.5, "bnm": 1.0}


def test_recipe_is_the_method_with_the_term(tmp_path, archives):
    recipe, by_hand = (compose_command(tmp_path, *archives, *words) for words in (["method=dann_mcc"], ["method=dann", "+terms=mcc"]))
    assert recipe["method"] == by_hand["method"]


def test_recipe_takes_further_terms(tmp_path, archives):
    assert set(terms_of(tmp_path, *archives, "method=dann_mcc", "+terms=bnm")[0]) == {"mcc", "bnm"}


def test_term_is_refused_where_no_target_is_looked_at(tmp_path, archives):
    with pytest.raises(ConfigError, match=r"mcc.* need the target"):
        build_method(compose_command(tmp_path, *archives, "method=source_only", "+terms=mcc"))


def test_group_is_in_the_help():
    assert "terms" in GROUPS


@pytest.mark.parametrize("method", TERMS)
def test_method_of_the_same_name_has_the_term_alone(tmp_path, archives, method):
    config = compose_command(tmp_path, *archives, f"method={method}")["method"]
    assert list(config["terms"]) == [method]
    assert config["_target_"] == "acclimate.methods.terms_alone.TermsAlone"


def test_method_without_any_term_is_refused(tmp_path, archives):
    config = compose_command(tmp_path, *archives, "method=mcc")
    config["method"] |= {"terms": {}, "term_weights": {}}
    with pytest.raises(ConfigError, match=r"\+terms=mcc"):
        build_method(config)


@pytest.mark.parametrize("name", OF_LOGITS_ALONE)
def test_one_step_is_that_of_plain_torch(tmp_path, archives, name):
    config = compose_command(
        tmp_path, *archives, f"method={name}", "optimizer=sgd", "scheduler=constant", f"++method.term_weights.{name}=0.7"
    )
    (parts, batch), (others, _) = build_method(config), build_method(config)
    ours, theirs = parts.method, others.method.classifier
    optimizer = ours.configure_optimizers()["optimizer"]
    total = ours.training_step(batch, 0)
    total.backward()
    optimizer.step()

    settings = config["method"]["terms"][name]
    term = locate(settings["_target_"])
    keywords = {key: value for key, value in settings.items() if not key.startswith("_")}
    plain = torch.optim.SGD(theirs.parameters(), lr=0.01, momentum=0.9, weight_decay=0.0005, nesterov=True)
    source, target = theirs(batch.source.inputs), theirs(batch.target.views[0])
    loss = F.cross_entropy(source.logits, batch.source.labels) + 0.7 * term(target.logits, **keywords)
    loss.backward()
    plain.step()

    torch.testing.assert_close(total, loss)
    for name_, weights in theirs.named_parameters():
        torch.testing.assert_close(ours.classifier.get_parameter(name_), weights)


def test_two_terms_are_both_in_the_sum(tmp_path, archives):
    overrides = ("method=dann", "+terms=[mcc,bnm]", "++method.term_weights.bnm=0.25")
    parts, batch = build_method(compose_command(tmp_path, *archives, *overrides))
    method = parts.method
    logged = {}
    method.log_dict = lambda values, **_: logged.update(values)
    total = method.training_step(batch, 0)
    with torch.no_grad():
        logits = method.passes(batch)[1].logits
    torch.testing.assert_close(logged["loss/mcc"], minimum_class_confusion(logits))
    torch.testing.assert_close(logged["loss/bnm"], 0.25 * batch_nuclear_norm(logits))
    torch.testing.assert_close(total.detach(), torch.stack(list(logged.values())).sum())
