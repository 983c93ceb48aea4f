"""What components run on: weight files and the device."""
