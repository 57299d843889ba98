"""Training a Kalman VAE from its settings: data, model, stages, report."""

from pathlib import Path

from kvae import original
from kvae.config import KVAESettings
from kvae.data import Missing, training_and_test
from kvae.evaluation import evaluate_elbo
from kvae.model import KVAE
from kvae.report import Report
from kvae.stages import stages
from seqvae.commands import Affects, Run
from seqvae.saved_models import load_model
from seqvae.training import Checkpoints, Trainer, exponential_decay


def run(run: Run) -> None:
    """The body of the command `kvae`."""
    s: KVAESettings = run.settings
    missing = Missing(s.train_miss_prob, s.t_init_train_miss, s.seed)
    train, test = run.placement.chief_first(
        lambda: training_and_test(s.dataset, s.data_dir, missing)
    )
    if train.dim_u is not None:
        s = run.change(dim_u=train.dim_u)
    with run.placement.scope():
        model = _model(s, train.image_shape)
    report = Report(
        model,
        test,
        run.folder,
        seed=s.seed,
        training=train.some(),
        world=s.dataset,
        t_init_mask=s.t_init_mask,
        t_steps_mask=s.t_steps_mask,
        n_steps_gen=s.n_steps_gen,
    )

    def after_epoch(epoch, log):
        if run.due(epoch, s.display_step):
            print(_epoch_line(log.read()[-1], trainer.epochs), flush=True)
        if epoch == 0 or run.due(epoch, s.generate_step):
            report.pictures(epoch)

    run.claim()
    order = dict(batch_size=s.batch_size, seed=s.seed, shuffle=s.shuffle)
    trainer = Trainer(
        model,
        train.batches(**order),
        stages(
            model,
            num_epochs=s.num_epochs,
            only_vae_epochs=s.only_vae_epochs,
            kf_update_steps=s.kf_update_steps,
            dynamics_epochs=s.dynamics_epochs,
            refine_epochs=s.refine_epochs,
            learning_rate=s.init_lr,
            codes=lambda: train.codes(model, run.folder / "codes", run.placement, **order),
        ),
        checkpoints=Checkpoints(run.folder / "checkpoints", _signature(s, model, train)),
        log_folder=run.folder,
        learning_rate=exponential_decay(s.init_lr, s.decay_rate, s.decay_steps),
        clip_norm=s.max_grad_norm,
        seed=s.seed,
        evaluate=lambda: evaluate_elbo(model, test, seed=s.seed),
        after_epoch=after_epoch,
        placement=run.placement,
    )
    log = run.train(
        trainer,
        f"{len(train)} training and {len(test)} test sequences of {train.steps} frames "
        f"{train.image_shape}, "
        f"{model.count_params()} weights",
    )
    if log is None:
        return
    model.save(run.folder / "model.keras")
    report.pictures(trainer.epochs - 1)
    report.training_curves(log.read())
    print("\n".join(report.summary(report.final())))


def _signature(s: KVAESettings, model: KVAE, train) -> dict:
    """What a checkpoint must agree with. The model's own arguments count: --reload_model may bring
    others."""
    arguments = {name: model.get_config()[name] for name in s.names(Affects.MODEL)}
    return arguments | s.of(Affects.TRAINING) | {"data": train.fingerprint}


def _model(s: KVAESettings, image_shape: tuple[int, ...]) -> KVAE:
    """A new model, or the one in --reload_model."""
    source = s.reload_model
    if source.endswith(".keras"):
        model = load_model(source, KVAE)
        if model.image_shape != image_shape:
            raise ValueError(
                f"--reload_model: {source} is not a Kalman VAE for frames {image_shape}."
            )
        return model
    if not source:
        return KVAE(
            image_shape,
            **s.of(Affects.MODEL),
            dtype="mixed_bfloat16" if s.mixed_precision else "float32",
        )
    beside = Path(source).parent / "config.json"
    if not beside.exists():
        raise ValueError(
            f"--reload_model: no {beside}, the configuration of the run that {source} comes from."
        )
    model = original.build(beside, image_shape)
    original.load(model, source)
    return model


def _epoch_line(line: dict, epochs: int) -> str:
    terms = "  ".join(
        f"{name} {line['test_' + name]:.2f}" for name in ("log_px", "log_qa", "lgssm")
    )
    return (
        f"epoch {line['epoch'] + 1}/{epochs}  {line['stage']}  {line['seconds']:.1f} s  "
        f"loss {line['train_loss']:.2f}  test ELBO {line['test_elbo']:.2f}  ({terms})"
    )
