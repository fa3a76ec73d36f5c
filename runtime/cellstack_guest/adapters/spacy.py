"""spaCy: what looks into a document or a vocabulary."""

from __future__ import annotations

from typing import Any

from cellstack_guest.settings import module


def _reduce_span(span: Any) -> Any:
    return (make_span, (span.doc, span.start, span.end, span.label, span.kb_id, span.id))


def make_span(document: Any, start: int, end: int, label: int, entry: int, number: int) -> Any:
    """Return a span of a document. label, entry, number: as spaCy numbers texts; entry: of a knowledge base."""
    return module("spacy.tokens").Span(document, start, end, label=label, kb_id=entry, span_id=number)


def _reduce_token(token: Any) -> Any:
    return (part_of, (token.doc, token.i))


def _reduce_lexeme(lexeme: Any) -> Any:
    return (part_of, (lexeme.vocab, lexeme.orth_))


def part_of(whole: Any, place: Any) -> Any:
    """Return a part of a document or of a vocabulary."""
    return whole[place]


HANDLERS = {
    ("spacy.tokens.span", "Span"): _reduce_span,
    ("spacy.tokens.token", "Token"): _reduce_token,
    ("spacy.lexeme", "Lexeme"): _reduce_lexeme,
}
