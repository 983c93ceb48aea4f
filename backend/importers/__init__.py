"""Tasks from data sets of others, each made once: readers of their formats, and the writing to Label Studio."""
