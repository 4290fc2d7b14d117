"""Advice in messages: what they say to type is typed, and the complaint is gone."""

import ast
import re
import shlex
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
import yaml
from finished_runs import write_run
from PIL import Image
from small_runs import SMALL, SMALL_VECTORS, write_archives, write_photographs, write_tables

from acclimate.cli.train import _show_sweep
from acclimate.config.components import OPTIONS
from acclimate.config.compose import override
from acclimate.config.groups import conf_dir, group_options
from acclimate.config.instantiate import locate
from acclimate.config.signatures import parameters
from acclimate.errors import ConfigError
from acclimate.runs.checkpoint_files import last_checkpoint, previous
from acclimate.runs.saved import placed

# A setting as typed in a shell: in quotes, or up to the next sign of a sentence.
SETTING = re.compile(r"""'\+?[a-z_]+[\w./]*=(?:[^']|'"'"')*'|(?<![\w./'=])\+?[a-z_]+[\w./]*=(?:\[[^\]]*\]|[^\s,;()\[\]]*[^\s,;:.()\[\]])""")
# Settings with only a space between them belong together.
TOGETHER = re.compile(rf"(?:{SETTING.pattern})(?: (?:{SETTING.pattern}))*")
FOLDERS = (*SMALL, "data=image_folder", "data.num_workers=0", "data.cache=none", "trainer.max_steps=1", "method=source_only")
TABLES = (*SMALL_VECTORS, "data=vectors", "trainer.max_steps=1", "method=source_only")
DIGITS = (*SMALL, "data.num_source=40", "data.num_source_eval=20", "trainer.max_steps=1", "method=source_only")


def advised(message: str, typed: tuple[str, ...]) -> list[list[str]]:
    """Return the alternatives that a message advises, each a list of words, without what was typed already."""
    known = [word.lstrip("+") for word in typed]
    found = [[word for word in shlex.split(match[0]) if word not in known] for match in TOGETHER.finditer(message)]
    return [words for words in found if words]


def complaint(message: str) -> str:
    """Return the part of a message that says what is wrong, without names of files."""
    return message.partition(" ")[2][:60]


@pytest.fixture
def places(acclimate):
    """Data of all kinds in a folder, whose names have signs of the shell and of Hydra."""
    write_photographs(Path("my photos (1)"), number=8)
    write_photographs(Path("o'brien's #2"), seed=1, number=8)
    write_archives(Path())
    write_tables(Path())


def photos(*arguments):
    return (*FOLDERS, "data.source=my photos (1)", "data.target=o'brien's #2", *arguments)


def tables(*arguments):
    return (*TABLES, "data.source=source.csv", "data.target=target.csv", *arguments)


def with_bad_file():
    Path("my photos (1)/ant/bad.png").write_bytes(b"no image")


def with_huge_file():
    Image.new("L", (120, 80)).save("my photos (1)/ant/huge.png")


def with_parts_as_classes():
    for part in ("x", "y"):
        write_photographs(Path(f"within/{part}"), number=6)


def with_parts_without_train():
    for part in ("val", "test"):
        write_photographs(Path(f"parts/{part}"), number=6)


def with_a_class_called_train():
    for name in ("train", "other"):
        write_photographs(Path(f"alike/{name}"), number=6)


def with_an_image_beside_the_classes():
    Path("my photos (1)/ant/0.png").rename("my photos (1)/loose.png")


def with_an_empty_class():
    Path("my photos (1)/wasp").mkdir()


def with_a_folder_around():
    write_photographs(Path("around/the target"), seed=1, number=8)


def with_other_names():
    for old, new in (("ant", "Ant"), ("bee", "BEE"), ("owl", "Owl")):
        Path("o'brien's #2", old).rename(Path("o'brien's #2", new))


def with_unknown_class():
    Path("o'brien's #2/ant").rename("o'brien's #2/wasp's käfer")


def with_names_as_text():
    for name in ("source", "target"):
        lines = Path(f"{name}.csv").read_text().splitlines()
        Path(f"{name}.csv").write_text(
            "\n".join([f"{lines[0]},the class é", *(f"{line},{line.rpartition(',')[2]}" for line in lines[1:]), ""])
        )


def with_deep_arrays():
    for name in ("source", "target"):
        with np.load(f"{name}.npz") as arrays:
            np.savez(f"{name}.npz", **{key: value.astype(np.uint16) * (16 if key[0] == "x" else 1) for key, value in arrays.items()})


