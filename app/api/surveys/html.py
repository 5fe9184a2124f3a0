"""The pages behind the links of mails: whole documents without scripts or other files, everything in them escaped."""

import base64
import hashlib
from collections.abc import Mapping
from html import escape
from typing import Final

from fastapi.responses import HTMLResponse

from app.domain.feedback.scales import Scale

LONGEST_TEXT: Final = 4000
"""What the form takes; the API takes more."""

# Colours: text on its ground has a contrast of at least 7:1, borders of at least 3:1. The input itself takes the focus,
# so keys, screen readers and fingers all mean the same thing.
_STYLE: Final = """
*{box-sizing:border-box}
body{margin:0;background:#f4f5f7;color:#1b1f24;font:1.0625rem/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:40rem;margin:0 auto;padding:1.25rem 1rem 2.5rem}
.card{background:#fff;border:1px solid #d0d4da;border-radius:.75rem;padding:1.25rem}
h1{font-size:1.375rem;line-height:1.3;margin:0 0 .75rem}
fieldset{border:0;margin:0;padding:0;min-width:0}
legend{font-size:1.375rem;font-weight:600;line-height:1.3;padding:0;margin:0 0 1rem;overflow-wrap:anywhere}
.points{display:grid;grid-template-columns:repeat(auto-fill,minmax(2.75rem,1fr));gap:.25rem}
.point{position:relative;display:block}
.point input{position:absolute;inset:0;width:100%;height:100%;margin:0;opacity:0;cursor:pointer}
.point span{display:flex;align-items:center;justify-content:center;min-height:2.75rem;border:2px solid #6b7480;
border-radius:.5rem;background:#fff;font-weight:600}
.point input:hover+span{background:#e8f0fe}
.point input:checked+span{background:#0b4fb3;border-color:#0b4fb3;color:#fff}
.point input:focus-visible+span,textarea:focus-visible,button:focus-visible,a:focus-visible{outline:3px solid #1b1f24;
outline-offset:2px}
.ends{display:flex;justify-content:space-between;gap:1rem;margin:.5rem 0 0;font-size:.9375rem;color:#3d4650}
.ends span:last-child{text-align:right}
.words{display:block;margin:1.25rem 0 .375rem;font-weight:600}
textarea{display:block;width:100%;min-height:6.5rem;padding:.625rem;border:2px solid #6b7480;border-radius:.5rem;
font:inherit;color:inherit;background:#fff}
button{display:block;width:100%;min-height:3rem;margin-top:1.25rem;padding:.5rem 1.5rem;border:0;border-radius:.5rem;
background:#0b4fb3;color:#fff;font:inherit;font-weight:600;cursor:pointer}
button:hover{background:#083b87}
.wrong{margin:0 0 1rem;padding:.75rem 1rem;border-left:4px solid #a3150f;background:#fdecea;color:#7a0f0a}
footer{margin-top:1.25rem;font-size:.9375rem;color:#3d4650}
a{color:#0b4fb3}
@media (min-width:34rem){button{width:auto}.card{padding:2rem}.points{gap:.3125rem}}
@media (forced-colors:active){.point input{opacity:1;position:static;width:auto;height:auto}}
"""
_DIGEST: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_DIGEST}'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Robots-Tag": "noindex, nofollow",
    "Cache-Control": "no-store",
}

_ENDS: Final[Mapping[str, tuple[str, str]]] = {
    "nps": ("Not at all likely", "Extremely likely"),
    "csat": ("Very dissatisfied", "Very satisfied"),
    "ces": ("Strongly disagree", "Strongly agree"),
    "review": ("Poor", "Excellent"),
}
_EFFORT: Final = ("Very low effort", "Very high effort")


def page(
    title: str, content: str, status: int = 200, headers: Mapping[str, str] | None = None
) -> HTMLResponse:
    """A whole page. `content` is HTML, `title` is text."""
    document = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="robots" content="noindex">\n<title>{escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n{content}\n</main>\n</body>\n</html>\n"
    )
    return HTMLResponse(document, status, headers={**HEADERS, **(headers or {})})


def message(
    title: str, words: str, status: int = 200, *, more: str = "", headers: Mapping[str, str] | None = None
) -> HTMLResponse:
    """A page that only says something. `more` is HTML below it."""
    content = f'<div class="card" role="status"><h1>{escape(title)}</h1>\n<p>{escape(words)}</p>{more}</div>'
    return page(title, content, status, headers)


def answer_form(
    kind: str,
    question: str,
    scale: Scale,
    *,
    chosen: int | None,
    text: str | None,
    unsubscribe_token: str,
    changing: bool = False,
    wrong: str | None = None,
    status: int = 200,
) -> HTMLResponse:
    """The question, its ratings with `chosen` selected, and room for words.

    The form posts to its own address without a query, so that what a link preselects is not posted again.
    """
    said = f'<p class="wrong" role="alert" id="wrong">{escape(wrong)}</p>\n' if wrong else ""
    described = ' aria-describedby="ends wrong"' if wrong else ' aria-describedby="ends"'
    invalid = ' aria-invalid="true"' if wrong else ""
    points = "\n".join(
        f'<label class="point"><input type="radio" name="rating" value="{rating}" required{invalid}'
        f"{' checked' if rating == chosen else ''}><span>{rating}</span></label>"
        for rating in range(scale.min, scale.max + 1)
    )
    low, high = _ends(kind, scale)
    ends = f"{scale.min}: {escape(low)}</span><span>{scale.max}: {escape(high)}"
    again = "<p>You have answered already. You can change your answer for 24 hours.</p>\n" if changing else ""
    content = f"""<form class="card" method="post" action="?">
{said}{again}<fieldset{described}>
<legend>{escape(question)}</legend>
<div class="points">
{points}
</div>
<p class="ends" id="ends"><span>{ends}</span></p>
</fieldset>
<label class="words" for="text">Why? (optional)</label>
<textarea id="text" name="text" rows="4" maxlength="{LONGEST_TEXT}">
{escape(text or "")}</textarea>
<button type="submit">{"Change my answer" if changing else "Send my answer"}</button>
</form>
<footer><a href="{escape(unsubscribe_token)}/unsubscribe">Do not ask me again</a></footer>"""
    return page(question, content, status)


def _ends(kind: str, scale: Scale) -> tuple[str, str]:
    if scale.direction == "higher_is_better":
        return _ENDS[kind]
    if kind == "ces":
        return _EFFORT
    low, high = _ENDS[kind]
    return high, low


def unsubscribe_form() -> HTMLResponse:
    """A button: who follows a link has not asked for anything yet."""
    content = """<form class="card" method="post" action="?">
<h1>Stop these messages?</h1>
<p>You will not be asked for feedback by us any more.</p>
<button type="submit">Unsubscribe</button>
</form>"""
    return page("Unsubscribe", content)
