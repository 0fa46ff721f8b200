"""The encoders findalike recommends, as one flat table."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

BUILTIN = "builtin"
LARGE = "clip:ViT-B-32/laion2b_s34b_b79k"  # what is recommended beside it


@dataclass(frozen=True)
class Model:
    """One recommended encoder; ``megabytes`` is the size of the download, 0 = nothing to fetch.

    ``source`` is the Hugging Face repository, or the file name of a torchvision checkpoint.
    """

    spec: str
    dim: int
    megabytes: int
    words: str
    licence: str
    good_for: str
    source: str = ""

    def on_this_machine(self) -> bool:
        """Tell whether the weights are here, by looking where the libraries keep them."""
        if not self.megabytes:
            return True
        if self.spec.startswith("torchvision:"):
            return (torch_cache() / self.source).is_file()
        snapshots = hub_cache() / f"models--{self.source.replace('/', '--')}" / "snapshots"
        return any(
            path.suffix in (".safetensors", ".bin", ".pt") and path.is_file()
            for path in snapshots.glob("*/*")
        )


MODELS = (
    Model(
        BUILTIN, 512, 0, "its sample's", "Apache-2.0",
        "a start without any download; knows few words",
    ),
    Model(
        LARGE, 512, 605, "English", "MIT",
        "all goods, photos and words; fast on a CPU", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
    ),
    Model(
        "clip:ViT-B-16/datacomp_xl_s13b_b90k", 512, 599, "English", "MIT",
        "all goods, finer detail, 3 to 4 times the work",
        "laion/CLIP-ViT-B-16-DataComp.XL-s13B-b90K",
    ),
    Model(
        "clip:ViT-L-14/datacomp_xl_s13b_b90k", 768, 1710, "English", "MIT",
        "all goods, best of the CLIPs here; wants a GPU",
        "laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K",
    ),
    Model(
        "clip:ViT-B-16-SigLIP2/webli", 768, 1500, "about 100", "Apache-2.0",
        "words in many languages; words need transformers", "timm/ViT-B-16-SigLIP2",
    ),
    Model(
        "clip:xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k", 512, 1460, "about 100", "MIT",
        "words in many languages, fast on a CPU; needs transformers",
        "laion/CLIP-ViT-B-32-xlm-roberta-base-laion5B-s13B-b90k",
    ),
    Model(
        "clip:hf-hub:Marqo/marqo-ecommerce-embeddings-B", 768, 813, "English", "Apache-2.0",
        "shop catalogues of every kind; words need transformers",
        "Marqo/marqo-ecommerce-embeddings-B",
    ),
    Model(
        "clip:hf-hub:Marqo/marqo-ecommerce-embeddings-L", 1024, 2610, "English", "Apache-2.0",
        "shop catalogues; wants a GPU; words need transformers",
        "Marqo/marqo-ecommerce-embeddings-L",
    ),
    Model(
        "clip:hf-hub:Marqo/marqo-fashionSigLIP", 768, 813, "English", "Apache-2.0",
        "clothes, shoes, bags; words need transformers", "Marqo/marqo-fashionSigLIP",
    ),
    Model(
        "clip:MobileCLIP2-S0/dfndr2b", 512, 300, "English", "Apple, research only",
        "small and quick; read the licence", "timm/MobileCLIP2-S0-OpenCLIP",
    ),
    Model(
        "timm:vit_small_patch14_dinov2.lvd142m", 384, 88, "none", "Apache-2.0",
        "the very same object again, photos only; slow (518 pixels)",
        "timm/vit_small_patch14_dinov2.lvd142m",
    ),
    Model(
        "torchvision:resnet50", 2048, 98, "none", "BSD-3-Clause",
        "a classic to compare with, photos only", "resnet50-11ad3fa6.pth",
    ),
)  # fmt: skip


def hub_cache() -> Path:
    """Return the folder where huggingface_hub keeps downloads."""
    home = os.environ.get("HF_HOME", _user_cache() / "huggingface")
    before = os.environ.get("HUGGINGFACE_HUB_CACHE", Path(home) / "hub")  # its older name
    return Path(os.environ.get("HF_HUB_CACHE", before)).expanduser()


def torch_cache() -> Path:
    """Return the folder where torchvision keeps downloads."""
    home = os.environ.get("TORCH_HOME", _user_cache() / "torch")
    return Path(home).expanduser() / "hub" / "checkpoints"


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
