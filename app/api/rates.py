"""What a request costs its key, and the headers that say so (draft-ietf-httpapi-ratelimit-headers)."""

import functools
import math

from fastapi import Request

from app.api.logs import current_trace
from app.domain.keys import Caller
from app.domain.problems import Limited
from app.domain.rates import Rate, remaining
from app.usecases.rate_limiter import RateLimiter, Standing

_NAME = '"key"'


def charge(request: Request, caller: Caller) -> None:
    """Count one request of a caller who has a rate. Raises Limited `rate_limited`."""
    if caller.rate is not None:
        limiter: RateLimiter = request.app.state.rate_limiter
        try:
            _tell(limiter.take(caller.key_id, caller.rate))
        except Limited:
            _tell(limiter.standing(caller.key_id, caller.rate))
            raise


def charge_items(request: Request, caller: Caller, items: int) -> None:
    """Count the request that was charged already as `items`. Raises Limited `rate_limited`, and charges nothing."""
    if caller.rate is not None and items > 1:
        limiter: RateLimiter = request.app.state.rate_limiter
        try:
            _tell(limiter.recount(caller.key_id, caller.rate, items))
        except Limited:
            _tell(limiter.standing(caller.key_id, caller.rate))
            raise


def _tell(standing: Standing) -> None:
    trace = current_trace()
    if trace is not None:
        trace.standing = standing


def headers(standing: Standing) -> tuple[tuple[bytes, bytes], tuple[bytes, bytes]]:
    """RateLimit-Policy and RateLimit: the quota and its window, what is left, and until when all is given again."""
    rate, arrival, now = standing
    left = remaining(arrival, now, rate)
    full_in = math.ceil(arrival - now) if arrival > now else 0
    return (b"ratelimit-policy", _policy(rate)), (b"ratelimit", f"{_NAME};r={left};t={full_in}".encode())


@functools.lru_cache(maxsize=256)
def _policy(rate: Rate) -> bytes:
    return f"{_NAME};q={rate.quota};w={math.ceil(rate.window_seconds)}".encode()
