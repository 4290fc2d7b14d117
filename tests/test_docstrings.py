"""Docstrings of the package: everything public has one, and its first words are a noun phrase or an imperative verb."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "src" / "acclimate"
FILES = sorted(PACKAGE.rglob("*.py"))
QUESTION_WORDS = re.compile(r"(What|How|Which|Whether|Where|Who|Whose|Whom|When|Why)\b")
# Methods that Lightning, torch, torchmetrics, TensorBoard or logging call, and which are described there.
HOOKS = re.compile(
    r"on_\w+|(?:training|validation|test|predict)_step|(?:train|val|test)_dataloader|transfer_batch_to_device|configure_optimizers"
    r"|forward|backward|train|transform|state_dict|load_state_dict|reset|compute|update|start|stop|profile|format|emit|getMessage"
    r"|log_metrics|log_hyperparams|save|finalize|experiment|name|version|setup|teardown|enable|disable|(?:save|load|remove)_checkpoint"
)

Definition = ast.ClassDef | ast.FunctionDef


def definitions(tree: ast.Module) -> Iterator[tuple[str, Definition, ast.ClassDef | None]]:
    """Yield the definitions of a module and of its classes, each with its name and its class."""
    for node in tree.body:
        if isinstance(node, Definition):
            yield node.name, node, None
        if isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}.{one.name}", one, node) for one in node.body if isinstance(one, ast.FunctionDef))


@functools.cache
def everything() -> list[tuple[str, str, Definition | ast.Module, ast.ClassDef | None]]:
    """Return all modules and their definitions, each with its file and its name."""
    trees = {str(file.relative_to(PACKAGE)): ast.parse(file.read_text()) for file in FILES}
    return [(file, *one) for file, tree in trees.items() for one in [("the module", tree, None), *definitions(tree)]]


# A method that some class describes needs no further docstring in subclasses.
DOCUMENTED = {node.name for _, _, node, parent in everything() if parent is not None and ast.get_docstring(node)}


def test_docstrings_open_with_a_noun_phrase_or_a_verb():
    texts = {f"{file}: {name}": ast.get_docstring(node) for file, name, node, _ in everything()}
    assert [name for name, text in texts.items() if text and QUESTION_WORDS.match(text)] == []


def test_everything_public_has_a_docstring():
    assert [f"{file}: {name}" for file, name, node, parent in everything() if lacks_docstring(node, parent)] == []


def lacks_docstring(node: Definition | ast.Module, parent: ast.ClassDef | None) -> bool:
    if ast.get_docstring(node) or any(not isinstance(one, ast.Module) and one.name.startswith("_") for one in (node, parent) if one):
        return False
    return parent is None or not (node.name in DOCUMENTED or HOOKS.fullmatch(node.name))


# Questions behind the first word, and arguments described by a remark instead of a noun.
HIDDEN_QUESTION = re.compile(r"(?:Return|Say|Tell) (?:what|how|which|whether|who|if)\b")
REMARK = re.compile(r"^ +\*{0,2}\w+: (?:Of|That|Those|What|How|Which|Where|As `|From `|From \d|In pixels)", re.MULTILINE)


def test_docstrings_name_what_is_returned_and_each_argument():
    texts = {f"{file}: {name}": ast.get_docstring(node) or "" for file, name, node, _ in everything()}
    assert [name for name, text in texts.items() if HIDDEN_QUESTION.match(text) or REMARK.search(text)] == []
