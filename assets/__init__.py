"""What ships with findalike: its own encoder and the sample catalogue."""

from pathlib import Path

ENCODER = Path(__file__).parent / "encoder"  # in open_clip's format
ENCODER_SHA256 = "36f13669d4b83e455fc45c32a8c3e8d0a78f8c400ded354a9b7abb51d0697fa6"
SAMPLE = Path(__file__).parent / "sample"  # products.csv is its feed, photos.csv what to ask
