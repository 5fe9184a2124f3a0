"""Without a key for tombstones an erasure is as thorough, and says that nobody is remembered."""

import httpx

from tests.api.privacy.person import CUSTOMER, OTHERS, dumped, meet, ok, traces


async def test_without_a_key_nothing_is_hashed_and_the_receipt_says_so(
    admin: httpx.AsyncClient, owner_url: str
) -> None:
    told = await meet(admin)
    receipt = await ok(await admin.delete(CUSTOMER))
    assert receipt["tombstones"] == 0
    assert await traces(owner_url) == []
    assert "insert into public.erased_identifiers" not in await dumped(owner_url)
    # The name is free, for somebody new.
    made = await admin.post("/v1/customers", json={"identifiers": OTHERS})
    assert made.status_code == 201
    assert made.json()["id"] != told["id"]
    # The id still finds the receipt.
    assert await ok(await admin.delete(f"/v1/customers/{told['id']}")) == receipt
