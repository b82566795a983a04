"""What a study costs, before it is run: models, steps, hours and disk, and how fast this machine is."""
