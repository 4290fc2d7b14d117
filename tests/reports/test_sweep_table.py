"""What is shown of a sweep while it runs."""

import io
import sys
import time

import pytest

from acclimate.reports import sweep_table
from acclimate.reports.sweep_table import watch
from acclimate.runs.sweep_states import JobState, read_states, write_state


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run_three(folder):
    """One job of each kind of end, beside one that runs."""
    began = time.time() - 60
    write_state(folder, JobState("lr=1", "finished", began, began + 30, 0.75, warnings=("a collapse",)))
    write_state(folder, JobState("lr=2", "finished", began + 1, value=0.5))
    write_state(folder, JobState("lr=[red]", "failed", began + 2, began + 4, reason="no\nmemory", log="train.log"))
    write_state(folder, JobState("lr=4", "running", began + 3))


@pytest.fixture(autouse=True)
def often(monkeypatch):
    monkeypatch.setattr(sweep_table, "INTERVAL", 0.01)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("TERM", raising=False)


def test_terminal_shows_a_table_and_what_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdout", Terminal())
    with watch(tmp_path, lambda: 6):
        run_three(tmp_path)
    shown = sys.stdout.getvalue()
    for part in ("lr=1: a collapse", "best so far", "30 s", "0.7500", "lr=[red]", "no memory", "1 running", "2 done", "1 failed"):
        assert part in shown
    assert "2 waiting; best so far 0.7500 (lr=1); about" in " ".join(shown.split())


def test_other_outputs_get_a_plain_line_for_each_change(tmp_path, capsys):
    with watch(tmp_path, lambda: 4):
        run_three(tmp_path)
        time.sleep(0.1)
        write_state(tmp_path, JobState("lr=4", "stopped", time.time() - 5, time.time()))
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == f"Sweep of 4 jobs in {tmp_path}"
    assert all(line.startswith("lr=") for line in lines)
    assert "lr=1: Warning: a collapse" in lines
    assert "lr=4: running" in lines
    assert any(line.startswith("lr=1: finished in 30 s with 0.7500. ") for line in lines)
    assert any(line.startswith("lr=2: already finished with 0.5000. ") for line in lines)
    assert any(line.startswith("lr=[red]: failed in 2 s: no memory. ") for line in lines)
    assert lines[-1].startswith("lr=4: stopped in 5 s. 2 done, 0 running, 1 failed, 1 stopped; best so far 0.7500 (lr=1)")


def test_states_are_those_of_all_jobs_however_they_are_named(tmp_path):
    names = ["a/b", "x" * 250, "\u540d=1", ".."]
    for name in names:
        write_state(tmp_path, JobState(name, "running", 0.0))
    assert sorted(state.job for state in read_states(tmp_path)) == sorted(names)


def test_pruned_jobs_are_done_but_never_the_best(tmp_path, capsys):
    began = time.time() - 5
    with watch(tmp_path, lambda: 3):
        write_state(tmp_path, JobState("lr=1", "pruned", began, began + 2, reason="after 6 steps, with a score of 0.9000"))
        write_state(tmp_path, JobState("lr=2", "finished", began, began + 3, 0.5))
        write_state(tmp_path, JobState("lr=3", "pruned", began))
    lines = capsys.readouterr().out.splitlines()[1:]
    assert any(line.startswith("lr=1: pruned in 2 s: after 6 steps, with a score of 0.9000. ") for line in lines)
    assert any(line.startswith("lr=3: already pruned. ") for line in lines)
    assert lines[-1].endswith("1 done, 2 pruned, 0 running, 0 failed; best so far 0.5000 (lr=2)")
