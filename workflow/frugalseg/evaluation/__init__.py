"""Prediction of whole images, per-image metrics, and the two together over a test set."""
