"""The modes and gradients of a method around a validation."""

import pytest
from pytorch_lightning.callbacks import Callback
from small_runs import compose

from acclimate.training import assembly


class Modes(Callback):
    """Puts a layer into evaluation mode, as a method may do, and notes the mode of each module before, in and after a validation."""

    def __init__(self):
        self.notes = []

    def on_train_batch_end(self, trainer, module, *rest):
        module.discriminator[0].eval()
        self.notes.append(self.modes(module))

    def on_validation_end(self, trainer, module):
        self.notes.append(self.modes(module))
        assert all(parameter.grad is None for parameter in module.parameters())

    def on_train_epoch_end(self, trainer, module):
        self.notes.append(self.modes(module))

    def modes(self, module):
        return {name: one.training for name, one in module.named_modules()}


@pytest.mark.parametrize("freeze", ["backbone", "none"])
def test_a_validation_leaves_all_modes_as_they_were(archives, tmp_path, freeze):
    modes = Modes()
    options = ("method=dann", "trainer.max_steps=1", f"model.freeze={freeze}", "model.bottleneck=4")
    run = assembly.build(compose(tmp_path, *archives, *options), None, [modes])
    run.trainer.fit(run.method, run.data)
    before, within, after = modes.notes
    assert before == after
    assert not any(within.values())
    assert before["classifier.bottleneck"] and not before["discriminator.0"]
    assert before["classifier.backbone"] == (freeze == "none")
