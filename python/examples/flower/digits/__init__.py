"""A Flower app: a classifier of handwritten digits that five clients train together."""
