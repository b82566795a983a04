"""Intervals, tests, effects and learning curves of scores over seeds and test images."""
