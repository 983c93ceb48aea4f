"""Metrics for Prometheus: counted per request, or looked up in Redis and SQL at each scrape."""

import time
from collections.abc import Iterable, Iterator, Mapping

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from backend.base.errors import Unreachable
from backend.db.request_store import RequestCounts
from backend.http.runs_metrics import RunsCollector
from backend.interactive.predict import PredictService
from backend.interactive.responses import PredictResponse
from backend.transport import queueing, worker_registry

log = structlog.get_logger(__name__)

LATENCY_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 40, 60, 90, 120)

WEBHOOK_ACTIONS = frozenset(
    f"{noun}_{verb}"
    for noun in ("ANNOTATION", "ANNOTATIONS", "TASKS", "PROJECT", "LABEL_LINK")
    for verb in ("CREATED", "UPDATED", "DELETED")
) | {"START_TRAINING", "invalid"}
"""Actions that are counted by name; others share one label, since a sender could invent any number of them."""


class Metrics:
    """The numbers of one app."""

    def __init__(self, predict_service: PredictService) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter("ris_http_requests", "HTTP requests.", ["endpoint", "status"], registry=self.registry)
        self._tasks = Counter(
            "ris_tasks", "Tasks of /predict, by what became of them.", ["kind", "outcome"], registry=self.registry
        )
        self._messages = Counter(
            "ris_messages", "Messages that annotators were given, by kind.", ["kind"], registry=self.registry
        )
        self._latency = Histogram(
            "ris_predict_seconds",
            "Seconds until /predict was answered.",
            ["kind"],
            registry=self.registry,
            buckets=LATENCY_BUCKETS_S,
        )
        self._batches = Counter("ris_batches_refused", "/predict calls with too many tasks.", registry=self.registry)
        self._webhooks = Counter("ris_webhooks", "Webhooks received.", ["action"], registry=self.registry)
        self.registry.register(_Lookup(predict_service))
        if predict_service.run_store:
            self.registry.register(RunsCollector(predict_service.run_store))

    def count_request(self, endpoint: str, status: int) -> None:
        """An HTTP request was answered."""
        self._requests.labels(endpoint, str(status)).inc()

    def count_answers(self, answers: PredictResponse, seconds: float) -> None:
        """A /predict was answered."""
        self._latency.labels(answers.kind).observe(seconds)
        for outcome, number in answers.outcomes.items():
            self._tasks.labels(answers.kind, outcome).inc(number)
        for kind, number in answers.messages.items():
            self._messages.labels(kind).inc(number)
        if answers.outcomes["refused"]:
            self._batches.inc()

    def count_webhook(self, action: str) -> None:
        """A webhook was stored."""
        self._webhooks.labels(action if action in WEBHOOK_ACTIONS else "other").inc()

    def render(self) -> bytes:
        """All numbers as Prometheus's text."""
        return generate_latest(self.registry)


class _Lookup(Collector):
    """Numbers from Redis and SQL; where one is down its numbers are missing, and `ris_redis_up` or `ris_sql_up` is 0."""

    def __init__(self, predict_service: PredictService) -> None:
        self._predict_service = predict_service

    def describe(self) -> Iterable[Metric]:
        return ()  # nothing is asked before the first scrape

    def collect(self) -> Iterator[Metric]:
        try:
            lengths, workers = (
                queueing.queue_lengths(self._predict_service.conn),
                worker_registry.list_workers(self._predict_service.conn),
            )
        except Unreachable as error:
            log.warning("metrics without Redis", error=str(error))
            yield GaugeMetricFamily("ris_redis_up", "Whether Redis answers.", 0)
        else:
            yield GaugeMetricFamily("ris_redis_up", "Whether Redis answers.", 1)
            yield _gauge("ris_queue_depth", "Jobs that wait.", "queue", lengths)
            yield from _worker_gauges(workers)
        try:
            counts = self._predict_service.store.counts()
        except Unreachable as error:
            log.warning("metrics without the database", error=str(error))
            yield GaugeMetricFamily("ris_sql_up", "Whether the database answers.", 0)
        else:
            yield GaugeMetricFamily("ris_sql_up", "Whether the database answers.", 1)
            yield from _record_gauges(counts)


def _record_gauges(counts: RequestCounts) -> Iterator[Metric]:
    requests = GaugeMetricFamily("ris_requests", "Requests on record.", labels=["kind", "state"])
    ahead = CounterMetricFamily(
        "ris_encode_ahead",
        "Tasks whose encoding was queued before they were opened, by what became of it.",
        labels=["state"],
    )
    for (kind, state), number in counts.requests.items():
        requests.add_metric([kind, state], number)
        if kind == "ahead":
            ahead.add_metric([state], number)
    yield requests
    yield ahead
    yield _gauge("ris_answers", "Answers on record.", "decision", counts.answers)
    yield GaugeMetricFamily("ris_regions", "Regions handed out.", counts.regions)


def _worker_gauges(workers: list[worker_registry.WorkerInfo]) -> Iterator[Metric]:
    now = time.time()
    ready = [worker for worker in workers if worker.state == "ready"]
    yield GaugeMetricFamily("ris_worker_up", "Whether a worker is ready.", int(bool(ready)))
    yield _gauge("ris_workers", "Workers.", "state", {"ready": len(ready), "loading": len(workers) - len(ready)})
    yield _gauge(
        "ris_worker_age_seconds",
        "Seconds since a worker started.",
        "worker",
        {w.name: now - w.started_at for w in workers},
    )
    yield _gauge(
        "ris_worker_silence_seconds",
        "Seconds since its last heart-beat.",
        "worker",
        {w.name: now - w.last_seen for w in workers},
    )
    yield _gauge("ris_worker_jobs", "Jobs it has finished.", "worker", {worker.name: worker.jobs for worker in workers})
    with_gpu = [worker for worker in workers if worker.gpu_total]
    used, total = {w.name: w.gpu_used for w in with_gpu}, {w.name: w.gpu_total for w in with_gpu}
    yield _gauge("ris_worker_gpu_memory_used_bytes", "Memory of its GPU that is taken.", "worker", used)
    yield _gauge("ris_worker_gpu_memory_bytes", "Memory of its GPU.", "worker", total)


def _gauge(name: str, text: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
