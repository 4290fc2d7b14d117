"""Each verb is one file, whose docstring is its help."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

from acclimate import cli

HELPERS = {
    "arguments",
    "cores",
    "hydra_jobs",
    "jobs",
    "launching",
    "next_commands",
    "planned_jobs",
    "search",
    "search_space",
    "stopping",
    "sweep_mistakes",
    "sweep_report",
    "sweeps",
    "trials",
}


def test_each_file_of_the_command_is_a_verb_or_helps_several():
    files = {module.name for module in pkgutil.iter_modules(cli.__path__)}
    assert files == {*cli.VERBS} | HELPERS


def test_no_file_of_the_command_replaces_a_name_that_the_command_itself_uses():
    """Python binds a module that is imported to its name in the package."""
    body = ast.parse(Path(cli.__file__).read_text()).body
    used = {alias.asname or alias.name for node in body if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names}
    used |= {node.name for node in body if isinstance(node, ast.FunctionDef)}
    assert "command" in used
    assert used & {module.name for module in pkgutil.iter_modules(cli.__path__)} == set()


@pytest.mark.parametrize("verb", cli.VERBS)
def test_help_of_a_verb_is_its_docstring(verb, capsys):
    cli.run_verb(verb, ["--help"])
    text = capsys.readouterr().out
    assert text.startswith(f"usage: acclimate {verb} ")
    assert "{" not in text
    module = importlib.import_module(f"acclimate.cli.{verb}")
    summary, usage, details = (module.__doc__ or "").split("\n\n", maxsplit=2)
    assert "\n" not in summary
    assert usage in text
    assert details.partition("{")[0] in text


def test_usage_lists_each_verb_with_its_summary_and_imports_nothing_heavy():
    heavy = "torch", "pytorch_lightning", "hydra", "numpy"
    program = f"import sys; from acclimate.cli import main; main(); sys.exit(any(name in sys.modules for name in {heavy}))"
    done = subprocess.run([sys.executable, "-c", program, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for verb in cli.VERBS:
        summary = (importlib.import_module(f"acclimate.cli.{verb}").__doc__ or "").partition("\n")[0]
        assert f"  {verb:<11}{summary}\n" in done.stdout


@pytest.mark.parametrize(("value", "shown"), [("1", True), ("0", False), ("", False)])
def test_tracebacks_are_for_those_who_ask_for_them(value, shown, acclimate, monkeypatch):
    monkeypatch.setenv("ACCLIMATE_DEBUG", value)
    code, message = acclimate("train", "optimizer.lrr=1")
    assert (code, "Traceback" in message) == (2, shown)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["train", "-M", "seed=0,1"], "acclimate train has no flag -M. Did you mean -m?"),
        (["train", "--config-dri", "mine"], "acclimate train has no flag --config-dri. Did you mean --config-dir?"),
        (["evaluate"], "No value for run. Type run=DIR."),
        (["evaluate", "outputs/my run", "seed=1"], "No value for run. Type 'run=outputs/my run'."),
        (["predict", "rum=a", "out=b.csv"], "No value for run, inputs. Type run=a inputs=PLACE out=b.csv."),
        (["predict", "a", "inputs=b", "out="], "No value for run, out. Type run=a inputs=b out=FILE."),
        (["predict", "run=a", "inputs=b", "out=c", "batchsize=3"], "does not take batchsize=3. Did you mean batch_size?"),
    ],
)
def test_what_a_verb_misses_is_completed_from_what_was_typed(words, expected, acclimate):
    code, message = acclimate(*words)
    assert (code, expected in message) == (2, True), message
