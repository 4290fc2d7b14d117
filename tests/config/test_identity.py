"""Settings that make a run this run, and those that only say how or where it trains."""

import pytest

from acclimate.config.identity import REPORTING, differing, digest, identity, show_settings, without

CONFIG = {
    "seed": 1,
    "folder": "/runs/a",
    "name": "dann",
    "data": {"_target_": "Arrays", "source": "photographs", "batch_size": 64, "seed": 1},
    "optimizer": {"_target_": "torch.optim.AdamW", "lr": 0.001, "betas": [0.9, 0.999]},
    "callbacks": {"checkpoint": {"_target_": "ModelCheckpoint", "dirpath": "/runs/a/checkpoints"}, "bar": {"_target_": REPORTING[0]}},
    "trainer": {"max_epochs": 5, "max_steps": -1, "gradient_clip_val": None},
}


def changed(group, **keys):
    return CONFIG | {group: CONFIG[group] | keys}


@pytest.mark.parametrize(
    "other",
    [
        CONFIG | {"name": "mine", "resume": True},
        changed("data", num_workers=8, cache="ram", feature_cache="none", eval_batch_size=17),
        changed("data", source="./photographs/"),
        changed("optimizer", betas=(0.9, 0.999)),
        changed("optimizer", lr=1e-3, weight_decay=None),
        changed("callbacks", bar=None),
        changed("callbacks", bar={"_target_": REPORTING[1], "refresh_rate": 1}),
        changed("trainer", max_epochs=5.0, log_every_n_steps=1, accelerator="cpu", compile=True),
    ],
)
def test_what_changes_no_result_is_no_difference(other):
    assert differing(identity(CONFIG), identity(other)) == []
    assert digest(identity(CONFIG)) == digest(identity(other))


@pytest.mark.parametrize(
    ("other", "key"),
    [
        (CONFIG | {"seed": 2}, "data.seed"),
        (changed("data", source="drawings"), "data.source"),
        (changed("data", target="drawings"), "data.target"),
        (changed("optimizer", lr=0.01), "optimizer.lr"),
        (changed("optimizer", betas=[0.9, 0.99]), "optimizer.betas"),
        (changed("callbacks", ema={"_target_": "WeightAverage", "decay": 0.9}), "callbacks.ema.decay"),
        (changed("trainer", max_epochs=6), "trainer.max_epochs"),
        (changed("trainer", gradient_clip_val=1), "trainer.gradient_clip_val"),
    ],
)
def test_what_changes_results_is_a_difference(other, key):
    assert key in differing(identity(CONFIG), identity(other))
    assert digest(identity(CONFIG)) != digest(identity(other))


def test_a_run_in_another_folder_is_the_same_run():
    callbacks = {"checkpoint": {"_target_": "ModelCheckpoint", "dirpath": "/runs/b/checkpoints"}}
    assert differing(identity(CONFIG), identity(CONFIG | {"folder": "/runs/b", "callbacks": callbacks})) == []


def test_epochs_do_not_matter_where_steps_take_their_place():
    first, second = (identity(changed("trainer", max_steps=100, max_epochs=epochs)) for epochs in (5, 6))
    assert first == second


def test_seeds_apart_two_seeds_are_the_same():
    first, second = (without(identity(CONFIG | {"seed": seed, "data": CONFIG["data"] | {"seed": seed}}), "seed") for seed in (1, 2))
    assert digest(first) == digest(second)


def test_a_class_stands_for_the_keys_of_its_group():
    settings = {"optimizer._target_": "torch.optim.SGD", "optimizer.lr": 0.1, "data.classes": [1, None], "trainer.x": True}
    assert show_settings(settings, settings) == ["data.classes=[1,null]", "optimizer=SGD", "trainer.x=true"]
