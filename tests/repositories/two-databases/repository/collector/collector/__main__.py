from aiohttp import web


async def ping(request: web.Request) -> web.Response:
    return web.Response(text="pong")


app = web.Application()
app.router.add_get("/ping", ping)
web.run_app(app, port=9000)
