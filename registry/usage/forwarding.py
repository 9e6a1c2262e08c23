"""Forwards a stream's own bytes to a client of the same dialect, and keeps what the ledger may need of them."""

from __future__ import annotations

from collections.abc import AsyncIterator

from adapters.passthrough import ChatStreamTap, is_said, read_text, reshapes

FOLD_BYTES = 32 * 1024  # of raw events kept before their text is taken out; raw, it takes twenty times the memory


class Forwarding:
    """One stream under way. `began` is true from the first bytes that hold any answer."""

    def __init__(self, tap: ChatStreamTap) -> None:
        self.tap = tap
        self.began = False
        self._chunks: AsyncIterator[bytes]
        self._ended = False
        self._first: list[bytes] = []
        self._raw: list[bytes] = []
        self._raw_bytes = 0
        self._texts: list[str] = []

    async def begin(self, chunks: AsyncIterator[bytes]) -> list[bytes] | None:
        """Wait for the first events that hold any answer, with nothing given to the client yet.

        Answers None, or the bytes read so far when they are in a shape that the hub's clients do not know: then they
        are to be decoded. Raises the LLMError that the stream reports before that.
        """
        self._chunks = chunks
        read: list[bytes] = []
        async for chunk in chunks:
            read.append(chunk)
            out = self.tap.feed(chunk)
            if not out:
                continue
            self._first.append(out)
            if reshapes(out):
                self.began = False
                return read
            if is_said(out) or self.tap.finish_reasons:
                self.began = True
                return None
        last = self.tap.close()
        self._ended = True
        self._first.append(last)
        return None

    async def pieces(self) -> AsyncIterator[bytes]:
        """Whole events as they arrive, never an empty piece. Raises the LLMError that broke the stream."""
        first, self._first = b"".join(self._first), []
        if first:
            self._keep(first)
            yield first
        if self._ended:
            return
        feed = self.tap.feed
        async for chunk in self._chunks:
            out = feed(chunk)
            if out:
                self._keep(out)
                yield out
        out = self.tap.close()
        if out:
            self._keep(out)
            yield out

    def _keep(self, events: bytes) -> None:
        self._raw.append(events)
        self._raw_bytes += len(events)
        if self._raw_bytes > FOLD_BYTES:
            self._fold()

    def _fold(self) -> None:
        self._texts.append(read_text(b"".join(self._raw)))
        self._raw.clear()
        self._raw_bytes = 0

    @property
    def said(self) -> str:
        """All that went to the client, of every kind and choice."""
        self._fold()
        return "".join(self._texts)