FROZEN = ("data.target=null", "method=fine_tune", "model.bottleneck=null", "model.freeze=backbone")
NOTHING = list  # A situation that needs nothing to be prepared.
SITUATIONS = {
    "a batch that is too small": (NOTHING, tables("data.batch_size=1")),
    "more inputs in a batch than there are": (NOTHING, tables("data.batch_size=1000")),
    "adaptation without a target": (NOTHING, tables("data.target=null", "method=dann")),
    "a method for a backbone that is frozen": (NOTHING, tables(*FROZEN)),
    "an oracle without labels": (NOTHING, tables("data.target=null", "selection=oracle")),
    "one place for both": (NOTHING, tables("data.target=source.csv", "method=dann")),
    "both ways to balance": (NOTHING, tables("data.source_sampling=balanced", "method.class_weights=balanced")),
    "mixed texts of columns": (with_names_as_text, tables()),
    "validation after the end": (NOTHING, tables("trainer.max_steps=-1", "trainer.max_epochs=2", "trainer.check_val_every_n_epoch=9")),
    "a schedule without an end": (NOTHING, tables("trainer.max_steps=-1", "trainer.max_epochs=-1")),
    "a list that is none": (NOTHING, tables("data.target_views=noise")),
    "a typo": (NOTHING, tables("lr=0.1")),
    "a bad image": (with_bad_file, photos()),
    "an image that is too large": (with_huge_file, photos("data.max_pixels=5000")),
    "other case of letters": (with_other_names, photos()),
    "a class of the target alone": (with_unknown_class, photos()),
    "folders in folders": (with_parts_as_classes, photos("data.source=within", "data.target=null")),
    "parts without one to train on": (with_parts_without_train, photos("data.source=parts", "data.target=null")),
    "a class called train": (with_a_class_called_train, photos("data.source=alike", "data.target=null")),
    "an image beside the classes": (with_an_image_beside_the_classes, photos()),
    "a class without images": (with_an_empty_class, photos()),
    "a folder around the classes": (with_a_folder_around, photos("data.target=around")),
    "several values": (NOTHING, tables("optimizer.betas=0.9,0.99")),
    "an expression that is none": (NOTHING, photos("data.group=(")),
    "channels that are none of the digits": (NOTHING, (*DIGITS, "+data.channels=4")),
    "arrays of more than 8 bits": (with_deep_arrays, (*FOLDERS, "data=arrays", "data.source=source.npz", "data.target=target.npz")),
    "no weights to download": (NOTHING, tables("model.weights=IMAGENET")),
    "a colour that is none": (NOTHING, photos("data.background=colourless")),
}
# One for each way in which a message says what to type; make test-slow tests the others.
FAST = (
    "adaptation without a target",
    "mixed texts of columns",
    "other case of letters",
    "a class of the target alone",
    "an expression that is none",
    "channels that are none of the digits",
    "arrays of more than 8 bits",
)
# Settings that belong to no component.
SETTINGS_OF_RUNS = {"backbone", "compile", "on_nonfinite", "_target_"}
SUBSTITUTES = {"DIR": "my photos (1)", "PLACE": "target.csv", "FILE": "source.npz", "LOW": "0", "HIGH": "4080"}


@pytest.mark.parametrize("situation", [pytest.param(name, marks=[pytest.mark.slow] * (name not in FAST)) for name in SITUATIONS])
def test_what_a_message_advises_answers_its_complaint(situation, acclimate, places):
    prepare, words = SITUATIONS[situation]
    prepare()
    words = tuple(word for word in words if not ("data=arrays" in words and word.startswith(("data.num_workers", "data.cache"))))
    code, message = acclimate("train", *words, "hydra.run.dir=refused")
    assert code == 2, message
    alternatives = advised(message, words)
    assert alternatives, message
    for number, alternative in enumerate(alternatives):
        typed = [re.sub(rf"\b({'|'.join(SUBSTITUTES)})\b", lambda found: SUBSTITUTES[found[0]], word) for word in alternative]
        keys = [word.partition("=")[0].lstrip("+") for word in typed]
        others = [word for word in words if word.partition("=")[0].lstrip("+") not in keys]
        code, answer = acclimate("train", *others, *typed, f"hydra.run.dir={number}")
        assert code == 0 or complaint(message) not in answer, f"{message}\n{typed}: {answer}"
        assert "cannot be read" not in answer and "no such key" not in answer, f"{message}\n{typed}: {answer}"


