"""Options of any method by name."""

import pytest

from acclimate.errors import ConfigError
from acclimate.extras.extra import Extra, Extras
from acclimate.extras.options import make_extras
from acclimate.losses.target_predictions import minimum_class_confusion


@pytest.mark.parametrize("name", ["terms", "losses", "train"])
def test_an_extra_with_a_name_that_is_taken_is_refused_and_replaces_nothing(name):
    terms = {"mcc": minimum_class_confusion}
    with pytest.raises(ConfigError, match=rf"method\.extras\.{name} has a name that is taken.*method\.extras\.my_{name}"):
        make_extras(3, terms=terms, extras={name: Extra()})
    assert [*Extras(make_extras(3, terms=terms, extras={f"my_{name}": Extra()})).by_name] == ["terms", f"my_{name}"]
