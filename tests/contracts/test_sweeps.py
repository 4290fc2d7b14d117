"""Launchers and sweepers, mostly with jobs that only return a number."""

import importlib.util
import json
import math
import os
import shlex
from datetime import datetime
from pathlib import Path

import hydra.core.utils
import joblib
import numpy as np
import pytest
import torch
import yaml
from filelock import FileLock
from hydra.core.plugins import Plugins
from PIL import Image
from small_runs import SMALL
from sweep_jobs import job_of, written

from acclimate.cli import chain, jobs, launching
from acclimate.cli.hydra_jobs import run_with_hydra
from acclimate.errors import ConfigError

OPTUNA = ("-m", "hydra/sweeper=optuna", "hydra/sweeper/sampler=grid")
JOBLIB = ("-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def best_of(*arguments, values):
    """Return the best seed that Optuna finds."""
    seeds = ",".join(map(str, range(len(values))))
    run_with_hydra([*OPTUNA, f"seed={seeds}", f"hydra.sweeper.n_trials={len(values)}", "hydra.sweep.dir=sweep", *arguments], job_of(values))
    return yaml.safe_load(Path("sweep/optimization_results.yaml").read_text())


def test_optuna_finds_the_highest_score():
    assert best_of(values=[0.2, 0.9, 0.5])["best_value"] == 0.9


def test_a_direction_of_the_user_s_own_is_kept():
    assert best_of("hydra.sweeper.direction=minimize", values=[0.2, 0.9, 0.5])["best_value"] == 0.2


@pytest.mark.parametrize("sweeper", [("-m",), OPTUNA])
def test_a_failed_job_of_any_kind_is_reported_with_its_reason_and_stops_no_other(sweeper):
    values = [ConfigError("a wrong key"), 0.2, torch.OutOfMemoryError("no memory"), KeyError("x"), math.nan, 0.9]
    ran = []

    def job(config, record):
        ran.append(config["seed"])
        return job_of(values)(config, record)

    with pytest.raises(ConfigError) as failed:
        run_with_hydra([*sweeper, "seed=0,1,2,3,4,5", "hydra.sweep.dir=sweep"], job)
    assert sorted(ran) == list(range(6))
    message = str(failed.value)
    assert message.startswith("4 of 6 jobs failed:")
    for reason in ("seed=0: a wrong key", "seed=2: OutOfMemoryError: no memory", "seed=3: KeyError: 'x'", "seed=4: Its score is nan"):
        assert reason in message
    assert "seed=5 with 0.9000." in message
    assert message.endswith("with the same command: acclimate train " + shlex.join([*sweeper, "seed=0,1,2,3,4,5", "hydra.sweep.dir=sweep"]))
    # What is not the user's mistake has its traceback in the job's log, which the message names.
    assert "Log: sweep/seed=3/train.log" in message
    assert "Traceback" in Path("sweep/seed=3/train.log").read_text()


def test_optuna_is_told_that_a_trial_failed_and_goes_on():
    values = [math.nan, 0.2, ValueError("a bug"), 0.9, math.inf]
    optuna = ("hydra/sweeper=optuna", "hydra.sweeper.sampler.seed=0", "hydra.sweeper.n_trials=8", "hydra.sweep.dir=sweep")
    with pytest.raises(ConfigError, match=r"(?s)3 of 5 jobs failed.*with 0\.9000"):
        run_with_hydra(["-m", *optuna, "seed=choice(0,1,2,3,4)"], job_of(values))
    assert yaml.safe_load(Path("sweep/optimization_results.yaml").read_text())["best_value"] == 0.9


def test_a_sweep_of_optuna_in_which_all_jobs_fail_says_why():
    with pytest.raises(ConfigError, match=r"(?s)2 of 2 jobs failed.*a bug"):
        best_of(values=[ValueError("a bug")] * 2)


def test_what_the_message_of_a_failed_sweep_advises_works(tmp_path):
    sweep = ["-m", "seed=0,1", "hydra.sweep.dir='a sweep'"]
    with pytest.raises(ConfigError) as failed:
        run_with_hydra(sweep, job_of([0.1, ValueError("once")]))
    *_, verb, flag, seeds, folder = shlex.split(str(failed.value))
    assert [verb, flag, seeds, folder] == ["train", *sweep]
    seen = []
    run_with_hydra([flag, seeds, folder], lambda config, record: seen.append(config["folder"]) or 0.5)
    assert sorted(Path(folder).relative_to(tmp_path).as_posix() for folder in seen) == ["a sweep/seed=0", "a sweep/seed=1"]


@pytest.mark.parametrize(
    ("choice", "extra"),
    [
        ("hydra/sweeper=optuna", "optuna"),
        ("hydra/launcher=joblib", "joblib"),
        ("hydra/launcher=submitit_local", "submitit"),
        ("hydra/launcher=submitit_slurm", "submitit"),
        ("hydra/launcher=ray", "ray"),
    ],
)
def test_a_plug_in_that_is_missing_is_named_with_its_extra(choice, extra, monkeypatch):
    # Hydra only creates what it has found.
    found = Plugins.instance().class_name_to_class
    for name in [name for name in found if name.startswith("hydra_plugins.hydra_")]:
        monkeypatch.delitem(found, name)
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *package: None if name == "optuna" else find_spec(name, *package))
    with pytest.raises(ConfigError, match=rf"pip install 'acclimate\[{extra}\]'"):
        run_with_hydra(["-m", choice, "seed=0,1"], job_of([0.1, 0.2]))


