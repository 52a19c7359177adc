"""A camera with its own web server, as many have: MJPEG at 25 pictures a second to whoever asks. Run by bench fanout.

    python -m bench.feeder PORT FOLDER

Its client is told what it would read off a real one: a part for each picture, with its length.
"""

import asyncio
import sys
from contextlib import suppress
from itertools import cycle
from pathlib import Path

EVERY = 0.04  # seconds
HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"


async def main(port: int, folder: Path) -> None:
    parts = [part(path.read_bytes()) for path in sorted(folder.iterdir())]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(HEAD)
            loop = asyncio.get_running_loop()
            due = loop.time()
            for each in cycle(parts):
                writer.write(each)
                await writer.drain()
                due += EVERY
                await asyncio.sleep(due - loop.time())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    await server.serve_forever()


def part(picture: bytes) -> bytes:
    return b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(picture), picture)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))
