"""Mistakes in configs of one's own, which --config-dir adds."""

from pathlib import Path

import pytest

import acclimate as api
from acclimate.errors import ConfigError

METHOD = "_target_: acclimate.methods.dan.Dan\n"


def refused(tmp_path, text, *words, place="method/mine.yaml"):
    file = tmp_path / place
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    with pytest.raises(ConfigError) as problem:
        api.train(api.compose(words or ["method=mine"], folder=tmp_path / "run", config_dir=tmp_path))
    return str(problem.value)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (" weight: 1\n", "not allowed here, in line 2, column 8"),
        ("\tweight: 1\n", "cannot start any token, in line 2, column 1"),
        ("weight: 1\nweight: 2\n", "found duplicate key weight, in line 3"),
        ("weight: {a\n", "in line 3, column 1"),
    ],
)
def test_yaml_that_cannot_be_read_is_named_with_its_line(tmp_path, text, place):
    message = refused(tmp_path, METHOD + text)
    assert message.startswith(f"{tmp_path / 'method' / 'mine.yaml'} cannot be read: ") and place in message


def test_the_command_names_it_too(tmp_path, acclimate):
    Path("method").mkdir()
    Path("method/mine.yaml").write_text(f"{METHOD} weight: 1\n")
    code, message = acclimate("train", "--config-dir", ".", "method=mine")
    assert (code, "method/mine.yaml cannot be read: mapping values" in message) == (2, True)


def test_an_option_of_one_s_own_is_suggested_and_listed(tmp_path):
    message = refused(tmp_path, METHOD, "method=mien")
    assert "Did you mean mine?" in message and ", mine, " in message


def test_an_experiment_that_is_no_global_package_is_told_its_first_line(tmp_path):
    text = "defaults:\n  - override /method: dan\n"
    message = refused(tmp_path, text, "experiment=mine", place="experiment/mine.yaml")
    first = message.partition("Begin it with the line: ")[2]
    (tmp_path / "experiment/mine.yaml").write_text(f"{first}\n{text}")
    assert api.compose(["experiment=mine"], folder=tmp_path / "run", config_dir=tmp_path)["name"] == "dan"


def test_a_module_that_is_not_found_is_looked_for_in_folders_that_can_be_named(tmp_path):
    assert "type PYTHONPATH=DIR before the command" in refused(tmp_path, "_target_: nowhere.Mine\n")
    assert "PYTHONPATH" not in refused(tmp_path, "_target_: acclimate.nowhere.Mine\n")


def test_a_value_that_a_config_of_one_s_own_asks_for_is_no_typo(tmp_path):
    message = refused(tmp_path, f"{METHOD}weight: ???\n")
    assert message == "No value for method.weight. Type method.weight=VALUE."