@pytest.mark.parametrize("choice", ["hydra/sweeper=optuma", "hydra/launcher=jolib"])
def test_a_plug_in_that_is_misspelt_is_answered_with_what_there_is(choice):
    with pytest.raises(ConfigError, match=r"Did you mean (optuna|joblib)\? Choose one of (basic, joblib, ray|grid, optuna)"):
        run_with_hydra(["-m", choice, "seed=0,1"], job_of([0.1, 0.2]))


def test_the_same_command_trains_only_what_is_not_finished():
    tried = []

    def value(config):
        if config["seed"] not in tried:
            tried.append(config["seed"])
            if config["seed"] == 1:
                raise ValueError("once")
        elif config["seed"] != 1:
            pytest.fail("it was finished")
        return 0.5

    sweep = ["-m", "seed=1,2", "optimizer.lr=0.01"]
    with pytest.raises(ConfigError, match="1 of 2 jobs failed"):
        run_with_hydra(sweep, written(value))
    assert tried == [1, 2]
    run_with_hydra(sweep, written(value))
    run_with_hydra(
        [*sweep, "hydra/launcher=basic", "hydra.sweeper.max_batch_size=1"], written(lambda config: pytest.fail("it was finished"))
    )
    assert len(list(Path("outputs/sweeps").glob("*/seed=[12]/metrics.json"))) == 2


@pytest.mark.parametrize("is_finished", [True, False])
def test_a_job_with_other_settings_than_those_in_its_folder_is_not_mixed_with_it(is_finished):
    sweep = ["-m", "seed=0,1", "hydra.sweep.dir=sweep"]
    run_with_hydra([*sweep, "trainer.max_epochs=3"], written(lambda config: 0.5))
    record = Path("sweep/seed=0/run.json").read_text()
    if not is_finished:
        Path("sweep/seed=0/metrics.json").unlink()
    with pytest.raises(
        ConfigError,
        match=r"trainer.max_epochs=4 \(3 there\)\. Choose another folder for the sweep: hydra\.sweep\.dir=DIR\. .* add resume=true",
    ):
        run_with_hydra([*sweep, "trainer.max_epochs=4"], lambda config, record: pytest.fail("it was trained"))
    assert Path("sweep/seed=0/run.json").read_text() == record
    # What varies is in the name, so that values can be added.
    added = []
    run_with_hydra(
        ["-m", "seed=1,2", "hydra.sweep.dir=sweep", "trainer.max_epochs=3"], lambda config, record: added.append(config["seed"]) or 0.5
    )
    assert added == [2]


