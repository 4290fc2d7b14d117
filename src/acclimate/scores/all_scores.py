"""All scores that every validation computes; one that is not here can select, but is in no log and no comparison."""

from acclimate.scores.class_correlation import CorrelationWithIdentity, NuclearNorm
from acclimate.scores.cluster_agreement import ClassAMI
from acclimate.scores.domain_accuracy import SourceAccuracy
from acclimate.scores.feature_rank import RankMe
from acclimate.scores.importance_weighting import DeepEmbeddedValidation, ImportanceWeightedValidation, NormalisedDeepEmbeddedValidation
from acclimate.scores.information import Diversity, Information, TargetEntropy
from acclimate.scores.information_and_correlation import InformationAndCorrelation
from acclimate.scores.soft_neighbourhood import SoftNeighbourhoodDensity
from acclimate.scores.target_score import TargetScore
from acclimate.scores.transfer_score import TransferScore

# The scores of a row share the same sums or samples, which are kept only once.
GROUPS: tuple[tuple[type[TargetScore], ...], ...] = (
    (SourceAccuracy,),
    (Information, TargetEntropy, Diversity),
    (NuclearNorm, CorrelationWithIdentity),
    (InformationAndCorrelation,),
    (RankMe,),
    # This one keeps no features.
    (SoftNeighbourhoodDensity,),
    (ClassAMI, TransferScore),
    (ImportanceWeightedValidation, DeepEmbeddedValidation, NormalisedDeepEmbeddedValidation),
)
