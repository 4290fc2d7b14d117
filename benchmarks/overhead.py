"""What the framework costs: `dann` with `small_cnn` against the same algorithm as a bare torch loop.

Both train on the same tensors on the same device, in turns, in one run; the table gives ratios of images per second,
so values above 1 mean that acclimate is faster.

    make benchmark
"""

import argparse
import logging
import math
import statistics
import tempfile
import time
from pathlib import Path

import hydra
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F

from acclimate.composition import resolve
from acclimate.config import conf_dir
from acclimate.run import NO_LOGGER, build

BATCH_SIZE = 64
WIDTH = 32
BOTTLENECK = 128


def ours(steps: int, folder: Path) -> tuple[float, tuple[Tensor, Tensor, Tensor]]:
    """Images per second of `acclimate train`, and the tensors that it trained on."""
    overrides = [
        f"folder={folder}",
        f"trainer.max_steps={steps}",
        "+trainer.limit_val_batches=0",
        "+trainer.enable_progress_bar=false",
        f"data.num_source={BATCH_SIZE * 50}",
        "data.num_source_eval=100",
    ]
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = resolve(hydra.compose("train", overrides))
    run = build(config | {"callbacks": {}, "logger": NO_LOGGER})
    source, target = run.data.domains.source.train, run.data.domains.target.train
    run.trainer.fit(run.method, run.data)
    return run.throughput.samples / run.throughput.seconds, (source.images, source.labels, target.images)


class ReverseGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features, strength):
        ctx.strength = strength
        return features.view_as(features)

    @staticmethod
    def backward(ctx, gradient):
        return -ctx.strength * gradient, None


def bare_loop(steps: int, tensors: tuple[Tensor, Tensor, Tensor], *, channels_last: bool) -> float:
    """Images per second of the shortest loop that does the same: two passes, one loss, AdamW, a schedule."""
    layers = []
    for num_in, num_out in ((3, WIDTH), (WIDTH, 2 * WIDTH), (2 * WIDTH, 4 * WIDTH)):
        layers += [nn.Conv2d(num_in, num_out, 3, padding=1, bias=False), nn.BatchNorm2d(num_out), nn.ReLU(), nn.MaxPool2d(2)]
    extractor = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * WIDTH, BOTTLENECK), nn.BatchNorm1d(BOTTLENECK), nn.ReLU())
    head = nn.Linear(BOTTLENECK, 10)
    discriminator = nn.Sequential(
        nn.Linear(BOTTLENECK, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 1)
    )  # fmt: skip
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    networks = nn.ModuleList([extractor, head, discriminator])
    extractor.to(memory_format=memory_format)
    optimizer = torch.optim.AdamW(networks.parameters(), lr=1e-3, weight_decay=0.01, fused=channels_last)
    source, labels, target = tensors

    def images(pool: Tensor, chosen: Tensor) -> Tensor:
        pixels = pool[chosen].expand(-1, 3, -1, -1).float().div(255).sub(0.5).div(0.5)
        return pixels.contiguous(memory_format=memory_format)

    started = time.perf_counter()
    for step in range(steps):
        progress = step / steps
        strength = 2 / (1 + math.exp(-10 * progress)) - 1
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * (1 + 10 * progress) ** -0.75
        chosen = torch.randint(len(source), (BATCH_SIZE,))
        source_features = extractor(images(source, chosen))
        target_features = extractor(images(target, torch.randint(len(target), (BATCH_SIZE,))))
        domain_logits = discriminator(ReverseGradient.apply(torch.cat([source_features, target_features]), strength))
        is_source = torch.cat([torch.ones(BATCH_SIZE, 1), torch.zeros(BATCH_SIZE, 1)])
        loss = F.cross_entropy(head(source_features), labels[chosen])
        loss = loss + F.binary_cross_entropy_with_logits(domain_logits, is_source)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return 2 * BATCH_SIZE * steps / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=80, help="steps of each program in each round")
    arguments = parser.parse_args()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    ratios: dict[str, list[float]] = {"contiguous": [], "channels_last": []}
    with tempfile.TemporaryDirectory() as folder:
        _, tensors = ours(5, Path(folder))
        bare_loop(5, tensors, channels_last=True)
        for _ in range(arguments.rounds):
            rate, tensors = ours(arguments.steps, Path(folder))
            for name, values in ratios.items():
                values.append(rate / bare_loop(arguments.steps, tensors, channels_last=name == "channels_last"))
    table = Table(title=f"images per second, acclimate ÷ bare loop, {arguments.rounds} rounds of {arguments.steps} steps")
    for heading in ("bare loop", "median", "lowest", "highest"):
        table.add_column(heading)
    for name, values in ratios.items():
        table.add_row(name, *(f"{number:.2f}" for number in (statistics.median(values), min(values), max(values))))
    Console().print(table)


if __name__ == "__main__":
    main()
