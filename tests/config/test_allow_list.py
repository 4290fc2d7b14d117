"""The list of what is built from files, against the configs of the package."""

import pytest
import yaml

from acclimate.config.allow_list import ALLOWED
from acclimate.config.groups import conf_dir, group_options
from acclimate.config.instantiate import locate
from acclimate.config.machine import PLACES
from acclimate.config.signatures import parameters
from acclimate.config.untrusted import targets
from acclimate.inputs import MODELS, InputSpec

NAMES = [(group, name) for group, names in ALLOWED.items() for name in names]


def test_all_that_the_configs_build_may_come_from_a_checkpoint():
    # Launchers and sweepers are Hydra's, which are in no checkpoint.
    configs = [path for path in conf_dir().rglob("*.yaml") if not path.is_relative_to(conf_dir() / "hydra")]
    named = set().union(*(targets(yaml.safe_load(path.read_text())) for path in configs))
    assert len(named) > 60
    assert named - {name for _, name in NAMES} == set()


@pytest.mark.parametrize(("group", "name"), NAMES)
def test_each_name_is_that_of_something_and_takes_the_settings_listed(group, name):
    accepted = {"compile", "on_nonfinite"} if group == "trainer" else set()
    assert set(ALLOWED[group][name] or ()) <= accepted.union(parameters(locate(name)))


def test_no_name_is_that_of_a_package_or_module():
    assert all(callable(locate(name)) for _, name in NAMES)


def test_messages_know_the_places_of_each_data_set_and_a_model_for_each_kind_of_input():
    needs_source = [path for path in (conf_dir() / "data").glob("*.yaml") if yaml.safe_load(path.read_text()).get("source") == "???"]
    assert {yaml.safe_load(path.read_text())["_target_"] for path in needs_source} == PLACES.keys()
    assert {kind.noun for kind in InputSpec.__subclasses__() if kind.__module__.startswith("acclimate.")} == MODELS.keys()
    assert {model.removeprefix("model=") for model in MODELS.values()} <= set(group_options("model"))
