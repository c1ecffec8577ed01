"""A Flower app with a large model and without training."""
