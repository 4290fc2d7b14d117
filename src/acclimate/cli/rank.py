"""Rank pretrained models for labelled inputs, without training.

usage: acclimate rank model=NAME,NAME,... [data=NAME] [KEY=VALUE ...] [--config-dir DIR]

Scores backbones on the labelled training inputs of the source, without training them, and prints them best first.
All combinations of comma-separated values are scored:

  acclimate rank model=efficientnet_lite0,resnet18,resnet50 data=image_folder data.source=DIR data.target=null
  acclimate rank model=efficientnet_lite0 model.weights=true,null
  acclimate rank model=timm model.backbone.name=resnet10t,mobilenetv3_small_100

They are ranked by LogME. The H-score is also shown if there are more inputs than features.
"""

from collections.abc import Sequence

from acclimate.cli.arguments import split_config_dir
from acclimate.errors import ConfigError


def run(arguments: Sequence[str]) -> None:
    """Print a table of pretrained models."""
    config_dir, overrides = split_config_dir(arguments)
    if not any(text.startswith("model=") for text in overrides):
        raise ConfigError("acclimate rank needs models: acclimate rank model=efficientnet_lite0,resnet18.")
    from acclimate.config.check import check_before_imports
    from acclimate.config.compose import compose_sweep
    from acclimate.config.machine import refuse_missing_files

    configs = compose_sweep(overrides, config_dir=config_dir)
    for config in configs.values():
        check_before_imports(config)
        refuse_missing_files(config)
    # Imported here, because they import torch.
    from acclimate.reports.tables import print_ranking
    from acclimate.selection import backbone_ranking

    print_ranking(backbone_ranking.rank(configs))