def test_commands_that_continue_runs_of_any_name(acclimate, places):
    folder = "runs of o'brien/$HOME (2) #1"
    assert acclimate("train", *tables(), f"hydra.run.dir={folder}")[0] == 0
    for words in (tables("seed=1", f"hydra.run.dir={folder}"), (f"resume={folder}", "optimizer.lr=0.5", "trainer.max_steps=3")):
        code, message = acclimate("train", *words)
        assert code == 2, message
        again, *others = advised(message, tuple(word for word in words if word != f"resume={folder}"))
        assert again[-1] == f"resume={folder}"
        code, answer = acclimate("train", *again)
        assert code == 0, f"{message}\n{again}: {answer}"
    (change,) = (words for words in others if words[0].startswith("resume_with="))
    code, answer = acclimate("train", f"resume={folder}", "optimizer.lr=0.5", "trainer.max_steps=3", *change)
    assert code == 0, answer
    # Other data than before, and a run without the state to continue from.
    Path("source.csv").rename("other source.csv")
    for file in (last_checkpoint(Path(folder)), previous(last_checkpoint(Path(folder)))):
        file.unlink(missing_ok=True)
    for words in (("data.source=target.csv",), ("data.source=other source.csv",)):
        code, message = acclimate("train", f"resume={folder}", "trainer.max_steps=4", *words)
        assert (code, advised(message, words)) == (2, [[f"init_from={folder}"]]), message
    code, answer = acclimate("train", *tables("data.source=other source.csv"), f"init_from={folder}", "hydra.run.dir=again")
    assert code == 0, answer


def test_a_folder_outside_of_a_run_is_used_after_typing_it_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outside = str(tmp_path / "o'brien's logs (1)")
    saved = {"folder": str(tmp_path / "run"), "logger": {"csv": {"_target_": "x", "save_dir": outside}}, "callbacks": {}, "trainer": {}}
    Path("run").mkdir()
    with pytest.raises(ConfigError) as problem:
        placed(saved, Path("run"), lambda config: config)
    (typed,) = advised(str(problem.value), ())
    assert saved["logger"]["csv"]["save_dir"] == outside
    assert placed(saved, Path("run"), lambda config: override(config, typed))["logger"] == saved["logger"]
    with pytest.raises(ConfigError, match="would write outside of its folder"):
        placed({**saved, "logger": {}, "callbacks": {"all": [{"dirpath": outside}]}}, Path("run"), lambda config: config)


def test_flags_without_a_verb_are_answered_with_one_that_takes_them(acclimate):
    code, message = acclimate("--cfg", "job", "--config-dir", ".")
    assert (code, "Type acclimate train --cfg job --config-dir ." in message) == (2, True)
    assert acclimate(*shlex.split(message.partition("Type acclimate ")[2].strip().removesuffix("."))[:3]) == (0, "")


@pytest.mark.parametrize("selection", ["information", "oracle"])
def test_what_to_try_after_a_sweep_works(acclimate, capsys, tmp_path, selection):
    folder = tmp_path / "my sweep (1)"
    for method, accuracy in (("dann", 0.9), ("source_only", 0.8)):
        write_run(folder / method, method, accuracy=accuracy, selection=selection, corr_c=accuracy)
    with _show_sweep([], folder, lambda: 2, is_lowest_best=False):
        pass
    following = capsys.readouterr().out.partition("What to try next:")[2].split("\n")
    (command,) = (line.strip() for line in following if line.strip().startswith("acclimate "))
    code, message = acclimate(*shlex.split(command)[1:])
    assert code == 0, message


