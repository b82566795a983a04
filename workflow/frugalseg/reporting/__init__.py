"""Tables, figures and verdicts from the metrics of test images."""
