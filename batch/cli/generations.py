"""`almanac generations`: the ledger as people use it. Parse, configure, call."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from batch.cli.draw import generations as picture
from batch.cli.listen import tracked
from batch.cli.options import Json, read_settings
from batch.cli.output import Output, print_error

if TYPE_CHECKING:
    import numpy as np

    from batch.publish.store import GenerationStore
    from batch.settings import Settings

app = typer.Typer(help="What was published: look, compare, prove, flip, roll back.", no_args_is_help=True)

Number = Annotated[int, typer.Argument(help="generation")]
Sample = Annotated[int, typer.Option(min=1, help="users to look at")]


@dataclass(frozen=True, slots=True)
class _Desk:
    """What each command works with."""

    output: Output
    settings: "Settings"
    store: "GenerationStore"
    folder: Path
    rng: "np.random.Generator"


@contextmanager
def _desk(*, json: bool) -> Iterator[_Desk]:
    import numpy as np

    from batch.publish.store import GenerationStore
    from batch.store.connection import connect_store

    output, settings = Output(json=json), read_settings()
    with tracked(settings), connect_store(settings, output.progress) as store:
        folder, rng = settings.state_dir / "generations", np.random.default_rng(settings.seed)
        yield _Desk(output, settings, GenerationStore(store, settings.keys), folder, rng)


@app.command(name="list")
def list_(json: Json = False) -> None:
    """List every generation, newest first, with its state and when it was served."""
    from batch.publish.ledger.entries import entries

    with _desk(json=json) as desk:
        ledger = entries(desk.store, [desk.settings.variant])
        desk.output.emit({"generations": picture.rows(ledger)}, lambda c: picture.draw_list(c, ledger))


@app.command()
def show(generation: Number, json: Json = False) -> None:
    """Show one generation: manifest, checksums, intervals, what the gate said."""
    from batch.publish.ledger import entries as ledger

    with _desk(json=json) as desk:
        shown = ledger.show(desk.store, generation, desk.folder, [desk.settings.variant])
        desk.output.emit(shown, lambda c: picture.draw_show(c, shown))


@app.command()
def promote(
    generation: Number,
    force: Annotated[bool, typer.Option("--force", help="serve it though the gate held it back")] = False,
    json: Json = False,
) -> None:
    """Make a sealed generation current, by one write."""
    from batch.publish.ledger import promotion
    from batch.store.who import who_am_i

    with _desk(json=json) as desk:
        flip = promotion.promote(desk.store, generation, int(time.time()), force=force, who=who_am_i())
        desk.output.emit(asdict(flip))


@app.command()
def rollback(
    quarantine: Annotated[bool, typer.Option("--quarantine", help="never serve this one again")] = False,
    json: Json = False,
) -> None:
    """Go back to the generation that was current before; never to a quarantined one."""
    from batch.publish.ledger import promotion
    from batch.store.who import who_am_i

    with _desk(json=json) as desk:
        now_s = int(time.time())
        flip = promotion.rollback(
            desk.store, desk.settings.variant, now_s, quarantine=quarantine, who=who_am_i()
        )
        desk.output.emit(asdict(flip))


@app.command()
def quarantine(generation: Number, json: Json = False) -> None:
    """Bar a generation from being served; where it is current, roll back first."""
    from batch.publish.ledger import promotion
    from batch.store.who import who_am_i

    with _desk(json=json) as desk:
        flip = promotion.quarantine(desk.store, generation, int(time.time()), who=who_am_i())
        desk.output.emit({"quarantined": generation, "flip": asdict(flip) if flip else None})


@app.command()
def retire(generation: Number, json: Json = False) -> None:
    """Clear a generation's keys and files in small steps."""
    from batch.publish.ledger.entries import retire_one

    with _desk(json=json) as desk:
        with desk.output.progress.phases("retire") as shown:
            retire_one(desk.store, desk.folder, generation, int(time.time()), shown)
        desk.output.emit({"retired": generation})


@app.command()
def diff(
    a: Number,
    b: Number,
    user: Annotated[str | None, typer.Option(help="one user; else a sample")] = None,
    sample: Sample = 1_000,
    json: Json = False,
) -> None:
    """Compare two generations' lists: what came, went and moved, who won and lost."""
    from batch.publish.proof.diff import diff as compare

    with _desk(json=json) as desk:
        change = compare(desk.store, a, b, user_id=user, sample=sample, rng=desk.rng)
        desk.output.emit(asdict(change), lambda c: picture.draw_diff(c, change))


@app.command()
def verify(generation: Number, sample: Sample = 100, json: Json = False) -> None:
    """Compute checksums and a sample of lists again, and compare with what Redis returns."""
    from batch.publish.proof.verify import verify as prove

    with _desk(json=json) as desk:
        with desk.output.progress.phases("verify") as shown:
            verdict = prove(desk.store, generation, desk.folder, sample=sample, rng=desk.rng, progress=shown)
        desk.output.emit(asdict(verdict), lambda c: picture.draw_verdict(c, verdict))
    if not verdict.ok:
        raise typer.Exit(print_error(verdict.sentence(), json=False, exit_code=7))
