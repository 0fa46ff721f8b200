"""What every loader of models gives, and how it is run: in quiet, without long waits for a network,
its errors in plain words."""

from __future__ import annotations

import contextlib
import difflib
import io
import logging
import pickle
import socket
import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from safetensors import SafetensorError
from torch import nn

from vision.errors import EncoderError, MissingWeights
from vision.models import BUILTIN
from vision.networks.preprocess import Preprocess
from vision.networks.weights import short, unreadable

_CONNECT_SECONDS = 5.0
_WEIGHTS = (".safetensors", ".bin", ".pth", ".pt")


@dataclass(frozen=True)
class Backbone:
    """A network ready for use on the CPU in float32.

    ``image`` maps (b, 3, h, w) float32 to (b, d); ``text`` maps token ids to (b, d) and is None
    where the network knows no words; ``tokenizer`` makes those ids and is loaded when first
    called, since some tokenizers are downloads of their own. ``variant`` names what changes the
    embeddings and shows neither in the tensors nor in the preprocessing, such as padding.
    """

    image: nn.Module
    preprocess: Preprocess
    variant: str
    text: nn.Module | None = None
    tokenizer: Callable[[], Callable[[list[str]], torch.Tensor]] | None = None


@dataclass(frozen=True)
class Source:
    """Where weights come from, for messages.

    ``local`` is a file or folder, "" where the weights are fetched from ``origin`` into ``cache``.
    """

    spec: str
    local: str
    origin: str
    cache: Path


@contextlib.contextmanager
def loading(source: Source) -> Iterator[None]:
    """Run a library's loader in quiet; what it raises becomes EncoderError or MissingWeights."""
    within_reach = contextlib.nullcontext() if source.local else _hub_within_reach()
    try:
        with _quiet(), within_reach:
            yield
    except EncoderError:
        raise
    except (pickle.UnpicklingError, SafetensorError, EOFError) as error:
        raise EncoderError(unreadable(source.local or source.cache, error)) from error
    except Exception as error:  # loaders raise almost anything
        if isinstance(error, ImportError) or "pip install" in str(error):
            raise EncoderError(
                f"{source.spec} needs a package that is not installed ({short(error)}). "
                f"Most often this mends it: pip install transformers sentencepiece"
            ) from error
        if source.local or "loading state_dict" in str(error):
            raise EncoderError(
                f"{source.local or source.origin} cannot be loaded as {source.spec}: {short(error)}"
            ) from error
        raise MissingWeights(_missing(source, error)) from error


def _missing(source: Source, error: Exception) -> str:
    instead = f"{source.spec}@PATH/TO/WEIGHTS.safetensors"
    if "hf-hub:" in source.spec:
        family = source.spec.partition(":")[0]
        instead = f"{family}:local-dir:FOLDER (a copy of the repository)"
    return (
        f"The weights of {source.spec} are not on this machine and could not be fetched.\n"
        f"  looked in:  {source.cache}\n"
        f"  fetch from: {source.origin}\n"
        f"  reason:     {short(error)}\n"
        f"Connect this machine to the network, or name a file you have: {instead}, "
        f"or use the encoder that needs no download: {BUILTIN}"
    )


def unknown(library: str, name: str, names: Sequence[str]) -> str:
    """Say that a library has no such name, and which come near."""
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5) or names[:3]
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    return f'{library} has no "{name}".{hint}'


def only(settings: Mapping[str, Hashable], pattern: str) -> str:
    """Return any of the tags if all were trained alike; ``settings`` says how, by tag.

    A weights file does not say which it is, and the wrong preprocessing is silent: nothing fails,
    the embeddings are just worse. Raises EncoderError with one example of each, made by
    ``pattern``.
    """
    examples: dict[Hashable, str] = {}
    for tag, how in settings.items():
        examples.setdefault(how, pattern.format(tag))
    if len(examples) > 1:
        raise EncoderError(
            "The weights known for this model were trained with different preprocessing. Say which "
            f"the file goes with: {' or '.join(examples.values())}"
        )
    return next(iter(settings), "")


def folder_of(place: str, config: str, library: str) -> str:
    """Return the path of a folder in a library's own format; raises EncoderError if it is none."""
    folder = Path(place).expanduser()
    for missing, found in (
        (config, (folder / config).is_file()),
        ("weights", folder.is_dir() and any(each.suffix in _WEIGHTS for each in folder.iterdir())),
    ):
        if not found:
            raise EncoderError(
                f"{place} is not a folder in {library}'s format: it has no {missing}."
            )
    return str(folder)


def square(height: int, width: int) -> int:
    """Return the side of the pictures a model takes; raises EncoderError if they are not square."""
    if height != width:
        raise EncoderError(
            f"The model takes pictures of {width} x {height} pixels; findalike knows square only."
        )
    return height


def reach(url: str) -> None:
    """Raise OSError, soon, if the host of ``url`` cannot be reached from here."""
    if getproxies():
        return  # the way leads through another host
    parts = urlsplit(url)
    port = parts.port or (80 if parts.scheme == "http" else 443)
    socket.create_connection((parts.hostname, port), _CONNECT_SECONDS).close()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the loaders' own chatter off the user's screen; errors still come as exceptions."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _hub_within_reach() -> Iterator[None]:
    """Let huggingface_hub look in its cache only while its host cannot be reached.

    Otherwise it retries for most of a minute before it says that there is no network.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    try:
        if not before:
            reach(constants.ENDPOINT)
    except OSError:
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
