"""A method's file holds its paper: what all methods share is written once."""

import ast
import inspect
from pathlib import Path

import pytest
from small_runs import METHODS, compose

from acclimate import methods
from acclimate.config.instantiate import locate
from acclimate.config.method_options import declared_needs
from acclimate.methods.base import Method
from acclimate.types import Needs

FILES = sorted(Path(methods.__path__[0]).glob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_cross_entropy_of_the_source_is_that_of_the_base_class(file):
    assert ("F.cross_entropy(source.logits" in file.read_text()) == (file.stem == "base")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_no_method_asks_whether_its_target_is_there_or_looks_for_the_data(file):
    text = file.read_text()
    assert "datamodule" not in text
    asserted = [ast.unparse(node.test) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Assert)]
    assert not [test for test in asserted if "None" in test]


def test_the_base_class_and_dann_are_short():
    assert len(inspect.getsource(Method).splitlines()) < 150
    assert len((Path(methods.__path__[0]) / "dann.py").read_text().splitlines()) < 60


@pytest.mark.parametrize("name", METHODS)
def test_a_method_that_is_given_a_domain_has_losses_for_it(name, tmp_path):
    node = compose(tmp_path, "data.target=null", f"method={name}", "init_from=nothing")["method"]
    made, needs = locate(node["_target_"]), declared_needs(node)
    assert isinstance(needs, Needs)
    if made.source_losses is not Method.source_losses:
        assert not needs.target
    if made.adaptation_losses is not Method.adaptation_losses:
        assert needs.target


def test_a_function_declares_what_the_class_that_it_returns_declares():
    assert declared_needs({"_target_": f"{__name__}.make_shot"}).source == "none"


def make_shot(classifier) -> locate("acclimate.methods.shot.Shot"):
    return locate("acclimate.methods.shot.Shot")(classifier)
