"""The families of networks behind encoders, and how a spec names one."""

from __future__ import annotations

from pathlib import Path

from vision.errors import EncoderError
from vision.models import BUILTIN
from vision.networks.classifiers import load_timm, load_torchvision
from vision.networks.loading import Backbone
from vision.networks.openclip import load_builtin, load_open_clip

_LOADERS = {"clip": load_open_clip, "torchvision": load_torchvision, "timm": load_timm}
_LOCAL_DIR = "local-dir:"

FAMILIES = """\
  builtin                    ships with findalike, nothing to download
  clip:NAME/TAG              an open_clip model and weights, as clip:ViT-B-32/laion2b_s34b_b79k
  clip:NAME[/TAG]@FILE       an open_clip model with weights from a file (.safetensors or .pt)
  clip:hf-hub:OWNER/MODEL    any open_clip model on the Hugging Face hub
  clip:local-dir:FOLDER      a folder in open_clip's own format
  torchvision:NAME[@FILE]    a torchvision classifier without its head, as torchvision:resnet50
  timm:NAME[@FILE]           a timm backbone, as timm:resnet50.a1_in1k
  timm:hf-hub:OWNER/MODEL    any timm model on the Hugging Face hub
  timm:local-dir:FOLDER      a folder in timm's own format"""


def load_backbone(spec: str) -> Backbone:
    """Load the network that ``spec`` names (see FAMILIES).

    Raises EncoderError for a spec that names nothing, and MissingWeights where the weights are
    neither on this machine nor to be fetched.
    """
    family, name, file = _split(spec)
    path = Path(file).expanduser() if file else None
    if path is not None and not path.is_file():
        raise EncoderError(f'There is no weights file {file} (from "{spec}"). Check the path.')
    if spec == BUILTIN:
        return load_builtin()
    if family in _LOADERS and name and not name.endswith(":"):
        return _LOADERS[family](name, path, spec)
    raise EncoderError(f'There is no encoder "{spec}". Encoders are named like this:\n{FAMILIES}')


def resolve_spec(spec: str) -> str:
    """Return the spec with its file or folder as an absolute path, to be found from anywhere."""
    family, name, file = _split(spec)
    if file:
        return f"{family}:{name}@{Path(file).expanduser().resolve()}"
    if name.startswith(_LOCAL_DIR):
        folder = Path(name.removeprefix(_LOCAL_DIR)).expanduser().resolve()
        return f"{family}:{_LOCAL_DIR}{folder}"
    return spec


def _split(spec: str) -> tuple[str, str, str]:
    """Return the family, the name, and the weights file or ""."""
    family, _, rest = spec.partition(":")
    if rest.startswith(_LOCAL_DIR):
        return family, rest, ""
    name, _, file = rest.partition("@")
    return family, name, file
