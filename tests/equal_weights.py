"""Compare the weights that two checkouts train, bit for bit, under one seed.

For a refactoring, which must change none of them:

    git worktree add ../before COMMIT
    python tests/equal_weights.py --base ../before
    python tests/equal_weights.py --base ../before --steps 20 dann mcd

Each checkout trains in a process of its own, in the same Python environment, on generated images. Prints a row for each case and
exits with 1 if any differ.
"""

import argparse
import contextlib
import importlib
import io
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import torch

IMAGE_SIZE = ("data.image_size=16",)
SMALL_MODEL = ("model.backbone.width=4",)
SMALL = (
    *("data.batch_size=4", "data.target_batch_size=3", "data.epoch=source", "data.eval_batch_size=8"),
    *("logger=none", "callbacks.pictures=null", "callbacks.progress_bar=null", "trainer=cpu", "+trainer.enable_progress_bar=false"),
)
FINE_TUNING = ("data.target=null",)
PRETRAINED = ("model=efficientnet_lite0", "data.image_size=32")
FROM_SOURCE = ("init_from=source_only",)
# By name; a case that another starts from comes first.
CASES = {
    "source_only": ("method=source_only",),
    "dann": ("method=dann",),
    "dann_mcc_fixmatch": ("method=dann_mcc_fixmatch", "method.terms.fixmatch.threshold=0.5"),
    "cdan_e": ("method=cdan_e",),
    "bsp": ("method=bsp",),
    "mdd": ("method=mdd",),
    "dan": ("method=dan",),
    "jan": ("method=jan",),
    "deep_coral": ("method=deep_coral",),
    "deep_jdot": ("method=deep_jdot",),
    "afn": ("method=afn",),
    "adda": ("method=adda",),
    "wdgrl": ("method=wdgrl",),
    "mcd": ("method=mcd",),
    "mcd_joint": ("method=mcd", "method.batch_norm=joint"),
    "mean_teacher": ("method=mean_teacher", "method.terms.mean_teacher.threshold=0.5"),
    "shot": ("method=shot", *FROM_SOURCE),
    "tent": ("method=tent", *FROM_SOURCE),
    "ada_bn": ("method=ada_bn", *FROM_SOURCE),
    "simclr": ("method=simclr",),
    "rotation": ("method=rotation",),
    "barlow_twins": ("method=barlow_twins",),
    "delta": ("method=delta", *FINE_TUNING),
    "bss": ("method=bss", *FINE_TUNING),
    "l2_sp": ("method=l2_sp", *FINE_TUNING),
    "gradual_unfreeze": ("method=gradual_unfreeze", *FINE_TUNING),
    "stoch_norm": ("method=stoch_norm", *FINE_TUNING),
    "co_tuning": ("method=co_tuning", *FINE_TUNING, *PRETRAINED),
    "mixed": ("method=dann", "method.mixup=0.4", "method.cutmix=1", "method.label_smoothing=0.1", "method.class_weights=balanced"),
    "label_shift": ("method=cdan", "method.target_class_weights=estimated", "method.label_smoothing=0.1", "+terms=mcc"),
    "few_labels": ("method=dann_mcc", "data.target_labels_per_class=1", "model.dropout=0.3"),
    "few_labels_of_delta": ("method=delta", "data.target_labels_per_class=1"),
    "averaged": ("method=dann", "callbacks.ema.decay=0.9"),
    "frozen": ("method=dann", "model.freeze=backbone"),
}


def train(checkout: Path, cases: list[str], data: list[str], steps: int) -> None:
    """Train each case in the folder of its name, with the command of a checkout."""
    module, _, function = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]["scripts"]["acclimate"].partition(":")
    command = getattr(importlib.import_module(module), function)
    for name in cases:
        overrides = [*SMALL, *([] if PRETRAINED[0] in CASES[name] else [*IMAGE_SIZE, *SMALL_MODEL])]
        if FINE_TUNING[0] not in CASES[name]:
            overrides.append("model.bottleneck=8")
        length = [f"trainer.max_steps={steps}", f"trainer.val_check_interval={steps}", "trainer.check_val_every_n_epoch=null"]
        sys.argv = ["acclimate", "train", *data, *overrides, *CASES[name], *length, f"hydra.run.dir={name}"]
        with contextlib.redirect_stdout(io.StringIO()):
            command()


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """All that a run has trained or counted; names that begin with `extras.` lose that."""
    contents = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    return {name.removeprefix("extras."): value for name, value in contents["state_dict"].items()}


def compare(first: Path, second: Path) -> str:
    """Say in a few words whether two runs have the same weights."""
    missing = [folder.parent.name for folder in (first, second) if not (folder / "metrics.json").exists()]
    if missing:
        return f"no run in {' and '.join(missing)}"
    one, other = weights(first), weights(second)
    differing = [name for name in sorted({*one, *other}) if name not in one or name not in other or not torch.equal(one[name], other[name])]
    return "equal" if not differing else f"{len(differing)} of {len(one)} tensors differ: {', '.join(differing[:3])}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, required=True, help="the checkout to compare with")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("cases", nargs="*", help=f"any of {', '.join(CASES)}; all if none is named")
    arguments = parser.parse_args()
    cases = [name for name in CASES if not arguments.cases or name in (*arguments.cases, "source_only")]
    if arguments.train is not None:
        data = ["data=arrays", *(f"data.{name}={(Path.cwd().parent / name).with_suffix('.npz')}" for name in ("source", "target"))]
        train(arguments.train, cases, data, arguments.steps)
        return
    from small_runs import write_archives

    checkouts = {"before": arguments.base.resolve(), "after": Path(__file__).parents[1]}
    with tempfile.TemporaryDirectory() as folder:
        write_archives(Path(folder))
        for name, checkout in checkouts.items():
            Path(folder, name).mkdir()
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(checkout / "src"), str(checkout / "tests")])}
            environment["ACCLIMATE_CACHE"] = str(Path(folder, name, "cache"))
            words = ["--base", str(checkout), "--steps", str(arguments.steps), "--train", str(checkout), *cases]
            subprocess.run([sys.executable, __file__, *words], cwd=Path(folder, name), env=environment, check=False)
        results = {case: compare(Path(folder, "before", case), Path(folder, "after", case)) for case in cases}
    for case, result in results.items():
        print(f"{case:22s}{result}")
    sys.exit(any(result != "equal" for result in results.values()))


if __name__ == "__main__":
    main()
