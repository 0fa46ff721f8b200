"""The command: train, export a run, or export the model as it starts."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType

from assets.training.options import Options, add_options
from vision.errors import FindalikeError


def main(arguments: list[str]) -> int:
    """Run one command and return the exit status: 0, or 1 after a message."""
    command = {"export": _export, "start": _start}.get(arguments[0] if arguments else "")
    try:
        return command(arguments[1:]) if command else _train(arguments)
    except FindalikeError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1


def _train(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser("python -m assets.training", allow_abbrev=False)
    add_options(parser)
    options = Options(**vars(parser.parse_args(arguments)))
    from assets.training.trainer import Trainer

    asked: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, ask)
    trainer = Trainer(options)
    trainer.train(lambda: bool(asked))
    schedule = trainer.schedule
    end = "Done" if schedule.done() else "Stopped; start it again to go on"
    print(f"{end}: step {schedule.step}, {trainer.seconds:.0f} seconds trained in all.")
    return 0


def _export(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser("python -m assets.training export")
    parser.add_argument("run", type=Path)
    parser.add_argument("encoder", type=Path)
    parser.add_argument("--blend", type=float, default=1.0, help="1 as trained, 0 as it started")
    given = parser.parse_args(arguments)
    from assets.training.export import export_run

    size = export_run(given.run, given.encoder, given.blend)
    print(f"{given.encoder}: {size / 1e6:.1f} MB of weights")
    return 0


def _start(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser("python -m assets.training start")
    parser.add_argument("encoder", type=Path)
    add_options(parser, ("renders", "photos", "seed", "threads", "stored", "axes_pictures"))
    given = vars(parser.parse_args(arguments))
    target = given.pop("encoder")
    from assets.training.export import export_start

    print(f"{target}: {export_start(Options(**given), target) / 1e6:.1f} MB of weights")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
