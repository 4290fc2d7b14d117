"""Commands of sweeps: what is trained, what is refused, and what is shown, with jobs that only return a number."""

import functools
import re
import shlex
from contextlib import contextmanager
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from sweep_jobs import job_of, written

from acclimate.cli import sweeps, train
from acclimate.cli.hydra_jobs import run_with_hydra
from acclimate.cli.search_space import search_space
from acclimate.cli.sweep_report import similar_sweep
from acclimate.cli.trials import open_storage
from acclimate.errors import ConfigError, StorageError
from acclimate.runs.sweep_states import JobState, best_of

OPTUNA = ("-m", "hydra/sweeper=optuna", "hydra/sweeper/sampler=grid")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def shown(arguments):
    """What the command shows of a sweep."""
    return functools.partial(train._show_sweep, arguments)


def names_in(folder):
    return sorted(path.parent.name for path in Path(folder).glob("*/metrics.json"))


def test_trials_of_a_search_that_repeat_a_job_take_its_value():
    ran, counted = [], []

    @contextmanager
    def watch(folder, num_jobs, is_lowest_best):
        yield
        counted.append(num_jobs())

    search = ["-m", "hydra/sweeper=optuna", "hydra.sweeper.storage=null", "hydra.sweeper.n_trials=4", "seed=0,1", "hydra.sweep.dir=sweep"]
    run_with_hydra(search, written(lambda config: ran.append(config["seed"]) or 0.5), watch)
    assert sorted(ran) == [0, 1]
    assert counted == [2]


def test_a_sweep_finds_the_runs_of_its_folder_whatever_varied_when_they_were_trained():
    ran = []

    def train_new(*words):
        ran.clear()
        run_with_hydra(["-m", *words, "hydra.sweep.dir=sweep"], written(lambda config: ran.append(config["seed"]) or 0.5))
        return ran

    assert train_new("method=dann", "seed=0,1") == [0, 1]
    assert train_new("method=dann,source_only", "seed=0,1") == [0, 1]
    assert train_new("seed=1,0", "method=source_only,dann") == []
    assert train_new("seed=1", "method=dann") == []
    # What does not determine results tells jobs apart if it varies.
    assert train_new("method=dann", "seed=0", "data.num_workers=0,1") == [0]
    assert names_in("sweep") == ["method=source_only,seed=0", "method=source_only,seed=1", "num_workers=1", "seed=0", "seed=1"]


def test_a_sweep_like_one_beside_it_says_how_to_add_to_that(capsys):
    ran = []

    def train_new(*words):
        ran.clear()
        run_with_hydra(words, written(lambda config: ran.append(config["seed"]) or 0.5), shown(words))
        return ran, re.findall(r"stop this one and type:\n  acclimate train (.*)", capsys.readouterr().out)

    # Hydra alone does not read this name.
    data = ["data=vectors", "data.source=a (1).csv", "data.target=a (1).csv"]
    Path("a (1).csv").touch()
    assert train_new("-m", "seed=0,1", "optimizer.lr=0.1", *data) == ([0, 1], [])
    trained, (advice,) = train_new("-m", *data, "optimizer.lr=0.1", "seed=2,1", "hydra/launcher=basic")
    assert trained == [2, 1]
    assert train_new(*shlex.split(advice)) == ([2], [])
    new = Path("outputs/sweeps/new")
    for others in (["optimizer.lr=0.2"], [], ["optimizer.lr=0.1", "hydra.sweep.dir=x"]):
        assert similar_sweep(["-m", *data, "seed=3,4", *others], new) is None
    assert similar_sweep(["-m", "seed=3,4", "++optimizer.lr=0.1", *data], new) is not None


