"""The errors findalike raises for what a user can mend.

    FindalikeError
    ├── UnreadableImage       a picture that cannot or may not be read
    ├── EncoderError          an encoder that does not exist or does not fit
    │   └── MissingWeights    weights that are not on this machine and cannot be fetched
    ├── FeedError             a feed that cannot be read at all (bad rows are values, not errors)
    ├── QueryError            a query or filter that makes no sense
    ├── TaxonomyError         a taxonomy, or a change to one, that makes no sense
    ├── HeadError             a head that cannot be trained, read, or used here
    ├── LabelError            a person's labels that name what is not there
    └── CatalogueError        a catalogue that is missing, damaged or of another encoder
        ├── CatalogueBusy     another process is writing
        └── EncoderExchanged  it was given another encoder since it was opened

Every message says what is wrong and what to do about it. Errors of the libraries underneath
(Pillow, torch, FAISS, SQLAlchemy) are translated once, where they enter.
"""


class FindalikeError(Exception):
    """Any mistake that a person can mend; its text is meant to be shown."""


class UnreadableImage(FindalikeError):
    """A picture that is broken, too large, or not a picture at all."""


class EncoderError(FindalikeError):
    """An encoder that is unknown, damaged, or unable to do what was asked."""


class MissingWeights(EncoderError):
    """Weights that are neither on this machine nor within reach of the network."""


class FeedError(FindalikeError):
    """A feed that cannot be read at all; single bad rows are reported, not raised."""


class QueryError(FindalikeError):
    """A query or a filter that cannot be answered as it stands."""


class TaxonomyError(FindalikeError):
    """A taxonomy file that cannot be read, or a change that would make no tree."""


class HeadError(FindalikeError):
    """A head without enough labels, with a damaged file, or of another encoder or taxonomy."""


class LabelError(FindalikeError):
    """Labels for products that are not there, or with values that the taxonomy does not have."""


class CatalogueError(FindalikeError):
    """A catalogue that is missing, damaged, or made with another encoder."""


class EncoderExchanged(CatalogueError):
    """The catalogue was given another encoder since it was opened; opening it again helps."""


class CatalogueBusy(CatalogueError):
    """Another process is writing to the catalogue."""
