"""A long wire to a server, which may also turn away what comes too fast. Used by the benches beside it."""

import asyncio
import threading
import time
from collections import deque


class Wire:
    """Hands requests on to an HTTP/1.1 server. Each waits for `delay` seconds, however many of them a connection has; of more
    than `limit` within a second the others are turned away, as Batch and CloudWatch Logs do it.

    `requests` has the first line of each request that was handed on, `turned_away` says how many were not.
    """

    def __init__(self, server, delay=0.0, limit=0):
        self.server = server.removeprefix("http://").rstrip("/").split(":")
        self.delay, self.limit = delay, limit
        self.forget()
        # asyncio itself holds them by weak references only.
        self.connections = set()
        started = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self.serve(started)), daemon=True).start()
        started.wait()

    def forget(self):
        self.requests, self.turned_away, self.recent = [], 0, deque()

    async def serve(self, started):
        server = await asyncio.start_server(self.connection, "127.0.0.1", 0, limit=1 << 20)
        self.endpoint = "http://{}:{}".format(*server.sockets[0].getsockname())
        started.set()
        await server.serve_forever()

    async def connection(self, from_client, to_client):
        self.connections.add(asyncio.current_task())
        from_server, to_server = await asyncio.open_connection(*self.server, limit=1 << 20)
        try:
            while True:
                head = await from_client.readuntil(b"\r\n\r\n")
                if b"\r\nexpect: 100-continue" in head.lower():
                    to_client.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                    kept = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"expect:")]
                    head = b"\r\n".join(kept)
                body = b"".join([piece async for piece in pieces(head, from_client)])
                await asyncio.sleep(self.delay)
                if self.is_too_much():
                    to_client.write(no(head))
                    continue
                self.requests.append(head.split(b" HTTP/", 1)[0].decode())
                to_server.write(head + body)
                answer = await from_server.readuntil(b"\r\n\r\n")
                to_client.write(answer)
                if not head.startswith(b"HEAD "):
                    async for piece in pieces(answer, from_server):
                        to_client.write(piece)
                        await to_client.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            to_client.close()
            to_server.close()
            self.connections.discard(asyncio.current_task())

    def is_too_much(self):
        now = time.monotonic()
        while self.recent and now - self.recent[0] >= 1:
            self.recent.popleft()
        if self.limit and len(self.recent) >= self.limit:
            self.turned_away += 1
            return True
        self.recent.append(now)
        return False


async def pieces(head, reader):
    """The body behind a head, as it was sent."""
    fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
    if fields.get(b"transfer-encoding", b"").strip() == b"chunked":
        size = 1
        while size:
            line = await reader.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
            yield line + await reader.readexactly(size + 2)
        return
    left = int(fields.get(b"content-length", 0))
    while left:
        piece = await reader.read(min(left, 1 << 16))
        if not piece:
            raise ConnectionError("the body breaks off")
        left -= len(piece)
        yield piece


def no(head):
    batch = head.startswith(b"POST /v1/")
    status, code = ("429 Too Many Requests", "TooManyRequestsException") if batch else ("400 Bad Request", "ThrottlingException")
    body = f'{{"__type":"{code}","message":"Rate exceeded"}}'
    return (
        f"HTTP/1.1 {status}\r\ncontent-type: application/x-amz-json-1.1\r\nx-amzn-errortype: {code}\r\n"
        f"content-length: {len(body)}\r\n\r\n{body}"
    ).encode()
