"""The Label Studio ML backend around `ris_core`: HTTP, queue, state."""
