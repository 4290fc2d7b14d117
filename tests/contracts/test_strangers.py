"""Checkpoints and run folders of strangers: nothing of them runs, is imported or writes anything."""

import json
import os
import shutil
import sys

import pytest
import torch
from PIL import Image
from small_runs import compose, with_value, write_archives

from acclimate.errors import ConfigError
from acclimate.runs.checkpoint_files import best_checkpoint
from acclimate.runs.checkpoints import read_origin
from acclimate.training import run
from acclimate.types import Needs

# A module that leaves a mark when it is imported, and another whenever it is called.
PAYLOAD = """
from pathlib import Path

from pytorch_lightning.callbacks import Callback

Path(__file__).with_name("imported").touch()


def call(*arguments, **keywords):
    Path(__file__).with_name("called").touch()


class Thing(Callback):
    def __init__(self, *arguments, **keywords):
        call()
"""
LIGHTNING, CALLBACKS = "pytorch_lightning", "acclimate.training.callbacks"


def node(target, *arguments, **keywords):
    return {"_target_": target, **({"_args_": list(arguments)} if arguments else {}), **keywords}


# By where they lie in the configuration; MARK stands for a file that must not appear.
HOSTILE = {
    "a shell": ("data", node("os.system", "touch MARK")),
    "a process": ("data", node("subprocess.run", ["touch", "MARK"])),
    "a process by other names": ("data", node("subprocess.check_output", ["touch", "MARK"])),
    "a process of torch": ("data", node("torch.utils.collect_env.run", "touch MARK")),
    "compiled code": ("method", node("torch.utils.cpp_extension.load_inline", name="x", cpp_sources=["int x;"], build_directory="MARK")),
    "a library": ("method", node("torch.ops.load_library", "MARK")),
    "a hub": ("model.backbone", node("torch.hub.load", "MARK", "model", source="local", _partial_=True)),
    "a pickle": ("model", node("torch.load", "payload.pt", weights_only=False)),
    "a pickle of NumPy": ("data", node("numpy.load", "payload.npy", allow_pickle=True)),
    "a script of torch": ("model", node("torch.jit.load", "MARK")),
    "a file of torch": ("selection", node("torch.save", {}, "MARK")),
    "a file of NumPy": ("selection.score", node("numpy.savetxt", "MARK", [1])),
    "mapped memory": ("selection.score", node("numpy.memmap", "MARK", mode="w+", shape=[9])),
    "an open file": ("data", node("builtins.open", "MARK", "w")),
    "code as text": ("data", node("builtins.eval", "open('MARK', 'w')")),
    "statements as text": ("data", node("builtins.exec", "open('MARK', 'w')")),
    "a module": ("data", node("importlib.import_module", "payload")),
    "a module that is run": ("data", node("runpy.run_path", "payload.py")),
    "an archive": ("optimizer", node("shutil.unpack_archive", "archive.tar", "MARK")),
    "a removed folder": ("optimizer", node("shutil.rmtree", "keep")),
    "a copy": ("optimizer", node("shutil.copy", "keep/file", "MARK")),
    "a path": ("scheduler", node("pathlib.Path.write_text", node("pathlib.Path", "MARK"), "x")),
    "a removed file": ("scheduler", node("pathlib.Path.unlink", node("pathlib.Path", "keep/file"))),
    "settings of the log": ("logger", node("logging.config.dictConfig", {"version": 1, "handlers": {"x": {"()": "payload.call"}}})),
    "a log file": ("logger", node("logging.FileHandler", "MARK")),
    "a download": ("logger", node("urllib.request.urlretrieve", "file:keep/file", "MARK")),
    "a connection": ("logger", node("socket.create_connection", ["127.0.0.1", 9])),
    "foreign functions": ("model.backbone", node("ctypes.CDLL", "MARK")),
    "a hub of timm": ("model.backbone", node("timm.create_model", "local-dir:MARK", pretrained=True)),
    "a node within a node": ("data", node("hydra.utils.instantiate", {"_target_": "os.system", "_args_": ["touch MARK"]})),
    "a method of Hydra": ("data", node("hydra.utils.get_method", "payload.call")),
    "a part of a call": ("data", node("functools.partial", node("hydra.utils.get_method", "os.system"), "touch MARK")),
    "a call by name": ("data", node("operator.methodcaller", "system", "touch MARK")),
    "a helper that writes": ("data", node("acclimate.files.atomic_files.write_json", "MARK", {})),
    "a helper that removes": ("data", node("acclimate.data.cache.store.clear")),
    "a helper that runs": ("data", node("acclimate.training.callbacks.provenance._git", "init", "MARK")),
    "what a module of ours imports": ("data", node("acclimate.training.callbacks.provenance.subprocess.run", ["touch", "MARK"])),
    "a module that is only imported": ("data", node("payload.Thing")),
    "a module that is partially called": ("optimizer", node("payload.Thing", _partial_=True)),
    "what is nested in a list": ("data.target_views", [["plain", [node("payload.Thing")]]]),
    "what is nested in an argument": ("model.backbone._args_", [node("payload.Thing")]),
    "what is nested below a key of ours": ("method.terms", {"mine": node("payload.Thing")}),
    "a callback": ("callbacks.mine", node("payload.Thing")),
    "a callback of Lightning": ("callbacks.mine", node(f"{LIGHTNING}.callbacks.LambdaCallback", setup=node("payload.Thing"))),
    "pictures elsewhere": ("callbacks.pictures", node(f"{CALLBACKS}.pictures.Pictures", folder="elsewhere")),
    "checkpoints elsewhere": ("callbacks.checkpoint", node(f"{LIGHTNING}.callbacks.ModelCheckpoint", dirpath="elsewhere")),
    "checkpoints above": ("callbacks.checkpoint.filename", "../../../elsewhere"),
    "a logger elsewhere": ("logger", node(f"{LIGHTNING}.loggers.CSVLogger", save_dir="elsewhere")),
    "a logger above": ("logger", node(f"{LIGHTNING}.loggers.CSVLogger", save_dir=".", name="../elsewhere")),
    "a plug-in": ("trainer.plugins", [node("payload.Thing")]),
    "a profiler": ("trainer.profiler", node(f"{LIGHTNING}.profilers.AdvancedProfiler", dirpath="elsewhere", filename="x")),
    "a strategy": ("trainer.strategy", node("payload.Thing")),
    "a group that there is not": ("hydra", {"callbacks": {"mine": node("payload.Thing")}}),
    "an interpolation": ("data.source", "${oc.env:HOME}"),
    "a resolver that reads": ("model.backbone.name", "${oc.decode:'${oc.env:HOME}'}"),
    "a huge number": ("data.num_workers", 10**9),
    "a hugest number": ("model.bottleneck", 10**400),
}
# Only training writes to folders.
ELSEWHERE = [name for name in HOSTILE if name.endswith("elsewhere")]
# What predict builds is the model alone.
OF_MODEL = [name for name, (place, _) in HOSTILE.items() if place.split(".")[0] == "model"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a finished run on files that stay where they are."""
    folder = tmp_path_factory.mktemp("trained")
    run.train(compose(folder / "run", *write_archives(folder), "method=source_only", "trainer.max_epochs=1"))
    return folder / "run"


@pytest.fixture
def command(acclimate, tmp_path, monkeypatch):
    """Run acclimate in a folder with things to lose; return its exit code and what it wrote to stderr."""
    (tmp_path / "payload.py").write_text(PAYLOAD)
    (tmp_path / "keep").mkdir()
    (tmp_path / "keep" / "file").write_text("dear")
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (20, 20)).save(tmp_path / "photos" / "one.png")
    monkeypatch.syspath_prepend(tmp_path)
    return acclimate


def spoil(trained, folder, name, *, finished):
    """A copy of a run's folder with something hostile in each of its records."""
    place, value = HOSTILE[name]
    value = json.loads(json.dumps(value).replace("MARK", str(folder.parent / "mark")))
    shutil.copytree(trained, folder)
    record = json.loads((folder / "run.json").read_text())
    config = with_value(record["config"], place, value)
    # Evaluation has a bar of its own.
    config["trainer"].pop("enable_progress_bar")
    (folder / "run.json").write_text(json.dumps({**record, "config": config}))
    for file in (folder / "checkpoints").glob("*.ckpt"):
        checkpoint = torch.load(file, weights_only=True)
        torch.save({**checkpoint, "config": config}, file)
    if not finished:
        (folder / "metrics.json").unlink()


def contents(folder):
    return {
        path: None if path.is_dir() else path.lstat().st_mtime_ns
        for path in folder.rglob("*")
        if path.name != "__pycache__" and path.suffix != ".pyc"
    }


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_of_a_stranger_s_runs_is_imported_or_writes(name, trained, command, tmp_path):
    spoil(trained, tmp_path / "run", name, finished=False)
    before, modules = contents(tmp_path), set(sys.modules)
    verbs = {
        ("train", "resume=run"): 2,
        ("evaluate", "run=run"): 0 if name in ELSEWHERE else 2,
    }
    if name in OF_MODEL:
        verbs["predict", "run=run", "inputs=photos", "out=out.csv"] = 2
    for arguments, expected in verbs.items():
        code, message = command(*arguments)
        assert code == expected, (arguments, message)
        assert message.startswith("acclimate: ") == (code == 2)
        assert "Traceback" not in message
    if name not in ELSEWHERE:
        with pytest.raises(ConfigError, match="Nothing was built"):
            read_origin(str(best_checkpoint(tmp_path / "run")), Needs())
    assert "payload" not in sys.modules
    assert not {module for module in set(sys.modules) - modules if module.startswith(("torch.utils.", "ctypes.", "timm.", "runpy"))}
    assert contents(tmp_path) == before


def test_a_run_of_one_s_own_code_says_what_to_type_and_that_works(trained, command, tmp_path):
    spoil(trained, tmp_path / "run", "a callback", finished=True)
    code, message = command("evaluate", "run=run")
    assert (code, "add 'trust=[payload.Thing]'" in message) == (2, True)
    assert command("evaluate", "run=run", "trust=[payload.Thing]") == (0, "")
    assert command("predict", "run=run", "inputs=photos", "out=out.csv") == (0, "")
    code, message = command("train", "resume=run", "trust=payload")
    assert code == 0, message


def test_a_run_does_not_start_from_what_a_stranger_has_with_value(trained, command, tmp_path):
    spoil(trained, tmp_path / "run", "a process of torch", finished=True)
    code, message = command("train", "init_from=run", "trainer=smoke", "data.num_source=40", "hydra.run.dir=other")
    assert (code, "data._target_=torch.utils.collect_env.run" in message) == (2, True)
    assert not (tmp_path / "mark").exists()


def test_overrides_and_settings_of_hydra_in_a_folder_are_not_replayed(trained, command, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / "metrics.json").unlink()
    hydra = tmp_path / "run" / ".hydra"
    hydra.mkdir(exist_ok=True)
    words = ["data._target_=payload.Thing", "hydra.run.dir=elsewhere", "hydra.job.env_set.X=1", "hydra/launcher=joblib", "trainer=gpu"]
    (hydra / "overrides.yaml").write_text(json.dumps(words))
    sources = [{"path": str(tmp_path), "provider": "command-line"}]
    (hydra / "hydra.yaml").write_text(json.dumps({"hydra": {"runtime": {"config_sources": sources, "choices": {"method": "dann"}}}}))
    (hydra / "config.yaml").write_text("!!python/object/apply:os.system ['touch mark']")
    assert command("train", "resume=run") == (0, "")
    assert not [name for name in ("imported", "called", "elsewhere", "mark") if (tmp_path / name).exists()]
    assert "X" not in os.environ
    assert (tmp_path / "run" / "metrics.json").exists()


def test_a_moved_run_writes_where_it_is_now(trained, command, tmp_path):
    first = tmp_path / "a b's (1)"
    shutil.copytree(trained, first)
    record = json.loads((first / "run.json").read_text())
    assert str(trained) in json.dumps(record)
    (first / "metrics.json").unlink()
    before = contents(trained)
    assert command("train", f"resume={first.name}", "trainer.log_every_n_steps=3") == (0, "")
    assert contents(trained) == before
    assert str(trained) not in (first / "run.json").read_text().replace(str(trained.parent / "source.npz"), "").replace(
        str(trained.parent / "target.npz"), ""
    )


@pytest.mark.parametrize("name", ["train.log", "checkpoints", "checkpoints/last.ckpt.previous", ".lock", "metrics.json", "samples.png"])
def test_a_link_in_a_run_s_folder_is_not_written_through(name, trained, command, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / "metrics.json").unlink()
    link = tmp_path / "run" / name
    if link.exists() and not link.is_dir():
        link.unlink()
    elif link.is_dir():
        shutil.move(link, tmp_path / "moved")
    link.symlink_to(tmp_path / ("moved" if name == "checkpoints" else "keep/new" if name == "metrics.json" else "keep/file"))
    before = contents(tmp_path)
    code, message = command("train", "resume=run")
    assert (code, f"run/{name} is a link to" in message) == (2, True)
    assert contents(tmp_path) == before


CONTENTS = {
    "an expanded tensor": ("state_dict", {"classifier.head.weight": torch.zeros(1).expand(10**3, 10**9)}),
    "a tensor of no device": ("state_dict", {"classifier.head.weight": torch.empty(10**9, 10**3, device="meta")}),
    "a file that Lightning would remove": ("callbacks", {"ModelCheckpoint": {"best_k_models": {"run/checkpoints/../../keep/file": 1.0}}}),
    "a remote file": ("callbacks", {"ModelCheckpoint": {"kth_best_model_path": "ftp://keep/file"}}),
    "classes of other types": ("classes", [{"a": 1}, 2, 3]),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_contents_that_no_run_writes_are_refused(name, trained, command, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / "metrics.json").unlink()
    key, value = CONTENTS[name]
    for file in (tmp_path / "run" / "checkpoints").iterdir():
        torch.save({**torch.load(file, weights_only=True), key: value}, file)
    for arguments in (("train", "resume=run"), ("evaluate", "run=run"), ("predict", "run=run", "inputs=photos", "out=out.csv")):
        code, message = command(*arguments)
        assert (code, "cannot be read as a checkpoint" in message, "Traceback" in message) == (2, True, False), message
    assert (tmp_path / "keep" / "file").read_text() == "dear"


IMAGES = {"_target_": "acclimate.data.images.images.Images", "image_size": 16}
INPUTS = {
    "an absurd size": (IMAGES | {"image_size": 10**9}, "inputs.image_size is a number above 4096"),
    "a size out of range": (IMAGES | {"image_size": -1}, "inputs.image_size must be at least 8, but is -1"),
    "a stranger's kind": (IMAGES | {"_target_": "os.system"}, "inputs._target_=os.system is not among what acclimate builds from a file"),
    "another part": (
        IMAGES | {"_target_": "acclimate.data.images.arrays.Arrays"},
        "inputs._target_=acclimate.data.images.arrays.Arrays is not",
    ),
    "an interpolation": (IMAGES | {"crop": "${oc.env:HOME}"}, "is not a plain value"),
    "no kind": (16, "The checkpoint does not say what its inputs are"),
}


@pytest.mark.parametrize("name", INPUTS)
def test_inputs_that_no_run_writes_are_refused(name, trained, command, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    inputs, expected = INPUTS[name]
    for file in (tmp_path / "run" / "checkpoints").iterdir():
        torch.save({**torch.load(file, weights_only=True), "inputs": inputs}, file)
    for arguments in (("evaluate", "run=run"), ("predict", "run=run", "inputs=photos", "out=out.csv")):
        code, message = command(*arguments)
        assert (code, expected in message, "Traceback" in message) == (2, True, False), message
