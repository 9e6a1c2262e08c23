"""One background event loop for synchronous callers. Owns the thread; knows nothing of what runs on it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["run_sync"]

T = TypeVar("T")

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_owner = 0  # the process that started the thread: a fork inherits the variable but not the thread


def run_sync(call: Coroutine[Any, Any, T]) -> T:
    """Run `call` on the shared loop and wait. Raises RuntimeError where a loop is running: there, await it instead."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        call.close()
        raise RuntimeError("run_sync was called from asynchronous code, which it would block: await the call instead")
    future = asyncio.run_coroutine_threadsafe(call, _shared_loop())
    try:
        return future.result()
    except BaseException:
        future.cancel()  # an interrupt in the waiting thread ends the call too
        raise


def _shared_loop() -> asyncio.AbstractEventLoop:
    global _loop, _owner
    with _lock:
        if _loop is None or _owner != os.getpid():
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="adapters-loop", daemon=True).start()
            _loop, _owner = loop, os.getpid()
        return _loop
