"""A proxy by hand over aiohttp: it puts a key on and passes what comes, and does nothing else."""

import sys

import aiohttp
from aiohttp import web


async def serve(request: web.Request) -> web.StreamResponse:
    session: aiohttp.ClientSession = request.app["session"]
    body = await request.read()
    headers = {"content-type": "application/json", "authorization": "Bearer foxora_sk_fake_hand"}
    url = request.app["origin"] + request.path_qs
    async with session.request(request.method, url, data=body, headers=headers) as answer:
        kind = answer.headers.get("content-type", "")
        if "event-stream" not in kind:
            whole = await answer.read()
            return web.Response(status=answer.status, body=whole, headers={"content-type": kind})
        passed = web.StreamResponse(status=answer.status, headers={"content-type": kind})
        await passed.prepare(request)
        async for chunk in answer.content.iter_any():
            await passed.write(chunk)
        await passed.write_eof()
        return passed


async def make(origin: str) -> web.Application:
    app = web.Application(client_max_size=2**30)
    app["origin"] = origin
    app["session"] = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    app.router.add_route("*", "/{path:.*}", serve)
    return app


if __name__ == "__main__":
    web.run_app(make(sys.argv[2]), host="127.0.0.1", port=int(sys.argv[1]), print=None)
