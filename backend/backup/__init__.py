"""Backups of everything that cannot be made anew, and their way back."""
