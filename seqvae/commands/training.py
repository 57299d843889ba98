"""How the commands train a model, print and draw its progress, and report the result."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from seqvae.commands.run import Run
from seqvae.report import write_run_page
from seqvae.training import Checkpoints, Stage, Trainer

if TYPE_CHECKING:
    from seqvae.model import SequenceModel


def train_and_report(
    run: Run,
    model: "SequenceModel",
    batches: Any,
    stages: list[Stage],
    report: Any,
    *,
    signature: dict,
    about: str,
    title: str,
    display: Callable[[dict, int], str],
    pictures: Callable[[int], None],
    picture_step: int,
    finish: Callable[[int], dict],
    first_pictures: bool = True,
    step_factor: int = 1,
    check: Callable[[dict], None] = lambda line: None,
    **options: Any,
) -> None:
    """Train a model, save it as `model.keras`, and write its report.

    Args:
        run: the run; its folder is claimed here at the latest.
        model: the model, made in the scope of the run's placement.
        batches: the batches of each epoch.
        stages: the stages, in order.
        report: the family's report, an object with the methods `training_curves(lines)`,
            `summary(figures)` and `sections(figures)`.
        signature: what a checkpoint must agree with.
        about: lines that say what is trained on what.
        title: the page's title.
        display: makes the line that is printed after every `display_step` epochs, from the log's
            line and the number of epochs.
        pictures: draws the pictures of an epoch, counted from 0.
        picture_step: epochs between pictures.
        finish: called with the last epoch when the model is saved; writes the family's own files
            and returns the run's figures.
        first_pictures: whether pictures are also drawn after the first epoch.
        step_factor: multiplies `display_step` and `picture_step`, for a run with more epochs than
            the settings have.
        check: called with the log's line at the end of each epoch; may raise to end the run.
        **options: of the `Trainer`.
    """

    def after_epoch(epoch, log):
        line = log.read()[-1]
        if run.due(epoch, run.settings.display_step * step_factor):
            print(display(line, trainer.epochs), flush=True)
        if run.due(epoch, picture_step * step_factor) or (first_pictures and epoch == 0):
            pictures(epoch)
        check(line)

    run.claim()
    trainer = Trainer(
        model,
        batches,
        stages,
        checkpoints=Checkpoints(run.folder / "checkpoints", signature),
        log_folder=run.folder,
        seed=run.settings.seed,
        after_epoch=after_epoch,
        placement=run.placement,
        **options,
    )
    log = run.train(trainer, about)
    if log is None:
        return
    model.save(run.folder / "model.keras")
    report.training_curves(log.read())
    figures = finish(trainer.epochs - 1)
    print("\n".join(report.summary(figures)))
    print(write_run_page(run, title, lambda: report.sections(figures)))
