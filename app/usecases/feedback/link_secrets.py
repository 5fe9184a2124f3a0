"""The secrets that sign links, as the settings name them: `key-id:secret`, several with commas, the first one signs."""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from app.domain.feedback.links import LEAST_SECRET_BYTES

_KEY_ID: Final = re.compile("[a-z0-9]{1,16}", re.ASCII)


class LinkSecrets(NamedTuple):
    """`signing` is the key id that signs; `known` are all that are still read."""

    signing: str
    known: Mapping[str, bytes]


def link_secrets(text: str) -> LinkSecrets:
    """The secrets in a setting. ValueError that does not repeat them."""
    pairs = [part.strip().partition(":") for part in text.split(",") if part.strip()]
    known = {key_id: secret.encode() for key_id, _, secret in pairs}
    if not pairs or len(known) < len(pairs):
        raise ValueError("name each secret once, as key-id:secret")
    for key_id, secret in known.items():
        if not _KEY_ID.fullmatch(key_id) or len(secret) < LEAST_SECRET_BYTES:
            raise ValueError(
                f"a key id is 1 to 16 of a-z and 0-9, a secret at least {LEAST_SECRET_BYTES} bytes"
            )
    return LinkSecrets(pairs[0][0], known)
