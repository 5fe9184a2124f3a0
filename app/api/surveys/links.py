"""The addresses that go into mails."""

from app.domain.feedback.links import Link
from app.storage.invitations import StoredInvitation
from app.usecases.surveys.signing import Secrets


def addresses(row: StoredInvitation, secrets: Secrets, base_url: str) -> tuple[str, str]:
    """Where an invitation is answered, and where its customer unsubscribes; both are the same each time."""
    answer = Link("answer", row.origin_customer_id, row.id, row.expires_at)
    return (
        f"{base_url}/s/{secrets.sign(answer)}",
        f"{base_url}/s/{unsubscribe_token(answer, secrets)}/unsubscribe",
    )


def unsubscribe_token(link: Link, secrets: Secrets) -> str:
    """The token to unsubscribe with that belongs to a link; it holds for ever."""
    return secrets.sign(Link("unsubscribe", link.customer_id, link.resource_id, None))
