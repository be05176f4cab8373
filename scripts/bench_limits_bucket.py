"""A token bucket in place of our limits: an addon for a bare mitmdump in reverse mode.

It is what limiter libraries offer: full at first, filled at an even rate, and what does not fit
waits in order. A call is charged before it is sent, for there is no settling: one request, or its
prompt's bytes by four and the mean output of the benchmark's calls.
"""

import asyncio
import os
import time

from mitmproxy import http


class Bucket:
    def __init__(self, ceiling: int) -> None:
        self._ceiling = ceiling
        self._level = float(ceiling)
        self._at = time.monotonic()
        self._turn = asyncio.Lock()

    async def take(self, amount: int) -> None:
        async with self._turn:
            lacking = amount - self._filled()
            await asyncio.sleep(max(lacking, 0.0) * 60 / self._ceiling)
            self._filled()
            self._level -= amount

    def _filled(self) -> float:
        now = time.monotonic()
        self._level = min(self._level + (now - self._at) * self._ceiling / 60, self._ceiling)
        self._at = now
        return self._level


class TokenBucket:
    def __init__(self) -> None:
        self._bucket = Bucket(int(os.environ["BUCKET_CEILING"]))
        self._mean_output = int(os.environ["BUCKET_MEAN_OUTPUT"])  # 0: requests are counted

    async def request(self, flow: http.HTTPFlow) -> None:
        size = len(flow.request.raw_content or b"")
        await self._bucket.take(size // 4 + self._mean_output if self._mean_output else 1)

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        if flow.response is not None:
            flow.response.stream = True


addons = [TokenBucket()]
