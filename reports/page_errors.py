"""The error browser as a part of the page, and as a part of the page's data."""

from __future__ import annotations

from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from serlab.bench.contracts import plain
from serlab.reports.error_cards import MOST_AUDIO_BYTES, Card, Errors
from serlab.reports.errors import ClassError
from serlab.reports.records import Block
from serlab.reports.words import clean, number


def errors_html(errors: Errors, block: Block) -> Markup:
    """What the page shows of it."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"clean": clean, "n": number}
    text = (resources.files("serlab.reports") / "page_errors.html").read_text(encoding="utf-8")
    return Markup(
        environment.from_string(text).render(
            errors=errors, corpus=block.corpus, most=f"{MOST_AUDIO_BYTES / 1e6:g} MB"
        )
    )


def errors_data(errors: Errors) -> list[dict[str, Any]]:  # JSON values of any shape
    """The utterances of the cards with their numbers; traces, pictures and sound are not in it."""
    return [_card_data(card, errors.n_others) for card in errors.cards]


def _card_data(card: Card, n_others: int) -> dict[str, Any]:  # JSON values of any shape
    kept = plain(card.error)
    if not isinstance(card.error, ClassError):
        del kept["truth"], kept["said"]
    also = {"other_arms_that_err": card.n_also, "other_arms": n_others}
    return {**kept, **also, "groups": dict(card.groups)}
