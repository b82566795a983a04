"""Figures that look at images and features, and belong to no question."""
