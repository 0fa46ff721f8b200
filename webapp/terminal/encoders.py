"""The subcommands about a catalogue's encoder: finetune makes one, reembed puts it in, quicken
finds the fastest way to compute it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from webapp.terminal.backends import print_choice
from webapp.terminal.command import (
    FAILED,
    PATH,
    STOPPED,
    count,
    open_catalogue,
    print_json,
    with_catalogue,
)

if TYPE_CHECKING:
    from index.changes.finetuning import Finetuned
    from vision.learning.finetune import Epoch

_STAGES = {
    "read": "Reading the pictures.",
    "before": "Asking about held-out products, before.",
    "learn": "Learning.",
    "after": "Asking about held-out products, after.",
}
_NAMES = {
    "photos": "simulated photos, recall@1",
    "views": "other views, recall@1",
    "categories": "category by the nearest products",
}
_ENDED = {
    "done": "all epochs done",
    "no better": "it got no better",
    "minutes": "the time was up",
    "interrupted": "stopped by Ctrl-C",
}
_VERDICTS = {
    "better": "It is better than before.",
    "equal": "It is as good as before, within noise: little speaks for a change.",
    "worse": "It is not better than before. Keep the encoder you have.",
}


@click.command(short_help="Train the encoder on the shop's own pictures.")
@click.argument("out", type=PATH)
@with_catalogue
@click.option(
    "--epochs",
    type=click.IntRange(1),
    default=12,
    show_default=True,
    help="How often to see the products, at most; it stops earlier where nothing is gained.",
)
@click.option("--minutes", type=click.FloatRange(0), default=0, help="How long to learn, at most.")
@click.option(
    "--blocks",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="How many of the network's last blocks learn.",
)
@click.option("--seed", default=0, show_default=True, help="All chance follows from it.")
@click.option("--device", help="cpu or cuda.  [default: cuda where there is one]")
@click.option("--keep", is_flag=True, help="Write the encoder even if it is worse.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; see docs/finetune.md.")
def finetune(
    path: Path,
    out: Path,
    epochs: int,
    minutes: float,
    blocks: int,
    seed: int,
    device: str | None,
    keep: bool,
    as_json: bool,
) -> None:
    """Train the catalogue's encoder on its own pictures, and write the new one to the folder OUT.

    It is measured before and after on products that it did not learn from. The catalogue is not
    changed: findalike reembed gives it the new encoder. Exit status 1 means that the new one is not
    better; it is then written only with --keep.
    """  # fmt: skip
    with open_catalogue(path) as catalogue:
        from index.changes.finetuning import finetune_catalogue
        from vision.learning.finetune import Course

        try:
            done = finetune_catalogue(
                catalogue, out, Course(epochs=epochs, minutes=minutes, blocks=blocks, seed=seed),
                device=device, keep=keep, stage=_print_stage, report=_print_epoch,
            )  # fmt: skip
        except KeyboardInterrupt:
            click.echo("\nStopped. Nothing was written.", err=True)
            raise SystemExit(STOPPED) from None
    if as_json:
        print_json(done.as_dict())
    else:
        _print_finetuned(done)
    raise SystemExit(FAILED if done.verdict == "worse" else 0)


def _print_stage(stage: str) -> None:
    click.echo(_STAGES[stage], err=True)


def _print_epoch(epoch: Epoch) -> None:
    if epoch.number:
        line = f"epoch {epoch.number}: loss {epoch.loss:.3f}, score {epoch.score:.3f}, "
        click.echo(f"{line}{epoch.seconds:.0f} s", err=True)
    else:
        click.echo(f"as it is: score {epoch.score:.3f}", err=True)


def _print_finetuned(done: Finetuned) -> None:
    click.echo(
        f"Learnt from {count(done.products, 'product')} in {done.seconds:.0f} s: epoch {done.best} "
        f"was the best of {len(done.epochs) - 1} ({_ENDED[done.ended]})."
    )
    if done.measures:
        click.echo(f"\n{'On products held out':<36}products  before   after  +/-")
    for each in done.measures:
        click.echo(
            f"  {_NAMES[each.name]:<34}{each.products:>8}{each.before:>8.1%}{each.after:>8.1%}"
            f"{each.error:>6.1%}"
        )
    click.echo(f"\n{_VERDICTS[done.verdict]}")
    if not done.spec:
        click.echo("Nothing was written.")
    elif done.verdict == "worse":
        click.echo(f"It was written all the same: {done.spec}")
    else:
        click.echo(f"Use it with: findalike reembed {done.spec}")


@click.command(short_help="Give the catalogue another encoder.")
@click.argument("spec")
@with_catalogue
@click.option("--json", "as_json", is_flag=True, help="Print JSON; see docs/finetune.md.")
def reembed(path: Path, spec: str, as_json: bool) -> None:
    """Give the catalogue another encoder: every picture is embedded anew, the products stay.

    Searches go on with the old encoder until all is done. Run the same command after an
    interruption and it goes on.
    """
    with open_catalogue(path) as catalogue:
        from dataclasses import asdict

        from index.changes.reembedding import reembed as change
        from webapp.terminal.show import progress_bar

        try:
            with progress_bar() as progress:
                done = change(catalogue, spec, progress=progress)
        except KeyboardInterrupt:
            click.echo("\nStopped. Run the same command to go on.", err=True)
            raise SystemExit(STOPPED) from None
    if as_json:
        print_json(asdict(done))
    elif done.switched:
        small = f", {done.from_previews} from their previews" if done.from_previews else ""
        before = f" ({done.known} were embedded before)" if done.known else ""
        click.echo(
            f"The catalogue has the encoder {done.spec} now. "
            f"Embedded {count(done.embedded, 'picture')}{small}{before}.\n"
            f"Categories learnt on the old encoder no longer fit: findalike train"
        )
    else:
        click.echo(f"The catalogue has this encoder already: {done.spec}")


@click.command(short_help="Find the fastest way to compute the encoder here.")
@with_catalogue
@click.option("--json", "as_json", is_flag=True, help="Print JSON; see docs/encoders.md.")
def quicken(path: Path, as_json: bool) -> None:
    """Try the ways to compute the encoder on the catalogue's pictures, and keep to the fastest.

    Only a way whose embeddings agree with the plain one is taken. Takes a minute or two, once for
    each machine; servers use it from their next start. An add with much to do sees to it by itself.
    More ways: pip install findalike[openvino]
    """
    with open_catalogue(path) as catalogue:
        from index.changes.choosing import choose_backend

        choice = choose_backend(catalogue, lambda name: click.echo(f"Trying {name}.", err=True))
    if as_json:
        print_json(choice.as_dict())
    else:
        print_choice(choice)


COMMANDS = (finetune, reembed, quicken)
