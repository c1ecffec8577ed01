"""A Flower app whose model is large and whose training is none."""