def test_a_second_sweep_in_the_same_folder_waits_or_goes_elsewhere(monkeypatch):
    monkeypatch.setattr(launching, "GRACE", 0.0)
    Path("sweep").mkdir()
    with FileLock("sweep/.lock"), pytest.raises(ConfigError, match="Another sweep is running in sweep"):
        run_with_hydra(["-m", "seed=0,1", "hydra.sweep.dir=sweep"], job_of([0.1, 0.2]))
    run_with_hydra(["-m", "seed=0,1", "hydra.sweep.dir=sweep"], job_of([0.1, 0.2]))


@pytest.mark.slow
def test_a_search_that_was_killed_continues_with_the_same_trials():
    search = [
        "-m",
        "hydra/sweeper=optuna",
        "optimizer.lr=tag(log,interval(1e-4,1e-2))",
        "trainer.max_epochs=range(1,9)",
        "hydra.sweep.dir=s",
        "hydra.sweeper.n_trials=8",
    ]
    seen = []

    def until(number):
        def value(config):
            seen.append(config["optimizer"]["lr"])
            if len(seen) == number:
                raise SystemExit
            # Higher learning rates are better, and the highest ones diverge.
            return math.nan if seen[-1] > 5e-3 else seen[-1]

        return value

    for number in (3, 6):
        with pytest.raises(SystemExit):
            run_with_hydra(search, written(until(number)))
    with pytest.raises(ConfigError, match="which cannot be compared"):
        run_with_hydra(search, written(until(0)))
    # Those that were killed, and those that diverged before, are repeated.
    assert len(set(seen)) == 8 < len(seen)
    best = yaml.safe_load(Path("s/optimization_results.yaml").read_text())
    assert best["best_value"] == max(value for value in seen if value <= 5e-3)
    assert len(list(Path("s").glob("*/run.json"))) == 8


class Noon(datetime):
    """A clock that stands still."""

    @classmethod
    def now(cls, tz=None):
        return cls(2026, 1, 1, 12)


@pytest.fixture
def noon(monkeypatch):
    monkeypatch.setattr(hydra.core.utils, "datetime", Noon)
    monkeypatch.setattr(chain, "datetime", Noon)


def folders(*arguments):
    seen = []
    run_with_hydra(arguments, lambda config, record: seen.append(Path(config["folder"]).relative_to(Path.cwd()).as_posix()) or 0.0)
    return seen


def test_runs_that_start_in_the_same_second_have_folders_of_their_own(noon):
    assert [folders() for _ in range(3)] == [[f"outputs/2026-01-01/12-00-00-dann{end}"] for end in ("", "-2", "-3")]


def test_the_same_sweep_has_the_same_folders_and_another_has_others():
    first = folders("-m", "seed=0,1", "optimizer.lr=0.01")
    assert [Path(path).name for path in first] == ["seed=0", "seed=1"]
    assert {Path(path).parent.parent for path in first} == {Path("outputs/sweeps")}
    assert folders("-m", "seed=0,1", "optimizer.lr=0.01", "resume=true", "hydra/launcher=basic") == first
    assert not set(first) & {*folders("-m", "seed=0,1", "optimizer.lr=0.02"), *folders("-m", "seed=0,1,2", "optimizer.lr=0.01")}


def test_processes_that_start_in_the_same_second_have_folders_of_their_own(noon):
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                Path(f"{os.getpid()}.txt").write_text(folders()[0])
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert len({Path(f"{child}.txt").read_text() for child in children}) == 4


def test_chains_that_start_in_the_same_second_have_folders_of_their_own(noon, monkeypatch):
    monkeypatch.setattr(jobs, "train_job", lambda config, record, **options: 0.0)
    for _ in range(2):
        chain.run(["first.method=source_only", "second.method=dann", "trainer=smoke"])
    assert sorted(path.name for path in Path("outputs/2026-01-01").iterdir()) == ["12-00-00-chain", "12-00-00-chain-2"]
    record = json.loads(Path("outputs/2026-01-01/12-00-00-chain-2/chain.json").read_text())
    assert record["stages"]["second"]["init_from"] == "outputs/2026-01-01/12-00-00-chain-2/first"


