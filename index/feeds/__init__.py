"""Feeds: the files and folders that products come from, read into products with their pictures."""

from index.feeds.columns import NUMBERED
from index.feeds.pictures import read_bytes
from index.feeds.sources import stage
from index.feeds.staging import FeedItem, Reject, Staged
from index.feeds.texts import quote_formula, unquote_formula

__all__ = [
    "NUMBERED",
    "FeedItem",
    "Reject",
    "Staged",
    "quote_formula",
    "read_bytes",
    "stage",
    "unquote_formula",
]
