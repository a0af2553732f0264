"""A TCP link that can be cut, refused, black-holed and slowed, in a thread of its own."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Proxy:
    """Listens on a free port and passes everything on to another one, as long as the link is up."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.refusing = False
        self.bytes_per_second = 0
        # Connections that were asked for, refused ones too.
        self.asked = 0
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._flowing.set()
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self._thread.start()
        if not started.wait(10):
            raise RuntimeError("the proxy did not start")

    def _run(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        if self.refusing:
            _reset(writer)
            return
        try:
            other_reader, other_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            _reset(writer)
            return
        pair = (writer, other_writer)
        self._pairs.add(pair)
        await asyncio.wait(
            [
                asyncio.ensure_future(self._pass(reader, other_writer)),
                asyncio.ensure_future(self._pass(other_reader, writer)),
            ],
            return_when=asyncio.ALL_COMPLETED,
        )
        self._pairs.discard(pair)
        for end in pair:
            end.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536 if not self.bytes_per_second else 1):
                if self.bytes_per_second:
                    await asyncio.sleep(len(data) / self.bytes_per_second)
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
        except OSError:
            _reset(writer)

    def _call(self, function: Callable[[], T]) -> T:
        async def run() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)

    def cut(self, refuse: bool = False) -> None:
        """Resets every connection; with `refuse`, new ones too until `mend`."""

        def act() -> None:
            self.refusing = refuse
            for pair in list(self._pairs):
                for end in pair:
                    _reset(end)

        self._call(act)

    def black_hole(self) -> None:
        """Connections stay, and nothing comes through any more."""
        self._call(self._flowing.clear)

    def slow(self, bytes_per_second: int) -> None:
        """Passes this many bytes a second, one by one; 0 is full speed."""
        self.bytes_per_second = bytes_per_second

    def mend(self) -> None:
        """The link is as new. What stood in a black hole comes out late, as it does on a network."""
        self.refusing = False
        self.bytes_per_second = 0
        self._call(self._flowing.set)

    def stop(self) -> None:
        """Ends the thread."""
        self.mend()
        self.cut(refuse=True)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Ends a connection with a reset, as a pulled plug that comes back does."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass  # it is closed already
    writer.transport.abort()
