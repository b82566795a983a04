"""From images and labels on disk to stores of patches with training targets.

sources -> readers (one per layout) or synthetic; prepare: checks, normalisation, image stores; patches: patch stores.
"""
