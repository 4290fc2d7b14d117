"""Networks: backbones, the classifier and their modifications."""
