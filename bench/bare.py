"""Yardstick: a FastAPI route that validates the same body in the fastest way and answers as many bytes as ours."""

import argparse

from fastapi import FastAPI, Request, Response
from pydantic import TypeAdapter

from bench.server import serve_app
from bench.shapes import TouchpointIn

ANSWER = (
    b'{"id":"01234567-89ab-single-0000001","customer_id":"01930000-0000-7000-8000-00000000002a","kind":"purchase",'
    b'"occurred_at":"2026-11-20T10:15:00.123456Z","received_at":"2026-11-20T10:15:01.123456Z","source":"shop-eu",'
    b'"duplicate":false,"pending_match":false,"health":{"score":72,"band":"healthy","before":64,"delta":8,'
    b'"band_changed":true,"reasons":["Bought again after 12 days; usual gap is 30"],"model":"2026.1"},"loyalty":null}'
)

adapter = TypeAdapter(TouchpointIn)
app = FastAPI(openapi_url=None)


@app.post("/v1/touchpoints", status_code=201)
async def post_touchpoint(request: Request) -> Response:
    adapter.validate_json(await request.body())
    return Response(ANSWER, status_code=201, media_type="application/json")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    serve_app(app, parser.parse_args().port)
