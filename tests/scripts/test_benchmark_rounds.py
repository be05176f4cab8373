"""What a slice of the benchmark leaves behind."""

import asyncio
from pathlib import Path

from scripts.benchmark import load, rounds, upstream
from scripts.benchmark.rounds import Bench, Effort, Line


def test_a_line_that_fails_is_asked_no_more_and_left_out() -> None:
    async def main() -> None:
        ends: list[asyncio.Task[None]] = []

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            ends.append(task)
            while await reader.read(1 << 16):
                writer.write(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n")
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port: int = server.sockets[0].getsockname()[1]
            request = load.request_of(upstream.PATH, stream=False)
            line = Line("a", port, request, request)
            bench = Bench(Path(), port, None, Effort(1, 1, 0.01))
            found = await rounds._slice(bench, [line])
            assert found["a"].figures == {}
            async with asyncio.timeout(10):
                await asyncio.gather(*ends)  # each of its connections has an end

    asyncio.run(main())
