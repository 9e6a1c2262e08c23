"""`manage.py run_recorder`: the process that moves usage from the journals into the database."""

from __future__ import annotations

import os
import signal
import threading
from argparse import ArgumentParser
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from registry.usage.recorder import Recorder, Stop, recorder_when_free

LONGEST_GOODBYE_S = 5.0


class Command(BaseCommand):
    help = "Move usage from the workers' journals into the database until told to stop (SIGTERM)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--parent-pid", type=int, help="End when this process ends.")
        parser.add_argument("--nice", type=int, default=5, help="Give way to the workers by this much (0 to 19).")

    def handle(self, *, parent_pid: int | None, nice: int, **options: Any) -> None:
        stop = Stop()

        def end(signum: int, frame: FrameType | None) -> None:
            stop.set()
            # A database that hangs must not hold up the end; what is cut off here is repeated at the next start.
            last = threading.Timer(LONGEST_GOODBYE_S, os._exit, args=(1,))
            last.daemon = True
            last.start()

        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, end)
        os.nice(nice)
        with recorder_when_free(Recorder(settings.LLMHUB_JOURNAL_DIR), stop) as recorder:
            if recorder is not None:
                recorder.run(stop, is_orphan=lambda: parent_pid is not None and not is_alive(parent_pid))


def is_alive(pid: int) -> bool:
    """Whether a parent, or any process that this one may signal, is there. A parent that died is nobody's parent."""
    if os.getppid() == pid:
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
