"""The answers of Lightning's private names, compared with what it does next."""

import re
from functools import partialmethod
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.plugins.precision import MixedPrecision
from small_runs import compose

from acclimate.methods.base import Method
from acclimate.methods.dann import Dann
from acclimate.training import assembly, lightning_internals
from acclimate.types import DomainBatch

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


class Diary(Callback):
    """Notes every hook of a step with what Lightning counts, and what is logged."""

    def __init__(self):
        self.notes = []

    def note(self, hook, trainer, module, *arguments):
        numbers = [one["loss"].item() if isinstance(one, dict) else one for one in arguments if isinstance(one, int | dict)]
        self.notes.append(
            (hook, module._current_fx_name, numbers, trainer.global_step, trainer.is_last_batch, sorted(trainer.callback_metrics))
        )
        if hook != "on_before_zero_grad":
            module.log(f"diary/{hook}", float(trainer.global_step))


for hook in (*lightning_internals.STEP_HOOKS, "on_before_optimizer_step", "on_validation_epoch_end", "on_train_epoch_end"):
    setattr(Diary, hook, lambda self, *arguments, hook=hook: self.note(hook, *arguments))


class Logged(pl.loggers.logger.DummyLogger):
    """Keeps what it is sent."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def log_metrics(self, metrics, step=None):
        self.rows.append((step, dict(metrics)))


STEPS = ("trainer.max_epochs=2", "trainer.log_every_n_steps=2", "trainer.gradient_clip_val=0.1")


@pytest.mark.parametrize(("method", "precision"), [("dann", "32-true"), ("adda", "bf16-mixed")])
def test_short_steps_do_what_those_of_lightning_do(archives, tmp_path, monkeypatch, method, precision):
    found = []
    for is_usual in (True, False):
        diary, logger = Diary(), Logged()
        parts = assembly.build(compose(tmp_path, *archives, f"method={method}", f"trainer.precision={precision}", *STEPS), None, [diary])
        parts.trainer.loggers = [logger]
        if not is_usual:
            monkeypatch.setattr(lightning_internals._ShortSteps, "_is_usual", lambda *rest: False)
        parts.trainer.fit(parts.method, parts.data)
        loop = parts.trainer.fit_loop
        assert loop.epoch_loop._is_short == is_usual, HINT
        optimizer = parts.trainer.optimizers[0].state_dict()["state"]
        found.append((diary.notes, logger.rows, {"loop": loop.state_dict(), "weights": parts.method.state_dict(), "optimizer": optimizer}))
    (*notes, state), (*other_notes, other_state) = found
    assert notes == other_notes, HINT
    torch.testing.assert_close(state, other_state, rtol=0, atol=0, msg=HINT)


def schedule_by_epochs(method):
    configured = Method.configure_optimizers(method)
    configured["lr_scheduler"]["interval"] = "epoch"
    return configured


@pytest.mark.parametrize(
    ("option", "hooks"),
    [
        ("trainer.accumulate_grad_batches=2", {}),
        ("trainer.profiler=simple", {}),
        ("seed=1", {"optimizer_step": partialmethod(pl.LightningModule.optimizer_step)}),
        ("seed=1", {"configure_optimizers": schedule_by_epochs}),
    ],
)
def test_unusual_trainings_take_the_steps_of_lightning(archives, tmp_path, monkeypatch, option, hooks):
    for name, hook in hooks.items():
        monkeypatch.setattr(Dann, name, hook, raising=False)
    parts = assembly.build(compose(tmp_path, *archives, "method=dann", "trainer.max_steps=1", option))
    parts.trainer.fit(parts.method, parts.data)
    assert not parts.trainer.fit_loop.epoch_loop._is_short


def test_another_version_of_lightning_takes_its_own_steps(archives, tmp_path, monkeypatch):
    monkeypatch.setattr(pl, "__version__", "2.7.0")
    parts = assembly.build(compose(tmp_path, *archives, "method=dann", "trainer.max_steps=1"))
    assert not isinstance(parts.trainer.fit_loop.epoch_loop, lightning_internals._ShortSteps)
    parts.trainer.fit(parts.method, parts.data)
    assert parts.trainer.global_step == 1


def test_inputs_of_other_types_become_those_of_the_weights(archives, tmp_path, monkeypatch):
    found, convert = [], MixedPrecision.convert_input
    monkeypatch.setattr(MixedPrecision, "convert_input", lambda plugin, batch: found.append(batch) or convert(plugin, batch))
    parts = assembly.build(compose(tmp_path, *archives, "method=dann", "trainer.precision=bf16-mixed", "trainer.max_steps=2"))
    parts.trainer.fit(parts.method, parts.data)
    assert parts.trainer.fit_loop.epoch_loop._is_short
    assert len([batch for batch in found if isinstance(batch, DomainBatch)]) == 2, HINT
