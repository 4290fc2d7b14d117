"""Mean teacher: consistency with a moving average of the model."""

from torch import Tensor

from acclimate.extras.terms import StatefulTerm
from acclimate.inputs import Inputs
from acclimate.losses.self_training import teacher_consistency
from acclimate.models.batch_norm import fixed_statistics
from acclimate.models.classifier import Classifier
from acclimate.models.moving_average import MovingAverage
from acclimate.ranges import Share, ShareBelowOne


class MeanTeacher(StatefulTerm):
    """Consistency of the model, the student, with a teacher whose weights are the moving average of the student's.

    Tarvainen and Valpola, "Mean teachers are better role models", NeurIPS 2017, as adapted by French, Mackiewicz and
    Fisher, "Self-ensembling for Visual Domain Adaptation", ICLR 2018, see `teacher_consistency`. The teacher predicts the
    target's first view and the student the strong view. Departures: the papers evaluate the teacher, while we evaluate the
    student, which is the classifier of every method; and we leave French et al.'s class balance to other terms, such as
    `information_maximisation`.

    The teacher is updated in every batch before it predicts, hence after the last step. It predicts in the student's mode:
    normalised by the batch, or by the running statistics if they are frozen. Its running statistics are copies of the
    student's, and its predictions update neither.

    Args:
        decay: Share of the previous weights in the teacher's update, in [0, 1), see `MovingAverage`.
        threshold: Smallest confidence of the teacher for which a sample counts, in [0, 1].
    """

    def __init__(self, *, decay: ShareBelowOne = 0.99, threshold: Share = 0.968) -> None:
        super().__init__()
        self.decay = decay
        self.threshold = threshold

    def start(self, classifier: Classifier) -> None:
        self.teacher = MovingAverage(classifier, self.decay)

    def forward(self, logits: Tensor, strong_logits: Tensor, inputs: Inputs, classifier: Classifier) -> Tensor:
        """Return the difference between student and teacher, a scalar.

        Args:
            logits: The student's logits for the first view, which are not used.
            strong_logits: The student's logits for the strong view, shape (N, K).
            inputs: The first view of the inputs.
            classifier: The student.
        """
        self.teacher.update_parameters(classifier)
        for taught, teaching in zip(classifier.modules(), self.teacher.module.modules(), strict=True):
            teaching.training = taught.training
        with fixed_statistics(self.teacher):
            teacher_logits = self.teacher(inputs).logits
        return teacher_consistency(strong_logits, teacher_logits, threshold=self.threshold)
