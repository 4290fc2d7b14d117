import functools
import importlib
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from browser import chromium
from hydra.core.global_hydra import GlobalHydra
from small_runs import SMALL, write_archives, write_tables

from acclimate import cli

Program = Callable[..., int]


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests(tmp_path_factory):
    """Keep the tests out of the user's cache; commands that they start inherit it."""
    os.environ["ACCLIMATE_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk():
    """Thousands of small files are written, none of which has to outlast a power failure."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(autouse=True)
def no_handlers_of_other_tests():
    """Hydra has the root logger write to the standard output of the test that calls it, which is closed afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in root.handlers[:]:
        if handler not in handlers and type(handler) in (logging.StreamHandler, logging.FileHandler):
            root.removeHandler(handler)
    root.setLevel(level)
    logging.getLogger("acclimate").setLevel(logging.NOTSET)


@pytest.fixture
def acclimate(monkeypatch, capsys, tmp_path):
    """Run the command in an empty folder; return its exit code and what it wrote to stderr."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["acclimate", *arguments])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, capsys.readouterr().err

    monkeypatch.chdir(tmp_path)
    GlobalHydra.instance().clear()
    return call


@pytest.fixture(scope="session")
def archives(tmp_path_factory):
    """The options of `data=arrays` for generated, shifted domains of unequal size; the target has labels."""
    return write_archives(tmp_path_factory.mktemp("archives"))


@pytest.fixture(scope="session")
def tables(tmp_path_factory):
    """The same of `data=vectors`."""
    return write_tables(tmp_path_factory.mktemp("tables"))


@pytest.fixture(scope="module")
def browser():
    """A headless browser; tests that need one are skipped where there is none."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def benchmarks():
    """Imports a program of benchmarks/ by its name; they import each other as if they were started from there."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
    yield importlib.import_module
    sys.path.pop(0)


@pytest.fixture(scope="session")
def methods(benchmarks):
    return benchmarks("methods")


@pytest.fixture
def call_program(monkeypatch, tmp_path):
    """Calls main() of a program of benchmarks in this process as from the command line; returns the exit code."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    num_threads = torch.get_num_threads()

    def call(module: ModuleType, *arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", [module.__name__, "--folder", str(tmp_path), *arguments])
        with pytest.raises(SystemExit) as ended:
            module.main()
        return int(ended.value.code or 0)

    yield call
    torch.set_num_threads(num_threads)
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def program(call_program, methods, monkeypatch, tmp_path) -> Program:
    """The benchmark of methods with a small grid; returns the exit code."""
    small = (*write_archives(tmp_path), *SMALL)
    monkeypatch.setitem(methods.BENCHMARKS, "methods", methods.Grid({"blobs": ()}, ["source_only", "dann"], small))
    return functools.partial(call_program, methods, "methods", "--jobs", "1")