# Functions whose messages show a setting or a command to type, with the situation that types it, or FILE:TEST without test_ that checks it.
# A new function belongs here.
PROVED = {
    "cli/__init__:main": "advice:flags_without_a_verb_are_answered_with_one_that_takes_them",
    "cli/arguments:refuse_unwritable": "comparison_table:a_file_with_the_ending_of_another_format_is_refused_with_one_that_works",
    "cli/arguments:refused": "verbs:help_of_a_verb_is_its_docstring",
    "cli/arguments:split_keys": "verbs:what_a_verb_misses_is_completed_from_what_was_typed",
    "cli/chain:run": "chain:stopped_chain_goes_on_as_if_never_stopped",
    "cli/next_commands:next_commands": "next_commands:what_is_suggested_after_a_run_works",
    "cli/sweep_mistakes:refuse_folder_of_run": "sweep_commands:a_command_that_no_job_can_follow_is_refused_as_a_whole",
    "cli/sweep_report:failures": "sweep_commands:mistakes_are_reported_at_once_and_equal_values_are_one_job",
    "cli/sweeps:again": "sweeps:what_the_message_of_a_failed_sweep_advises_works",
    "cli/train:_show_sweep": "advice:what_to_try_after_a_sweep_works",
    "config/check:_check_settings": "suggestions:what_is_advised_is_read",
    "config/override_errors:no_such_option": "suggestions:what_is_advised_is_read",
    "config/override_errors:_unresolved": "paths:text_in_any_key_is_escaped_as_the_message_says",
    "config/override_errors:mistaken_for": "bad_input:a_mistake_is_answered_with_what_was_meant_and_leaves_nothing_behind",
    "config/override_errors:several_values": "several values",
    "config/override_errors:unreadable": "messages:what_hydra_cannot_read_is_offered_in_a_form_that_it_reads",
    "config/suggestions:suggest_option": "suggestions:what_is_advised_is_read",
    "config/untrusted:refuse_strangers": "strangers:a_run_of_one_s_own_code_says_what_to_type_and_that_works",
    "config/values:_mismatch": "a list that is none",
    "data/class_names:offer_renaming": "other case of letters",
    "data/division:compiled": "an expression that is none",
    "data/images/class_folders:_holds_parts": "a class called train",
    "data/images/class_folders:find_parts": "parts without one to train on",
    "data/images/class_folders:refuse_loose_images": "an image beside the classes",
    "data/images/class_folders:refuse_odd_layout": "folders in folders",
    "data/images/image_folder:_describe_unknown": "a class of the target alone",
    "data/images/image_folder:_folder_around": "a folder around the classes",
    "data/images/image_folder:classes_of": "a class without images",
    "data/vectors/numbers:_or_choose": "mixed texts of columns",
    "data/vectors/numbers:numbers_of": "mixed texts of columns",
    "diagnostics/divergence:how_to_continue": "divergence:what_the_message_advises_goes_on_from_the_last_checkpoint",
    "runs/checkpoints:read_origin": "init_from:an_unfinished_run_is_refused_with_the_command_that_finishes_it",
    "runs/comparison:_beginning": "comparison_table:runs_without_results_are_named",
    "runs/saved:placed": "advice:a_folder_outside_of_a_run_is_used_after_typing_it_again",
    "runs/saved:read_config": "continued_runs:run_that_was_killed_while_its_record_was_written_is_started_again",
    "training/chain:write_record": "chain:a_folder_that_holds_a_chain_is_not_written_over",
    "training/interruptions:_advise_to_continue": "stop_signals:run_that_a_signal_stops_says_so_in_its_exit_code_and_is_continued",
    "training/resume:_refuse_others": "advice:commands_that_continue_runs_of_any_name",
    "training/resume:accept_changes": "advice:commands_that_continue_runs_of_any_name",
    "training/resume:find_beginning": "advice:commands_that_continue_runs_of_any_name",
    "training/resume:refuse_other_data": "advice:commands_that_continue_runs_of_any_name",
}


def functions_that_advise(package: Path) -> set[str]:
    """Return the functions that show a setting or a command, as FILE:FUNCTION."""
    return {
        f"{file.relative_to(package).with_suffix('')}:{node.name}"
        for file in package.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef)
        and any(isinstance(call, ast.Call) and getattr(call.func, "id", None) in ("setting", "command") for call in ast.walk(node))
    }


def test_new_advice_needs_a_situation_that_types_it():
    assert functions_that_advise(Path(locate.__code__.co_filename).parents[1]) == {*PROVED}
    tests = {
        f"{file.stem[5:]}:{name}"
        for file in Path(__file__).parents[1].rglob("test_*.py")
        for name in re.findall(r"def test_(\w+)", file.read_text())
    }
    assert {proof for proof in PROVED.values() if proof not in SITUATIONS} <= tests


def strings(file: Path) -> list[str]:
    """Return the texts of a file, with braces in the places of values, without its docstrings."""
    tree, texts = ast.parse(file.read_text()), []
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    inside |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            texts.append("".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            texts.append(node.value)
    return texts


def keys_of(group: str) -> set[str]:
    """Return all keys that a group has in any config, or that a class of one accepts."""
    found = set()
    for file in (conf_dir() / group).glob("*.yaml"):
        node = yaml.safe_load(file.read_text()) or {}
        found |= {str(key) for key in node}
        if "_target_" in node:
            found |= set(parameters(locate(node["_target_"])))
    return found | (set(parameters(locate(OPTIONS[group]))) if group in OPTIONS else set())


def test_every_setting_in_a_message_names_a_key_and_an_option_that_exist():
    package = Path(locate.__code__.co_filename).parents[1]
    words = {word for file in sorted(package.rglob("*.py")) for text in strings(file) if " " in text for word in SETTING.findall(text)}
    settings = sorted(word.strip("'").lstrip("+").rstrip(".") for word in words)
    groups = {path.name for path in conf_dir().iterdir() if path.is_dir()} - {"hydra"}
    wrong = []
    for group, mine in groupby(settings, key=lambda word: re.split(r"[.=]", word)[0]):
        if group not in groups:
            continue
        keys = keys_of(group) | SETTINGS_OF_RUNS
        for word in mine:
            name, _, value = word.partition("=")
            if name == group:
                wrong += [word] * (bool(re.fullmatch(r"[a-z][a-z0-9_]+", value)) and value not in group_options(group))
            else:
                wrong += [word] * (name.split(".")[1] not in keys and "{" not in name)
    assert len(settings) > 100
    assert wrong == []
