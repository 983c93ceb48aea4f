"""What `ris bench` measures. A benchmark reports; it never passes or fails."""
