"""The worker's end: on SIGTERM open calls may finish for a while, then each is cut with an error its client can read.

granian's asginl tells an application nothing of its end, so this hangs on the signal itself. Owns which calls are open.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
from typing import Any

from adapters.errors import LLMError

log = logging.getLogger("llmhub.lane")

SHARE_OF_DRAIN = 0.75  # of the time that granian gives: the rest is for saying goodbye and for the last lines


class ShuttingDown(LLMError):
    """The hub ends and could not wait for this call any longer; another node, or this one in a moment, may take it."""

    code = "hub_shutting_down"
    status = 503
    retryable = True

    def __init__(self) -> None:
        super().__init__("The hub is shutting down. Please try again.", retry_after_s=2)


class OpenCalls:
    """The tasks of this worker's calls under way."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[Any]] = set()
        self.cut: set[asyncio.Task[Any]] = set()

    def is_cut(self, task: asyncio.Task[Any] | None) -> bool:
        """Whether it was this worker's end that cancelled the task."""
        return task in self.cut

    def end_all(self) -> None:
        """Cut every call that is still open."""
        for task in list(self.tasks):
            self.cut.add(task)
            task.cancel()
        if self.cut:
            log.warning("Shutting down: %d open calls were cut.", len(self.cut))


open_calls = OpenCalls()


def is_server_process() -> bool:
    """Whether this process is granian's worker and not a test's or a script's: then signals and memory are its own."""
    return multiprocessing.current_process().name == "granian-worker"


def drain_on_sigterm(drain_s: float) -> None:
    """Take over this process's SIGTERM. Call on its event loop."""
    loop = asyncio.get_running_loop()

    def on_sigterm() -> None:
        # granian treats both signals alike: this one stops its accepting and lets open connections go on.
        os.kill(os.getpid(), signal.SIGINT)
        loop.call_later(drain_s * SHARE_OF_DRAIN, open_calls.end_all)

    loop.add_signal_handler(signal.SIGTERM, on_sigterm)
