"""Predictions of models that are good, collapsed or ignorant, and all scores of `conf/selection`."""

from typing import NamedTuple

import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from acclimate.config.groups import conf_dir, group_options
from acclimate.scores.target_score import TargetScore
from acclimate.types import Prediction

NUM_CLASSES = 4
NUM_FEATURES = 6
# Not a score by itself: what depends on labels, on nothing, on other scores or on earlier validations.
SCORES = [name for name in group_options("selection") if name not in ("oracle", "last", "auto", "vote", "ensemble_agreement")]


class Domains(NamedTuple):
    """The predictions of a model for both domains, and the source's labels."""

    source: Prediction
    target: Prediction
    labels: torch.Tensor


def make_score(name: str, **settings) -> TargetScore:
    config = OmegaConf.load(conf_dir() / "selection" / f"{name}.yaml")
    return instantiate(config.score, **settings)


def value_of(score: TargetScore, domains: Domains, *, batch_size: int = 1000) -> float:
    for name, labels in (("source", domains.labels), ("target", None)):
        features, logits = getattr(domains, name)
        for start in range(0, len(logits), batch_size):
            rows = slice(start, start + batch_size)
            score.update(name, Prediction(features[rows], logits[rows]), None if labels is None else labels[rows])
    return float(score.compute())


def shuffled(domains: Domains) -> Domains:
    generator = torch.Generator().manual_seed(1)
    first, second = (torch.randperm(len(part.logits), generator=generator) for part in domains[:2])
    source, target = (Prediction(*(rows[order] for rows in part)) for part, order in zip(domains[:2], (first, second), strict=True))
    return Domains(source, target, domains.labels[first])


def good_model(num_source: int = 40, num_target: int = 60, *, noise: float = 0.3) -> Domains:
    """Features in one cluster for each class, and logits that say which."""
    generator = torch.Generator().manual_seed(0)
    parts, labels = [], torch.empty(0)
    for number, shift in ((num_target, 0.3), (num_source, 0.0)):
        labels = torch.arange(number) % NUM_CLASSES
        features = 3 * torch.eye(NUM_FEATURES)[labels] + shift + noise * torch.randn(number, NUM_FEATURES, generator=generator)
        parts.append(Prediction(features, 3 * features[:, :NUM_CLASSES]))
    return Domains(parts[1], parts[0], labels)


def trained_model(seed: int, *, num_source: int = 800, num_target: int = 1500, num_features: int = 32) -> Domains:
    """A linear head on rectified features, fitted to the source, which is often wrong in the shifted target."""
    generator = torch.Generator().manual_seed(seed)
    centres, shift, mixing = (torch.randn(number, num_features, generator=generator) for number in (NUM_CLASSES, 1, num_features))
    features, labels = {}, {}
    for domain, number, moved in (("source", num_source, 0.0), ("target", num_target, 0.7)):
        labels[domain] = torch.randint(NUM_CLASSES, (number,), generator=generator)
        noise = 1.5 * torch.randn(number, num_features, generator=generator)
        features[domain] = ((centres[labels[domain]] + moved * shift + noise) @ mixing / num_features**0.5).relu()
    inputs = {domain: torch.nn.functional.pad(rows, (0, 1), value=1.0) for domain, rows in features.items()}
    head = torch.linalg.lstsq(inputs["source"], torch.eye(NUM_CLASSES)[labels["source"]]).solution
    source, target = (Prediction(features[domain], 6 * inputs[domain] @ head) for domain in ("source", "target"))
    return Domains(source, target, labels["source"])


def rounded(domains: Domains, *, seed: int = 0) -> Domains:
    """The same predictions with errors like those of another device or batch size."""
    generator = torch.Generator().manual_seed(seed)
    source, target = (
        Prediction(*(rows * (1 + 1e-6 * torch.randn(rows.shape, generator=generator)) for rows in part)) for part in domains[:2]
    )
    return domains._replace(source=source, target=target)


def collapsed_model(num_source: int = 40, num_target: int = 60) -> Domains:
    """All features alike, and one class for every image."""
    good = good_model(num_source, num_target)
    source, target = (Prediction(torch.ones_like(part.features), 20 * torch.eye(NUM_CLASSES)[[1] * len(part.logits)]) for part in good[:2])
    return Domains(source, target, good.labels)
