"""How far the recorder is behind the journals: told by it in a file of the journal's folder, read by whoever asks."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

STATUS_NAME = "recorder.status"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """As of `at_ms` (Unix milliseconds). `lag_s` is the age of the newest line recorded while others wait, else 0."""

    at_ms: int
    behind_bytes: int
    lag_s: float

    def write(self, directory: Path) -> None:
        """Replace what was told before. A disk that takes nothing is no reason to stop."""
        hidden = directory / f".{STATUS_NAME}"
        with contextlib.suppress(OSError):
            hidden.write_text(json.dumps(asdict(self)), encoding="ascii")
            hidden.replace(directory / STATUS_NAME)

    @classmethod
    def read(cls, directory: Path) -> Lag | None:
        """What the recorder last told; None when it never did, or it can't be read."""
        try:
            return cls(**json.loads((directory / STATUS_NAME).read_text(encoding="ascii")))
        except (OSError, ValueError, TypeError):
            return None

    @property
    def age_s(self) -> float:
        """Seconds since it was told; a recorder that runs tells every second or two."""
        return max(0.0, time.time() - self.at_ms / 1000)


class LagCollector(Collector):
    """The lag as metrics, read when they are asked for: the recorder is a process without a port."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def collect(self) -> Iterator[Metric]:
        lag = Lag.read(self.directory)
        if lag is None:
            return
        for name, help_text, value in (
            ("llmhub_usage_behind_bytes", "Bytes of usage in journals that are not in the database.", lag.behind_bytes),
            ("llmhub_usage_lag_seconds", "Age of the newest usage recorded while more waits.", lag.lag_s),
            ("llmhub_usage_told_seconds", "Seconds since the recorder told; much means it is down.", lag.age_s),
        ):
            yield GaugeMetricFamily(name, help_text, value=value)
