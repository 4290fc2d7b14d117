"""Networks: backbones, the classifier and what changes in them."""
