"""What the simulator counts, for `/metrics`."""

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest


class Counts:
    """Counters of one process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "phone_requests_total",
            "Page requests by resource and what became of them.",
            ["resource", "outcome"],
            registry=self.registry,
        )
        self.receipts = Counter("phone_receipts_total", "Status callbacks by outcome.", ["outcome"], registry=self.registry)
        self.receipts_pending = Gauge(
            "phone_receipts_pending", "Status callbacks that wait or are under way.", registry=self.registry
        )
        self.deliveries = Counter(
            "phone_deliveries_total",
            "Replies and key presses by kind and outcome.",
            ["kind", "outcome"],
            registry=self.registry,
        )

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)
