"""Reference programs for the speed of acclimate: short loops in plain torch, as in tutorials and libraries.

Each returns the images per second, or the seconds, of its training only.
"""

import copy
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

SIZE = 224


class Digits(NamedTuple):
    """Training data of both programs: images of both domains, uint8, shape (N, 1, 32, 32), and labels of the source."""

    source: Tensor
    labels: Tensor
    target: Tensor


def make_up_photographs(folder: Path, *, num_images: int, size: tuple[int, int] = (500, 375), seed: int = 0) -> list[Path]:
    """Write JPEG files of two classes, with as much detail as photographs."""
    generator = np.random.default_rng(seed)
    paths = []
    for number in range(num_images):
        path = folder / f"class{number % 2}" / f"{seed}_{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(generator.integers(0, 256, (size[1] // 5, size[0] // 5, 3), dtype=np.uint8))
        coarse.resize(size, Image.Resampling.BICUBIC).save(path, quality=90)
        paths.append(path)
    return paths


class Layers(nn.Module):
    """The layers of `small_cnn` with dann's bottleneck, head and discriminator."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for num_in, num_out in ((3, 32), (32, 64), (64, 128)):
            layers += [nn.Conv2d(num_in, num_out, 3, padding=1, bias=False), nn.BatchNorm2d(num_out), nn.ReLU(), nn.MaxPool2d(2)]
        self.extractor = nn.Sequential(*layers, nn.Flatten(), nn.Linear(2048, 128), nn.BatchNorm1d(128), nn.ReLU())
        self.head = nn.Linear(128, 10)
        self.discriminator = discriminator(128)


def discriminator(num_features: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(num_features, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 1))


class ReverseGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features, strength):
        ctx.strength = strength
        return features.view_as(features)

    @staticmethod
    def backward(ctx, gradient):
        return -ctx.strength * gradient, None


def dann_loss(discriminator: nn.Module, source: Tensor, target: Tensor, progress: float) -> Tensor:
    strength = 2 / (1 + math.exp(-10 * progress)) - 1
    logits = discriminator(ReverseGradient.apply(torch.cat([source, target]), strength))
    is_source = torch.cat([torch.ones_like(logits[: len(source)]), torch.zeros_like(logits[len(source) :])])
    return F.binary_cross_entropy_with_logits(logits, is_source)


class KeptFeatures(NamedTuple):
    """Training data of both programs: features of a frozen backbone, shape (N, D), and labels of the source."""

    source: Tensor
    labels: Tensor
    target: Tensor


class LayersOnFeatures(nn.Module):
    """The trainable layers of dann on a frozen backbone."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(256)
        self.bottleneck = nn.Sequential(nn.Linear(num_features, 256), self.norm, nn.ReLU())
        self.head = nn.Linear(256, 10)
        self.discriminator = discriminator(256)


