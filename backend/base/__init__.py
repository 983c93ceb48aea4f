"""What every room may use: errors, hiding of secrets, logs, child processes."""
