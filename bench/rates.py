"""What the rate of a key costs each request: CPU microseconds, best of five.

python -m bench.rates
"""

import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from app.api import logs, rates
from app.api.addresses import Proxies, check_address
from app.domain.keys import Caller
from app.domain.rates import per_minute
from app.usecases.rate_limiter import RateLimiter

CALLS = 100_000
ROUNDS = 5


def best(work: Callable[[], object]) -> float:
    """CPU microseconds of one call."""
    found = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(CALLS):
            work()
        found = min(found, time.process_time() - began)
    return found / CALLS * 1e6


def main() -> int:
    """Measure and print."""
    # Nothing here is shared with other processes, so no database is asked; a clock so fast that no rate is used up.
    limiter = RateLimiter(cast("Any", None), clock=lambda: time.time() * 1000)
    state = SimpleNamespace(rate_limiter=limiter, proxies=Proxies(()))
    request = cast("Any", SimpleNamespace(app=SimpleNamespace(state=state)))
    scope = {"client": ("127.0.0.1", 1), "headers": []}
    trace = logs.Trace("a" * 32, "b" * 16, "00")
    logs.begin(trace)

    def of(caller: Caller) -> Callable[[], None]:
        def charge() -> None:
            check_address(caller, scope, state.proxies)
            rates.charge(request, caller)

        return charge

    limited = Caller("key", "shop", frozenset(), rate=per_minute(1_200_000))
    print(f"a key without a rate  {best(of(Caller('key', 'shop', frozenset()))):6.2f} us")
    print(f"a key with one        {best(of(limited)):6.2f} us")
    standing = limiter.standing("key", per_minute(1_200_000) or sys.exit("no rate"))
    print(f"its two headers       {best(lambda: rates.headers(standing)):6.2f} us")
    return 0


if __name__ == "__main__":
    sys.exit(main())
