"""Settings: of the process from its environment, of a project from Label Studio."""
