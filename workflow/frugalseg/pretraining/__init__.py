"""Training without labels: what an encoder learns from the patches alone."""
