"""What annotators wait for: requests are recorded, queued, waited for and answered. No model is loaded here."""
