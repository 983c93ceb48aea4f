"""Learning from corrections without training: calibrators are fitted anew from answers that somebody judged. Numbers only, no SQL."""
