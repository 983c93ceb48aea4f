"""How good the answers are: data sets, protocols, metrics with intervals, resumable runs, reports.

Nothing here is imported by the rest of the core; `ris eval` is the entry.
"""