def dann_on_features(features: KeptFeatures, *, steps: int, batch_size: int) -> float:
    """Train DANN on features in memory in a minimal loop; return the steps per second.

    The running statistics of batch norm follow the target alone, as in `batch_norm=separate`.
    """
    layers = LayersOnFeatures(features.source.shape[1])
    optimizer = torch.optim.AdamW(layers.parameters(), lr=1e-3, weight_decay=0.01, fused=True)
    sources, targets = (drawn(len(domain), batch_size) for domain in (features.source, features.target))
    started = time.perf_counter()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * (1 + 10 * step / steps) ** -0.75
        chosen = next(sources)
        layers.norm.track_running_stats = False
        source_features = layers.bottleneck(features.source[chosen])
        layers.norm.track_running_stats = True
        target_features = layers.bottleneck(features.target[next(targets)])
        loss = F.cross_entropy(layers.head(source_features), features.labels[chosen])
        loss = loss + dann_loss(layers.discriminator, source_features, target_features, step / steps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return steps / (time.perf_counter() - started)


def drawn(num_samples: int, batch_size: int) -> Iterator[Tensor]:
    """Yield the indices of samples in batches, one permutation after the other."""
    while True:
        yield from torch.randperm(num_samples).split(batch_size)


def batches(digits: Digits, steps: int, batch_size: int, memory_format: torch.memory_format) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield images of the source, their labels, and images of the target."""

    def pixels(pool: Tensor, chosen: Tensor) -> Tensor:
        images = pool[chosen].expand(-1, 3, -1, -1).float().div(255).sub(0.5).div(0.5)
        return images.contiguous(memory_format=memory_format)

    for _ in range(steps):
        chosen = torch.randint(len(digits.source), (batch_size,), device=digits.source.device)
        others = torch.randint(len(digits.target), (batch_size,), device=digits.target.device)
        yield pixels(digits.source, chosen), digits.labels[chosen], pixels(digits.target, others)


def dann(digits: Digits, *, steps: int, batch_size: int, best: bool) -> float:
    """Train DANN in a minimal loop: a pass for each domain, one loss, AdamW, a schedule.

    Args:
        best: Whether to use the fastest memory layout and the fastest optimizer.
    """
    memory_format = torch.channels_last if best else torch.contiguous_format
    layers = Layers().to(digits.source.device, memory_format=memory_format)
    optimizer = torch.optim.AdamW(layers.parameters(), lr=1e-3, weight_decay=0.01, fused=best)
    started = now(digits.source.device)
    for step, (source, labels, target) in enumerate(batches(digits, steps, batch_size, memory_format)):
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * (1 + 10 * step / steps) ** -0.75
        source_features, target_features = layers.extractor(source), layers.extractor(target)
        loss = F.cross_entropy(layers.head(source_features), labels)
        loss = loss + dann_loss(layers.discriminator, source_features, target_features, step / steps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return 2 * batch_size * steps / (now(digits.source.device) - started)


def now(device: torch.device | str) -> float:
    """Return the time in seconds after the device has finished its work."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def tutorial_adversary(digits: Digits, *, steps: int, batch_size: int) -> float:
    """Train as the tutorial of ADDA: a step of the discriminator on both domains, then one of the features to fool it; no labels."""
    layers = Layers()
    of_discriminator = torch.optim.Adam(layers.discriminator.parameters(), lr=1e-3)
    of_features = torch.optim.Adam(layers.extractor.parameters(), lr=1e-3)
    ones, zeros = torch.ones(batch_size, 1), torch.zeros(batch_size, 1)
    started = time.perf_counter()
    for source, _, target in batches(digits, steps, batch_size, torch.contiguous_format):
        source_features, target_features = layers.extractor(source), layers.extractor(target)
        loss = F.binary_cross_entropy_with_logits(layers.discriminator(source_features.detach()), ones)
        loss = loss + F.binary_cross_entropy_with_logits(layers.discriminator(target_features.detach()), zeros)
        of_discriminator.zero_grad()
        loss.backward()
        of_discriminator.step()
        of_features.zero_grad()
        F.binary_cross_entropy_with_logits(layers.discriminator(target_features), ones).backward()
        of_features.step()
    return 2 * batch_size * steps / (time.perf_counter() - started)


def to_floats(view: str, mean: Tensor, std: Tensor) -> transforms.Compose:
    """Return the usual transform from PIL images to tensors in tutorials."""
    sized = [transforms.Resize((SIZE, SIZE))]
    if view == "crop_flip":
        sized = [transforms.RandomResizedCrop(SIZE, scale=(0.25, 1.0)), transforms.RandomHorizontalFlip()]
    return transforms.Compose([*sized, transforms.ToTensor(), transforms.Normalize(mean.flatten().tolist(), std.flatten().tolist())])


class Trained(NamedTuple):
    """Seconds of training, and the accuracy on the validation images."""

    seconds: float
    accuracy: float


def frozen_backbone(folder: Path, backbone: nn.Module, *, epochs: int, batch_size: int, workers: int) -> Trained:
    """Train a new head on a frozen network; each epoch decodes all images and computes all features."""
    torch.manual_seed(0)
    # The model is already built.
    body = copy.deepcopy(backbone.body).to(memory_format=torch.contiguous_format).requires_grad_(False)
    started = time.perf_counter()
    plain = to_floats("plain", backbone.mean, backbone.std)
    sets = {part: datasets.ImageFolder(folder / part, plain) for part in ("train", "val")}
    loaders = {part: DataLoader(sets[part], batch_size, shuffle=part == "train", num_workers=workers) for part in sets}
    model = nn.Sequential(body, nn.Linear(backbone.num_features, len(sets["train"].classes)))
    optimizer = torch.optim.Adam(model[1].parameters(), lr=1e-3)
    model.train()
    for _ in range(epochs):
        for images, labels in loaders["train"]:
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    seconds = time.perf_counter() - started
    with torch.inference_mode():
        model.eval()
        right = sum((model(images).argmax(dim=1) == labels).sum().item() for images, labels in loaders["val"])
    return Trained(seconds, right / len(sets["val"]))


def dann_on_photographs(
    source: Path, target: Path, *, steps: int, batch_size: int, workers: int, warm_up: int = 1, device: str = "cpu"
) -> float:
    """Train `dann` with a ResNet-50 on two `ImageFolder`s, as libraries for domain adaptation do."""
    half = torch.full((3,), 0.5)
    loaders = [
        DataLoader(
            datasets.ImageFolder(folder, to_floats("crop_flip", half, half)),
            batch_size,
            shuffle=True,
            num_workers=workers,
            drop_last=True,
            persistent_workers=workers > 0,
            pin_memory=device != "cpu",
        )
        for folder in (source, target)
    ]
    network = torchvision.models.resnet50()
    network.fc = nn.Identity()
    bottleneck = nn.Sequential(nn.Linear(2048, 256), nn.BatchNorm1d(256), nn.ReLU())
    model = nn.ModuleList([network, bottleneck, nn.Linear(256, 2), discriminator(256)]).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    streams = [endless(loader) for loader in loaders]
    started = 0.0
    for step in range(steps + warm_up):
        # Workers start and memory is allocated in the first steps.
        started = now(device) if step == warm_up else started
        (images, labels), (target_images, _) = (next(stream) for stream in streams)
        images, labels, target_images = (tensor.to(device, non_blocking=True) for tensor in (images, labels, target_images))
        features, target_features = bottleneck(network(torch.cat([images, target_images]))).chunk(2)
        loss = F.cross_entropy(model[2](features), labels) + dann_loss(model[3], features, target_features, step / (steps + warm_up))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return 2 * batch_size * steps / (now(device) - started)


def endless(loader: DataLoader) -> Iterator:
    while True:
        yield from loader


def image_folder(folder: Path, view: str, *, epochs: int, batch_size: int, workers: int) -> list[float]:
    """Load the batches of an `ImageFolder` without training, and return the images per second of each epoch."""
    rates = []
    started = time.perf_counter()
    half = torch.full((3,), 0.5)
    images = datasets.ImageFolder(folder, to_floats(view, half, half))
    loader = DataLoader(images, batch_size, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
    for _ in range(epochs):
        seen = sum(len(batch) for batch, _ in loader)
        rates.append(seen / (time.perf_counter() - started))
        started = time.perf_counter()
    return rates