def test_mistakes_are_reported_at_once_and_equal_values_are_one_job(capsys):
    ran = []
    arguments = ["-m", "optimizer.lr=0.1,fast,1e-1"]
    with pytest.raises(ConfigError) as failed:
        run_with_hydra(arguments, written(lambda config: ran.append(config["optimizer"]["lr"]) or 0.5), shown(arguments))
    first, second, *_, last = (line for line in capsys.readouterr().out.splitlines() if line.startswith(("Sweep", "lr=")))
    assert first.startswith("Sweep of 2 jobs in ")
    assert second.startswith("lr=fast: failed: The configuration has a problem: - optimizer.lr=fast is text")
    assert "1 done, 0 running, 1 failed; best" in last
    *_, advice = str(failed.value).splitlines()
    folder = advice.split(" and add ")[1].split(": ")[0]
    # The corrected command, with what the message adds, trains only what is missing.
    run_with_hydra(["-m", "optimizer.lr=0.1,0.2", folder], written(lambda config: ran.append(config["optimizer"]["lr"]) or 0.5))
    assert ran == [0.1, 0.2]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("seed=0,1", "optimiser.lr=0.1"), "optimiser is not a key of the configuration. Did you mean optimizer?"),
        (("seed=0,1", "folder=mine"), "Name the folder of the sweep: hydra.sweep.dir=mine."),
        (("seed=0,1", "hydra.run.dir=mine"), "Name the folder of the sweep: hydra.sweep.dir=mine."),
        (("seed=0,1", "hydra.sweeper.max_batch_size=0"), "must be a whole number of at least 1, or null"),
        (("seed=0,1", "hydra.launcher.n_jobs=2"), "hydra.launcher.n_jobs is a key of hydra/launcher=joblib: add the option."),
        (("seed=0,1", "hydra/launcher=basic,joblib"), "hydra/launcher=basic,joblib has several values"),
        (("optimizer.lr=interval(0.1,1)",), "Add hydra/sweeper=optuna, or type optimizer.lr=VALUE,VALUE."),
        (("method=glob(nothing*)",), "method=glob(nothing*) matches no name. Choose from ada_bn, "),
        ((*OPTUNA[1:], "optimizer.lr=interval(1,2)"), "optimizer.lr=VALUE,VALUE or optimizer.lr=range(1,9)"),
        (("hydra/sweeper=optuna", "seed=interval(1,4)"), "For whole numbers, type seed=int(interval(1,4))."),
    ],
    ids=" ".join,
)
def test_a_command_that_no_job_can_follow_is_refused_as_a_whole(words, message):
    with pytest.raises(ConfigError) as refused:
        run_with_hydra(["-m", *words], lambda config, record: pytest.fail("it was launched"))
    assert message in str(refused.value)
    assert "jobs failed" not in str(refused.value)


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("interval(1,0.1)", "the second number must be larger than the first"),
        ("tag(log,interval(0,1))", "on a logarithmic scale, numbers must be above 0"),
        ("tag(lgo,interval(1,2))", "lgo is not a tag"),
    ],
)
def test_intervals_that_cannot_be_searched_are_refused(typed, message):
    with pytest.raises(ConfigError, match=re.escape(f"optimizer.lr={typed} is not a range to search: {message}")):
        search_space(OverridesParser.create().parse_overrides([f"++optimizer.lr={typed}"]))


@pytest.mark.parametrize("url", ["sqlite:////no/where.db", "mine", "postgres://x"])
def test_a_storage_that_cannot_be_opened_is_answered_with_a_form_that_can(url):
    with pytest.raises(ConfigError, match=r"cannot be opened: .* type hydra\.sweeper\.storage=sqlite:///FILE\.db\."):
        open_storage(url)


def test_a_search_with_a_key_of_one_method_only_goes_on():
    values = ["method=source_only,dann", "++method.steepness=5,10"]
    search = [*OPTUNA, "hydra.sweeper.storage=null", "hydra.sweeper.n_trials=4", *values, "hydra.sweep.dir=sweep"]
    with pytest.raises(ConfigError, match=r"(?s)2 of 4 jobs failed.*steepness: Supervised has no such key.*Correct what is wrong"):
        run_with_hydra(search, written(lambda config: 0.5))
    assert names_in("sweep") == ["method=dann,steepness=10", "method=dann,steepness=5"]