def test_showing_the_configuration_makes_no_folder(capsys):
    folders("--cfg", "job")
    assert "selection" in capsys.readouterr().out
    assert not Path("outputs").exists()


def metrics_of(sweep):
    """Of each finished job, but for its times."""
    found = {path.parent.name: json.loads(path.read_text()) for path in Path(sweep).rglob("metrics.json")}
    return {
        name: {key: value for key, value in metrics.items() if "second" not in key and "time" not in key} for name, metrics in found.items()
    }


def write_pictures(folder):
    random = np.random.default_rng(0)
    for domain, name in [(domain, name) for domain in ("source", "target") for name in "abc"]:
        (folder / domain / name).mkdir(parents=True)
        for number in range(8):
            Image.fromarray(random.integers(0, 255, (20, 20, 3)).astype(np.uint8)).save(folder / domain / name / f"{number}.png")
    # Images that are decoded anew in each step keep workers busy.
    return ["data=image_folder", f"data.source={folder / 'source'}", f"data.target={folder / 'target'}", "data.cache=none", *SMALL]


def train_beside_workers(config, record):
    """A real job in a process of its own, which can also start the workers of a loader."""
    assert torch.get_num_threads() == 1
    assert config["data"]["num_workers"] == max(joblib.cpu_count() // 2 - 1, 0) < 99
    assert len(list(torch.utils.data.DataLoader(range(4), num_workers=1))) == 4
    return jobs.train_job(config, record)


@pytest.mark.slow
def test_parallel_jobs_have_the_metrics_of_jobs_in_a_row(tmp_path):
    words = [*write_pictures(tmp_path), "trainer.max_steps=4", "method=dann", "seed=0,1"]
    run_with_hydra(["-m", *words, "data.num_workers=0", "hydra.sweep.dir=basic"], jobs.train_job)
    run_with_hydra([*JOBLIB, *words, "data.num_workers=99", "hydra.sweep.dir=joblib"], train_beside_workers)
    assert len(metrics_of("basic")) == 2
    assert metrics_of("joblib") == metrics_of("basic")


@pytest.mark.slow
def test_eight_jobs_have_the_same_metrics_with_every_launcher_and_sweeper(tmp_path):
    words = [*write_pictures(tmp_path), "trainer.max_steps=6", "method=source_only,dann", "seed=0,1", "optimizer.lr=0.001,0.003"]
    launched = {"basic": ("-m",), "joblib": JOBLIB, "optuna": OPTUNA, "both": (*OPTUNA, *JOBLIB[1:])}
    found = {}
    for name, arguments in launched.items():
        run_with_hydra([*arguments, *words, f"hydra.sweep.dir={name}"], jobs.train_job)
        # Optuna has an order of its own, and so other numbers in the names of folders.
        found[name] = sorted(json.dumps(metrics, sort_keys=True) for metrics in metrics_of(name).values())
        assert len(found[name]) == 8
    assert found["joblib"] == found["basic"] == found["optuna"] == found["both"]
    best = yaml.safe_load(Path("optuna/optimization_results.yaml").read_text())["best_value"]
    assert best == max(metrics["selection/value"] for metrics in metrics_of("basic").values())


def test_each_job_is_composed_once_before_any_is_launched(monkeypatch):
    composed = []
    compose = launching.Launch.compose
    monkeypatch.setattr(launching.Launch, "compose", lambda launch, overrides: composed.append(overrides) or compose(launch, overrides))
    with pytest.raises(ConfigError, match="method=dan_n: there is no such option"):
        run_with_hydra(["-m", "method=dann,dan_n", "hydra.sweep.dir=sweep"], lambda config, record: pytest.fail("it was launched"))
    run_with_hydra(["-m", "seed=0,1", "hydra.sweep.dir=sweep"], job_of([0.1, 0.2]))
    assert len(composed) == 4
    assert not Path("sweep/method=dann").exists()


def test_configuration_of_a_sweep_is_shown_for_one_job():
    with pytest.raises(ConfigError, match="acclimate train seed=1 --cfg job"):
        run_with_hydra(["-m", "seed=0,1", "--cfg", "job"], job_of([0.1, 0.2]))
