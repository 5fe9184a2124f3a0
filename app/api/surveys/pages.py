"""What the links of mails lead to. Scanners follow every link before its reader does, so a GET writes nothing."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from app.api.bodies import BODY_BYTES, read_body
from app.api.deps import Config, Now, Scoring, Signed, Store
from app.api.problems import status_of
from app.api.surveys import html
from app.api.surveys.links import unsubscribe_token
from app.domain.feedback.answers import EDIT_WINDOW
from app.domain.feedback.invitations import preselected
from app.domain.feedback.links import Link, opened
from app.domain.problems import Invalid, Malformed, Problem
from app.storage.database import driver
from app.usecases.surveys.answer_survey import answer_survey
from app.usecases.surveys.follow_link import Shown, show_invitation, show_unsubscription
from app.usecases.surveys.unsubscribe import unsubscribe

# Pages for people: the OpenAPI document is for programs.
router = APIRouter(prefix="/s", include_in_schema=False)

_FORM: Final = "application/x-www-form-urlencoded"
_MOST_FIELDS: Final = 20
_RATING: Final = re.compile(r"-?[0-9]{1,4}", re.ASCII)

_SAID: Final[Mapping[str, tuple[str, str]]] = {
    "link_not_found": ("This link does not work", "Please check that the whole address was copied."),
    "link_expired": ("This survey has ended", "The link has expired. Thank you for your interest."),
    "invitation_cancelled": ("This survey has ended", "No answer is needed any more."),
    "erased": ("This survey has ended", "Your data were erased; nothing is stored about you."),
    "answer_final": ("Thank you for your answer", "It was given more than 24 hours ago and stays as it is."),
}
_OTHERWISE: Final = ("This did not work", "Please try again in a moment.")


@router.api_route("/{token}", methods=["GET", "HEAD"])
async def answer_page(token: str, request: Request, store: Store, signing: Signed, now: Now) -> HTMLResponse:
    """The question. A rating in the address is only preselected."""

    async def show() -> HTMLResponse:
        secrets = await signing.secrets()
        link = opened(token, purpose="answer", secrets=secrets.by_key, now=now, grace=EDIT_WINDOW)
        async with store.reading() as session:
            shown = await show_invitation(await driver(session), link, now)
        asked = preselected(request.query_params.get("rating"), shown.survey.scale)
        return _form(shown, unsubscribe_token(link, secrets), shown.rating if asked is None else asked)

    return await _paged(show)


@router.post("/{token}")
async def post_answer(
    token: str, request: Request, store: Store, signing: Signed, model: Scoring, now: Now, config: Config
) -> HTMLResponse:
    """Store the answer, or change it within 24 hours."""

    async def answer() -> HTMLResponse:
        secrets = await signing.secrets()
        link = opened(token, purpose="answer", secrets=secrets.by_key, now=now, grace=EDIT_WINDOW)
        sent = await _sent(request)
        try:
            async with store.transaction() as session:
                told = await answer_survey(
                    await driver(session),
                    link,
                    rating=sent.rating,
                    text=sent.text,
                    model=model,
                    now=now,
                    default_owner=config.follow_up_owner,
                )
        except Invalid as problem:
            async with store.reading() as session:
                shown = await show_invitation(await driver(session), link, now)
            wrong = _wrong(problem)
            return _form(shown, unsubscribe_token(link, secrets), sent.rating, sent.text, wrong)
        more = '\n<p><a href="?">Change my answer</a> (for 24 hours)</p>'
        if told.status == "stored":
            return html.message("Thank you", "Your answer has been saved.", 201, more=more)
        return html.message("Thank you", "Your answer has been changed.", more=more)

    return await _paged(answer)


@router.api_route("/{token}/unsubscribe", methods=["GET", "HEAD"])
async def unsubscribe_page(token: str, store: Store, signing: Signed, now: Now) -> HTMLResponse:
    """A button."""

    async def show() -> HTMLResponse:
        link = await _unsubscription(token, signing, now)
        async with store.reading() as session:
            opted_out = await show_unsubscription(await driver(session), link)
        return _unsubscribed() if opted_out else html.unsubscribe_form()

    return await _paged(show)


@router.post("/{token}/unsubscribe")
async def post_unsubscribe(
    token: str, store: Store, signing: Signed, model: Scoring, now: Now, settings: Config
) -> HTMLResponse:
    """Unsubscribe at once, whatever the body: a mail program posts for its reader (RFC 8058)."""

    async def leave() -> HTMLResponse:
        link = await _unsubscription(token, signing, now)
        async with store.transaction() as session:
            await unsubscribe(await driver(session), link, model, now, shop_currency=settings.shop_currency)
        return _unsubscribed()

    return await _paged(leave)


# --- parts ----------------------------------------------------------------------------------------------------------


class _Sent(NamedTuple):
    rating: int | None
    text: str | None


async def _sent(request: Request) -> _Sent:
    """The form's fields. A rating that is no number is none."""
    raw = await read_body(request, BODY_BYTES, media_types=(_FORM,))
    try:
        fields = parse_qs(raw.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise Malformed("malformed_form", "The body is not a form.") from None
    rating = fields.get("rating", [""])[0]
    text = fields.get("text", [""])[0].replace("\x00", "").replace("\r\n", "\n")
    return _Sent(int(rating) if _RATING.fullmatch(rating) else None, text or None)


async def _unsubscription(token: str, signing: Signed, now: Now) -> Link:
    secrets = await signing.secrets()
    return opened(token, purpose="unsubscribe", secrets=secrets.by_key, now=now)


def _wrong(problem: Invalid) -> str:
    if problem.code in ("property_required", "invalid_rating"):
        return "Please choose a rating."
    return "Please shorten your text." if problem.code == "text_too_long" else problem.detail


def _form(
    shown: Shown, token: str, chosen: int | None, text: str | None = None, wrong: str | None = None
) -> HTMLResponse:
    survey = shown.survey
    return html.answer_form(
        survey.kind,
        survey.question,
        survey.scale,
        chosen=chosen,
        text=shown.text if text is None and wrong is None else text,
        unsubscribe_token=token,
        changing=shown.row.answered_at is not None,
        wrong=wrong,
        status=200 if wrong is None else 422,
    )


def _unsubscribed() -> HTMLResponse:
    return html.message("You are unsubscribed", "You will not be asked for feedback by us any more.")


async def _paged(work: Callable[[], Awaitable[HTMLResponse]]) -> HTMLResponse:
    """What `work` shows, or a page that says what stands against it: these callers are people, not programs."""
    try:
        return await work()
    except Problem as problem:
        title, words = _SAID.get(problem.code, _OTHERWISE)
        retry = problem.members.get("retry_after_seconds")
        headers = {} if retry is None else {"Retry-After": str(retry)}
        return html.message(title, words, status_of(problem), headers=headers)
