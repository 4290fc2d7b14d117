"""Targets that may be built from an untrusted configuration, such as that of a checkpoint.

Whatever a new config of this package names must be added here; `tests/config/test_allow_list.py` checks it.
"""

# Settings of a target that may come from a file; None: all.
Settings = frozenset[str] | None


def _of(module: str, *names: str) -> dict[str, Settings]:
    return {f"acclimate.{module}.{name}": None for name in names}


def _settings(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Targets by group of the configuration, including nested ones. Each target is listed by its own name, because modules also
# contain helpers. Classes of Lightning have their settings listed as well, because others run code or write files.
ALLOWED: dict[str, dict[str, Settings]] = {
    "data": {
        **_of("data.images.arrays", "Arrays"),
        **_of("data.demo.fonts_to_handwriting", "FontsToHandwriting"),
        **_of("data.images.image_folder", "ImageFolder"),
        **_of("data.images.image_table", "ImageTable"),
        **_of("data.vectors.vector_tables", "VectorTables"),
        # Views: transforms that take plain values and other transforms, and touch nothing but the image.
        **{
            f"torchvision.transforms.v2.{name}": None
            for name in sorted(
                _settings(
                    "AugMix CenterCrop ColorJitter Compose ElasticTransform GaussianBlur Grayscale Identity JPEG Pad RandAugment "
                    "RandomAdjustSharpness RandomAffine RandomApply RandomAutocontrast RandomChannelPermutation RandomChoice "
                    "RandomCrop RandomEqualize RandomErasing RandomGrayscale RandomHorizontalFlip RandomInvert RandomOrder "
                    "RandomPerspective RandomPhotometricDistort RandomPosterize RandomResize RandomResizedCrop RandomRotation "
                    "RandomShortestSize RandomSolarize RandomVerticalFlip RandomZoomOut Resize TrivialAugmentWide"
                )
            )
        },
    },
    # What a checkpoint keeps of its inputs.
    "inputs": {**_of("data.images.images", "Images"), **_of("data.vectors.vectors", "Vectors")},
    "model": {
        **_of("models.classifier", "Classifier"),
        **_of("models.backbones.mlp", "mlp"),
        **_of("models.backbones.pretrained", "efficientnet_lite0", "timm_backbone", "torchvision_backbone"),
        **_of("models.backbones.small_cnn", "small_cnn"),
    },
    "method": {
        **_of("methods.ada_bn", "AdaBn"),
        **_of("methods.adda", "Adda"),
        **_of("methods.afn", "Afn"),
        **_of("methods.barlow_twins", "BarlowTwins"),
        **_of("methods.bsp", "Bsp"),
        **_of("methods.bss", "Bss"),
        **_of("methods.cdan", "Cdan"),
        **_of("methods.co_tuning", "CoTuning"),
        **_of("methods.dan", "Dan"),
        **_of("methods.dann", "Dann"),
        **_of("methods.deep_coral", "DeepCoral"),
        **_of("methods.deep_jdot", "DeepJdot"),
        **_of("methods.delta", "Delta"),
        **_of("methods.gradual_unfreeze", "GradualUnfreeze"),
        **_of("methods.jan", "Jan"),
        **_of("methods.l2_sp", "L2Sp"),
        **_of("methods.mcd", "Mcd"),
        **_of("methods.mdd", "Mdd"),
        **_of("extras.mean_teacher", "MeanTeacher"),
        **_of("methods.rotation", "Rotation"),
        **_of("methods.shot", "Shot"),
        **_of("methods.simclr", "SimClr"),
        **_of("methods.stochastic_normalisation", "StochasticNormalisation"),
        **_of("methods.supervised", "Supervised"),
        **_of("methods.tent", "Tent"),
        **_of("methods.terms_alone", "TermsAlone"),
        **_of("methods.wdgrl", "Wdgrl"),
        **_of("losses.self_training", "fixmatch", "pseudo_label"),
        **_of(
            "losses.target_predictions",
            "batch_nuclear_norm",
            "entropy_minimisation",
            "information_maximisation",
            "minimum_class_confusion",
        ),
    },
    "optimizer": {
        f"torch.optim.{name}": None
        for name in ("SGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Adagrad", "Adadelta", "ASGD", "Rprop")
    },
    "scheduler": _of("schedules", "constant", "cosine_decay", "inverse_decay"),
    "selection": {
        **_of("selection.checkpoint_selection", "Selection"),
        **_of("selection.vote", "Vote"),
        **_of("scores.automatic", "Automatic"),
        **_of("scores.class_correlation", "CorrelationWithIdentity", "NuclearNorm"),
        **_of("scores.cluster_agreement", "ClassAMI"),
        **_of("scores.domain_accuracy", "OracleAccuracy", "SourceAccuracy"),
        **_of("scores.ensemble_agreement", "EnsembleAgreement"),
        **_of("scores.feature_rank", "RankMe"),
        **_of(
            "scores.importance_weighting",
            "DeepEmbeddedValidation",
            "ImportanceWeightedValidation",
            "NormalisedDeepEmbeddedValidation",
        ),
        **_of("scores.information", "Diversity", "Information", "TargetEntropy"),
        **_of("scores.information_and_correlation", "InformationAndCorrelation"),
        **_of("scores.soft_neighbourhood", "SoftNeighbourhoodDensity"),
        **_of("scores.transfer_score", "TransferScore"),
    },
    "callbacks": {
        **_of("training.callbacks.pictures", "Pictures"),
        **_of("training.callbacks.progress_bar", "ProgressBar"),
        **_of("training.callbacks.weight_average", "WeightAverage"),
        "pytorch_lightning.callbacks.EarlyStopping": _settings(
            "monitor min_delta patience verbose mode strict check_finite stopping_threshold divergence_threshold "
            "check_on_train_epoch_end log_rank_zero_only"
        ),
        "pytorch_lightning.callbacks.LearningRateMonitor": _settings("logging_interval log_momentum log_weight_decay"),
        "pytorch_lightning.callbacks.ModelCheckpoint": _settings(
            "dirpath filename monitor verbose mode enable_version_counter auto_insert_metric_name "
            "every_n_train_steps every_n_epochs save_on_train_epoch_end"
        ),
    },
    "logger": {
        "acclimate.training.loggers.Table": _settings("save_dir name version prefix flush_logs_every_n_steps"),
        "acclimate.training.loggers.TensorBoard": _settings("save_dir name version log_graph default_hp_metric prefix sub_dir"),
        # Not mode, entity or tracking_uri, which send the run elsewhere.
        "acclimate.training.trackers.MLflow": _settings("save_dir experiment_name run_name"),
        "acclimate.training.trackers.WandB": _settings("save_dir project name"),
        "pytorch_lightning.loggers.CSVLogger": _settings("save_dir name version prefix flush_logs_every_n_steps"),
        "pytorch_lightning.loggers.TensorBoardLogger": _settings("save_dir name version log_graph default_hp_metric prefix sub_dir"),
        "pytorch_lightning.loggers.logger.DummyLogger": frozenset(),
    },
    "trainer": {
        "pytorch_lightning.Trainer": _settings(
            "accelerator strategy devices num_nodes precision fast_dev_run max_epochs min_epochs max_steps min_steps max_time "
            "limit_train_batches limit_val_batches limit_test_batches limit_predict_batches overfit_batches val_check_interval "
            "check_val_every_n_epoch num_sanity_val_steps log_every_n_steps enable_checkpointing enable_progress_bar "
            "enable_model_summary accumulate_grad_batches gradient_clip_val gradient_clip_algorithm deterministic benchmark "
            "inference_mode use_distributed_sampler detect_anomaly sync_batchnorm reload_dataloaders_every_n_epochs "
            "default_root_dir compile on_nonfinite"
        ),
    },
}