@pytest.mark.slow
def test_the_lowest_value_is_the_best_of_a_search_that_minimises(capsys):
    search = [*OPTUNA, "hydra.sweeper.direction=minimize", "seed=0,1", "hydra.sweep.dir=sweep"]
    run_with_hydra(search, job_of([0.3, -0.1]), shown(search))
    assert "best so far -0.1000 (seed=1)" in capsys.readouterr().out.splitlines()[-1]
    # Trials of other searches that share a storage would count.
    other = [*OPTUNA, "optimizer.lr=0.5", "seed=0,1", "hydra.sweep.dir=other", "hydra.sweeper.storage=sqlite:///sweep/study.db"]
    with pytest.raises(ConfigError) as refused:
        run_with_hydra(other, lambda config, record: pytest.fail("it was launched"))
    assert "hydra.sweeper.direction=maximize (minimize there), optimizer.lr=0.5 (0.001 there)" in str(refused.value)
    run_with_hydra([*other, "hydra.sweeper.study_name=other"], job_of([0.3, -0.1]))


def test_the_best_value_may_be_zero():
    states = [JobState(str(value), "finished", 0.0, value=value) for value in (-0.5, 0.0, None)]
    assert best_of(states) == states[1]
    assert best_of(states, is_lowest_best=True) == states[0]


@pytest.mark.parametrize(("typed", "num_compared"), [("selection=corr_c,bnm", 0), ("selection=last seed=0,1", 0), ("seed=0,1", 2)])
def test_values_of_several_scores_or_of_none_have_no_best(typed, num_compared, capsys):
    arguments = ["-m", *typed.split(), "hydra.sweep.dir=sweep"]
    run_with_hydra(arguments, lambda config, record: 0.5, shown(arguments))
    assert capsys.readouterr().out.count("best so far") == num_compared


def test_a_launcher_that_fails_is_named_with_its_reason():
    Path("sweep").mkdir()
    Path("sweep/seed=1").touch()
    with pytest.raises(ConfigError) as failed:
        run_with_hydra(["-m", "seed=0,1", "hydra.sweep.dir=sweep"], job_of([0.1, 0.2]))
    assert "1 of 2 jobs failed:" in str(failed.value)
    assert "1 job has not begun: hydra/launcher=basic ended with FileExistsError: [Errno 17] File exists: " in str(failed.value)


def test_a_full_disk_ends_a_sweep_with_the_way_to_continue(monkeypatch, capsys):
    write = sweeps.write_state
    full = StorageError("sweep is full (No space left on device).")

    def write_until_full(folder, state):
        if state.job == "seed=1" and state.ended:
            raise full
        write(folder, state)

    monkeypatch.setattr(sweeps, "write_state", write_until_full)
    with pytest.raises(StorageError) as failed:
        run_with_hydra(["-m", "seed=0,1", "hydra.sweep.dir=sweep"], job_of([0.1, 0.2]))
    assert str(failed.value).splitlines() == [
        str(full),
        "Then continue the sweep with the same command: acclimate train -m seed=0,1 hydra.sweep.dir=sweep",
    ]
    assert "Error executing job" not in capsys.readouterr().err


def test_a_failing_sweep_gives_each_reason_once_even_if_its_runs_cannot_be_compared(capsys):
    arguments = ["-m", "seed=0,1", "hydra.sweep.dir=sweep"]
    with pytest.raises(ConfigError, match="a bug"):
        run_with_hydra(arguments, written(lambda config: {}["a bug"] if config["seed"] == 1 else 0.5), shown(arguments))
    # At the end of the job; the report follows in the error.
    assert capsys.readouterr().out.count("a bug") == 1
    Path("sweep/seed=0/run.json").write_text("broken")
    with pytest.raises(ConfigError, match=r"(?s)2 of 2 jobs failed.*Remove the folder sweep/seed=0 to train this job anew"):
        run_with_hydra(arguments, job_of([0.5, KeyError("a bug")]), shown(arguments))
