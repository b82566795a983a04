"""Training: one loop for every chain, and what it needs."""
