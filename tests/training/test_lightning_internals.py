"""The answers of Lightning's private names, compared with what it does next."""

import re
from pathlib import Path

import pytest
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from small_runs import compose

from acclimate.training import assembly, lightning_internals

SOURCES = Path(lightning_internals.__file__).parents[1]
PRIVATE = re.compile(r"(trainer|loop|pl_module|strategy)\._[a-z]\w*|from pytorch_lightning[\w.]* import .*\b_[a-z]")
EVERY_SECOND_BATCH = ("trainer.val_check_interval=2", "trainer.check_val_every_n_epoch=null")
HINT = f"Lightning {pl.__version__} works differently. Correct acclimate/training/lightning_internals.py, and the version it names."


class Notes(Callback):
    """Notes after each batch what the functions say, and at the next batch, or the end, what happened in between."""

    def __init__(self):
        self.said, self.happened = [], []
        self.validated, self.steps = False, 0

    def on_train_batch_end(self, trainer, *rest):
        self.said.append((ask(lightning_internals.validates_after_step, trainer), ask(lightning_internals.accumulates, trainer)))
        self.happened.append([False, trainer.global_step == self.steps])
        self.steps = trainer.global_step

    def on_validation_start(self, *rest):
        self.happened[-1][0] = True


def ask(function, trainer):
    try:
        return function(trainer)
    except (AttributeError, TypeError) as error:
        pytest.fail(f"{HINT} {error}")


@pytest.mark.parametrize(
    "options",
    [
        (
            "trainer.max_steps=3",
            "trainer.val_check_interval=2",
            "trainer.check_val_every_n_epoch=null",
            "trainer.accumulate_grad_batches=2",
        ),
        ("trainer.max_epochs=2", "trainer.accumulate_grad_batches=3"),
    ],
)
def test_answers_agree_with_what_happens(archives, tmp_path, options):
    notes = Notes()
    parts = assembly.build(compose(tmp_path, *archives, "method=dann", "+trainer.num_sanity_val_steps=0", *options), None, [notes])
    parts.trainer.fit(parts.method, parts.data)
    assert {True, False} == {accumulated for _, accumulated in notes.said} == {validated for validated, _ in notes.said}
    assert notes.said == [tuple(one) for one in notes.happened], HINT


def test_private_names_are_in_one_module():
    found = [path.name for path in SOURCES.rglob("*.py") if PRIVATE.search(path.read_text())]
    assert found == ["lightning_internals.py"]


class Counts(Callback):
    """Counts the hooks of its steps; all others are empty."""

    def __init__(self):
        self.called = []

    def on_before_backward(self, *rest):
        self.called.append("before")

    def on_train_batch_end(self, *rest):
        self.called.append("end")


def test_only_empty_hooks_are_left_out(archives, tmp_path):
    counts = Counts()
    parts = assembly.build(compose(tmp_path, *archives, "method=dann", "trainer.max_steps=2"), None, [counts])
    parts.trainer.fit(parts.method, parts.data)
    assert counts.called == ["before", "end"] * 2, HINT
    assert counts.on_after_backward is None
    assert callable(counts.on_train_epoch_end)
