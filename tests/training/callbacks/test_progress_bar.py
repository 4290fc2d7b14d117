"""What a terminal shows while a run trains, and a file of the same output."""

import io
import logging
import re
import sys
import warnings
from contextlib import contextmanager

import pytest
import pytorch_lightning as pl
from small_runs import compose, train_and_stop

from acclimate.errors import Interrupted
from acclimate.files.console import ConsoleFormatter, set_verbosity
from acclimate.training import run
from acclimate.training.callbacks import progress_bar

WIDTH = 80
QUICK = (
    "method=dann",
    "trainer.max_steps=12",
    "trainer.check_val_every_n_epoch=null",
    "trainer.val_check_interval=4",
    "trainer.log_every_n_steps=2",
)


class Warned(pl.Callback):
    """A callback whose package warns in the middle of the training."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == 6:
            warnings.warn("the moon is full", UserWarning, stacklevel=1)


class Output(io.StringIO):
    """Standard output and error of a command.

    Args:
        is_terminal: Whether they belong to a terminal.
    """

    def __init__(self, is_terminal):
        super().__init__()
        self.is_terminal = is_terminal

    def isatty(self):
        return self.is_terminal

    def lines(self):
        """Return the lines that a terminal shows at the end."""
        shown = []
        for line in self.getvalue().split("\n"):
            text = ""
            for part in line.split("\r"):
                text = part + text[len(part) :]
            shown.append(text.rstrip())
        return shown


@contextmanager
def shown(*, on_terminal, verbosity="normal"):
    """Write all output to an object, as the command does with its log."""
    output, root = Output(on_terminal), logging.getLogger()
    handler = logging.StreamHandler(output)
    handler.setFormatter(ConsoleFormatter())
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(sys, "stderr", output)
        monkeypatch.setattr(sys, "stdout", output)
        monkeypatch.setattr(progress_bar, "PAUSE", 0)
        monkeypatch.setenv("COLUMNS", str(WIDTH))
        root.addHandler(handler)
        root.setLevel(logging.INFO)
        set_verbosity(verbosity)
        try:
            yield output
        finally:
            root.removeHandler(handler)
            logging.getLogger("acclimate").setLevel(logging.NOTSET)


def watched(folder, archives, *overrides):
    config = compose(folder, *archives, *QUICK, *overrides)
    del config["trainer"]["enable_progress_bar"]
    bar = {"_target_": "acclimate.training.callbacks.progress_bar.ProgressBar", "refresh_rate": 1}
    return {**config, "callbacks": {**config["callbacks"], "progress_bar": bar, "warned": {"_target_": f"{__name__}.Warned"}}}


def test_a_terminal_shows_one_line_below_the_messages(archives, tmp_path):
    with shown(on_terminal=True) as output:
        run.train(watched(tmp_path, archives))
    bars = [text for text in re.split(r"[\r\n]", output.getvalue()) if re.match(r" *\d+/12 ", text)]
    last = bars[-1]
    assert re.search(r"12/12 .* [\d.]+/s, 0:00 left, source 0\.\d{3}, score -?\d+\.\d{3}, domain \d\.\d\d$", last)
    assert max(map(len, bars)) < WIDTH
    lines = output.lines()
    assert [line for line in lines if re.match(r" *\d+/\d+ ", line)] == []
    steps = [line for line in lines if line.startswith("step ")]
    assert [line.partition(":")[0] for line in steps] == ["step 4/12", "step 8/12", "step 12/12"]
    assert all(
        re.fullmatch(r"step \d+/12: source accuracy \d\.\d{3}, score -?\d+\.\d{3}, domain accuracy \d\.\d\d", line) for line in steps
    )
    assert sum("UserWarning: the moon is full" in line for line in lines) == 1
    assert all(line.startswith(("/", "UserWarning")) for line in lines if "the moon is full" in line and "warn(" not in line)


def test_a_file_has_a_plain_line_for_each_validation(archives, tmp_path):
    with shown(on_terminal=False) as output:
        run.train(watched(tmp_path, archives))
    text = output.getvalue()
    assert not set(text) & {"\r", "\x1b"}
    steps = [line for line in text.splitlines() if line.startswith("step ")]
    assert len(steps) == 3
    assert all(re.search(r", domain accuracy \d\.\d\d, [\d.]+ steps/s, \d:\d\d left$", line) for line in steps)


def test_a_stopped_run_leaves_no_bar_behind(archives, tmp_path):
    with shown(on_terminal=True) as output, pytest.raises(Interrupted):
        train_and_stop(watched(tmp_path, archives), hook="on_train_batch_end", batches=6)
    assert re.search(r"\r *5/12 ", output.getvalue())
    assert output.lines()[-1] == ""
    assert [line for line in output.lines() if "/12 " in line] == []


def test_a_quiet_run_has_no_bar_and_only_warnings(archives, tmp_path):
    with shown(on_terminal=True, verbosity="quiet") as output:
        run.train({**watched(tmp_path, archives), "verbosity": "quiet"})
        logging.getLogger("acclimate.data").warning("The target is small.")
    lines = [line for line in output.lines() if line]
    assert [line for line in lines if line.startswith("step ") or "/12" in line] == []
    assert lines[-1] == "Warning: The target is small."


def test_a_run_for_debugging_shows_all_metrics(archives, tmp_path):
    with shown(on_terminal=False, verbosity="debug") as output:
        run.train({**watched(tmp_path, archives), "verbosity": "debug"})
    metrics = [line for line in output.getvalue().splitlines() if line.startswith("Debug: step 12: ")]
    assert len(metrics) == 1
    assert "loss/total " in metrics[0]
    assert "score/bnm " in metrics[0]
