"""What is measured, against which upstream, for which systems."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of load. `upstream` names what answers; `only` limits it to these systems."""

    name: str
    title: str
    upstream: str
    connections: int
    stream: bool = False
    only: frozenset[str] | None = None

    def covers(self, system: str) -> bool:
        """Whether this system takes part."""
        return self.only is None or system in self.only


WORKLOADS: tuple[Workload, ...] = (
    Workload("w1", "W1: 700 B chat request, 861 B reply, 64 connections", "reply", 64),
    Workload("solo", "W1 at 1 connection", "reply", 1),
    Workload("w2", "W2: 62-event SSE reply of 18.8 KB, 32 connections", "stream", 32, stream=True),
    Workload("w3", "W3: upstream answers after 60 ms, 256 connections (ideal 4,266/s)", "think", 256),
    Workload(
        "paced",
        "paced: 200 open streams, 62 events each, one write every 10 ms",
        "pace",
        200,
        stream=True,
        only=frozenset({"gateway", "nginx", "vllm-router"}),
    ),
    Workload(
        "big",
        "big bodies: 1,000 requests of 200 KB in flight, the upstream answers after 10 s",
        "hold",
        1000,
        only=frozenset({"gateway", "nginx"}),
    ),
)
