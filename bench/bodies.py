"""What storefronts send, as bytes: realistic purchases with ids of their own, and the HTTP/1.1 requests around them."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

BATCH_SIZE = 500
HELD = 100
NEWEST_SECONDS, OLDEST_SECONDS = 1, 3600
CHANNELS = ("web", "app", "store", "phone")
CATEGORIES = ("shoes", "shirts", "coats", "bags")


def external_id(number: int) -> str:
    """The shop's own name of customer `number`, the one identifier every customer of the bench has."""
    return f"shop-{number:07d}"


def purchase(touchpoint_id: str, customer: int, dice: random.Random, now: datetime) -> str:
    """A purchase of about 370 bytes that happened within the hour before `now`."""
    when = now - timedelta(seconds=dice.uniform(NEWEST_SECONDS, OLDEST_SECONDS))
    amount, article = dice.randrange(500, 20_000), dice.randrange(10_000)
    order = f"A-{touchpoint_id}"
    return (
        f'{{"id":"{touchpoint_id}","customer":{{"external_id":"{external_id(customer)}"}},"kind":"purchase",'
        f'"occurred_at":"{when:%Y-%m-%dT%H:%M:%S.%fZ}","channel":"{dice.choice(CHANNELS)}",'
        f'"amount_minor":{amount},"currency":"EUR","order_id":"{order}","items":[{{"sku":"SKU-{article:05d}",'
        f'"quantity":1,"amount_minor":{amount},"category":"{dice.choice(CATEGORIES)}"}}],'
        f'"description":"Order {order}, 1 item"}}'
    )


def post(path: str, body: bytes, key: str) -> bytes:
    """A keep-alive request with a JSON body."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def get(path: str, key: str) -> bytes:
    """A keep-alive request without a body."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n\r\n".encode()


def singles(customers: range, prefix: str, seed: str, key: str) -> Iterator[bytes]:
    """One purchase per request, for customers at random."""
    dice = random.Random(seed)
    number = 0
    while True:
        now = datetime.now(UTC)
        body = purchase(f"{prefix}-{number:07d}", dice.choice(customers), dice, now)
        yield post("/v1/touchpoints", body.encode(), key)
        number += 1


def batches(customers: range, prefix: str, seed: str, key: str) -> Iterator[bytes]:
    """`BATCH_SIZE` purchases per request."""
    dice = random.Random(seed)
    number = 0
    while True:
        now = datetime.now(UTC)
        items = ",".join(
            purchase(f"{prefix}-{number + index:07d}", dice.choice(customers), dice, now)
            for index in range(BATCH_SIZE)
        )
        yield post("/v1/touchpoints/batch", f'{{"touchpoints":[{items}]}}'.encode(), key)
        number += BATCH_SIZE


def holds(customers: range, prefix: str, seed: str, key: str) -> Iterator[bytes]:
    """A hold of HELD points per request, for customers at random; `capture` makes the second half of each pair."""
    dice = random.Random(seed)
    number = 0
    while True:
        customer = external_id(dice.choice(customers))
        body = (
            f'{{"id":"{prefix}-{number:07d}","customer":{{"external_id":"{customer}"}},"points":{HELD},'
            f'"order_id":"A-{prefix}-{number:07d}"}}'
        )
        yield post("/v1/loyalty/holds", body.encode(), key)
        number += 1


def capture(answer: bytes, key: str) -> bytes:
    """The capture of the hold that `answer` tells of."""
    hold_id = answer.partition(b'"hold_id":"')[2].partition(b'"')[0].decode()
    return post(f"/v1/loyalty/holds/{hold_id}/capture", b"{}", key)


def contexts(customers: range, seed: str, key: str) -> Iterator[bytes]:
    """One read of a customer's context per request."""
    dice = random.Random(seed)
    while True:
        yield get(f"/v1/customers/external_id:{external_id(dice.choice(customers))}/context", key)
