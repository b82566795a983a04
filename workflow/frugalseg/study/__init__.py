"""What a study asks: its config, checked and completed, and the models and scores that answer it."""
