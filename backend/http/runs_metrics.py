"""Runs, for Prometheus."""

import time
from collections.abc import Iterator, Mapping

import structlog
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from backend.base.errors import Unreachable
from backend.runs.store import RunStore

log = structlog.get_logger(__name__)

RATE_S = 60.0


class RunsCollector(Collector):
    """Looks runs up in the run store when Prometheus asks."""

    def __init__(self, run_store: RunStore) -> None:
        self._counts = run_store.counts

    def collect(self) -> Iterator[Metric]:
        """Runs and items by state, failures by reason, the rate, and the seconds of each stage; nothing if SQL is down."""
        try:
            items, runs = self._counts.count_all(), self._counts.count_runs()
            rate = self._counts.answered_since(None, time.time() - RATE_S) / RATE_S
            stages = self._counts.stage_seconds()
        except Unreachable as error:
            log.warning("metrics without the run store", error=str(error))
            return
        states: dict[str, int] = {}
        for (state, _), number in items.items():
            states[state] = states.get(state, 0) + number
        yield _gauge("ris_runs", "Runs.", "state", runs)
        yield _gauge("ris_run_items", "Tasks of runs.", "state", states)
        failed = {reason: number for (state, reason), number in items.items() if state == "failed"}
        yield _gauge("ris_run_failures", "Tasks of runs that failed.", "reason", failed)
        yield GaugeMetricFamily("ris_run_items_per_second", "Tasks of runs answered in a second, lately.", rate)
        yield _gauge("ris_run_stage_seconds", "Mean seconds of each stage of the last tasks.", "stage", stages)
        from_cache = _share_from_cache(self._counts.stage_counts())
        if from_cache is not None:
            yield GaugeMetricFamily("ris_run_cache_hit_ratio", "Share of the last tasks out of the cache.", from_cache)


def _share_from_cache(counts: Mapping[str, int]) -> float | None:
    images = counts.get("cache", 0) + counts.get("encode", 0)
    return counts.get("cache", 0) / images if images else None


def _gauge(name: str, text: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
