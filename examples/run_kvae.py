"""Trains a Kalman variational auto-encoder, with the flags of the original program.

    python examples/run_kvae.py --gpu=0                        # the original's configuration on bouncing balls
    python examples/run_kvae.py --preset=demo                  # minutes, not hours
    python examples/run_kvae.py --dataset=videos.npz           # images [N, T, H, W] or [N, T, H, W, C], or its shards
    python examples/run_kvae.py --run_name=mine --resume       # goes on where the run stopped

A run leaves logs/<run>_kvae/: config.json, metrics.jsonl, checkpoints/, model.keras, videos, plots, imputation.json.
"""

from pathlib import Path

from absl import app, flags

from seqvae import runs

_ROOT = Path(__file__).resolve().parent.parent

# The encoder and decoder
flags.DEFINE_string("dataset", "box", "box, box_gravity, polygon, pong, box_push (made where missing), or an .npz")
flags.DEFINE_enum("out_distr", "bernoulli", ["bernoulli", "gaussian"], "distribution of the pixels")
flags.DEFINE_boolean("conv", True, "convolutional encoder and decoder; --noconv: dense layers")
flags.DEFINE_string("activation", "relu", "of the encoder and decoder: relu, tanh, elu, linear")
flags.DEFINE_integer("filter_size", 3, "width of the filters")
flags.DEFINE_string("num_filters", "32,32,32", "filters of each conv layer")
flags.DEFINE_integer("vae_num_units", 25, "units of each dense layer (--noconv)")
flags.DEFINE_integer("num_layers", 2, "dense layers (--noconv)")
flags.DEFINE_float("noise_pixel_var", 0.1, "variance of a pixel (gaussian)")
flags.DEFINE_float("ll_keep_prob", 1.0, "share of the frames that a training step decodes: below 1 it is faster")
flags.DEFINE_boolean("use_vae", True, "--nouse_vae: a plain auto-encoder")
# The state-space model
flags.DEFINE_integer("dim_a", 2, "size of the code a")
flags.DEFINE_integer("dim_z", 4, "size of the state z")
flags.DEFINE_integer("dim_u", 1, "size of the controls u; taken from the dataset where it has controls")
flags.DEFINE_integer("K", 3, "matrices that are mixed")
flags.DEFINE_float("noise_emission", 0.03, "variance R of a given z")
flags.DEFINE_float("noise_transition", 0.08, "variance Q of a step of z")
flags.DEFINE_float("init_cov", 20.0, "variance of the first z")
# The dynamics network
flags.DEFINE_boolean("alpha_rnn", True, "an LSTM; --noalpha_rnn: dense layers on the last fifo_size codes")
flags.DEFINE_integer("alpha_units", 50, "units of the dynamics network")
flags.DEFINE_integer("alpha_layers", 2, "its dense layers (--noalpha_rnn)")
flags.DEFINE_string("alpha_activation", "relu", "their activation (--noalpha_rnn)")
flags.DEFINE_integer("fifo_size", 1, "codes it remembers (--noalpha_rnn)")
flags.DEFINE_boolean("learn_u", False, "the dynamics network gives the controls too")
# Training
flags.DEFINE_integer("batch_size", 32, "sequences in a batch")
flags.DEFINE_float("init_lr", 0.007, "first learning rate")
flags.DEFINE_float("init_kf_matrices", 0.05, "standard deviation of the first B and C")
flags.DEFINE_float("max_grad_norm", 150.0, "the gradients' global norm is clipped to it")
flags.DEFINE_float("scale_reconstruction", 0.3, "weight of log p(x|a) in the objective")
flags.DEFINE_integer("only_vae_epochs", 0, "epochs that train the encoder and decoder alone")
flags.DEFINE_integer("kf_update_steps", 10, "epochs after those that train A, B, C and a_0 too")
flags.DEFINE_integer(
    "dynamics_epochs", 0, "epochs after num_epochs that train A, B, C and the dynamics network alone: fast"
)
flags.DEFINE_integer(
    "refine_epochs", 0, "epochs after those that train everything again, and dynamics_epochs once more"
)
flags.DEFINE_float("decay_rate", 0.85, "factor on the learning rate")
flags.DEFINE_integer("decay_steps", 20, "epochs between two such factors")
flags.DEFINE_boolean("sample_z", False, "decode the smoothed states' codes instead of the encoder's")
flags.DEFINE_integer("num_epochs", 80, "epochs in all")
flags.DEFINE_float("train_miss_prob", 0.0, "probability that a training frame is missing, the same in every epoch")
flags.DEFINE_integer("t_init_train_miss", 3, "frames observed at the beginning all the same")
flags.DEFINE_enum(
    "bound", "marginal", ["marginal", "sampled"], "the LGSSM's part of the objective; sampled: the original's"
)
flags.DEFINE_boolean("shuffle", True, "a new order of the sequences every epoch")
flags.DEFINE_boolean("mixed_precision", False, "convolutions in bfloat16, the rest in float32: faster")
flags.DEFINE_boolean("jit_compile", None, "XLA for the state-space model; default: for sequences of 64 steps or more")
# Files, seeds, devices
runs.define_flags(presets="paper, demo, best")
flags.DEFINE_string(
    "reload_model", "", "start from these weights: a model.keras of ours, or the original's .../model.ckpt"
)
flags.DEFINE_string("data_dir", str(_ROOT / "datasets"), "folder of the datasets")
# Pictures
flags.DEFINE_integer("generate_step", 20, "epochs between two sets of pictures; also after the first and the last")
flags.DEFINE_integer("n_steps_gen", 80, "frames of a generated video")
flags.DEFINE_integer("t_init_mask", 4, "frames seen before the gap that is imputed")
flags.DEFINE_integer("t_steps_mask", 12, "missing frames of that gap")

_MODEL = (
    "out_distr", "conv", "activation", "filter_size", "num_filters", "vae_num_units", "num_layers", "noise_pixel_var",
    "ll_keep_prob", "use_vae", "dim_a", "dim_z", "dim_u", "K", "noise_emission", "noise_transition", "init_cov",
    "alpha_rnn", "alpha_units", "alpha_layers", "alpha_activation", "fifo_size", "learn_u", "init_kf_matrices",
    "scale_reconstruction", "sample_z", "bound", "jit_compile",
)  # fmt: skip
_TRAINING = (
    "batch_size", "init_lr", "max_grad_norm", "only_vae_epochs", "kf_update_steps", "dynamics_epochs",
    "refine_epochs",
    "decay_rate", "decay_steps", "train_miss_prob", "t_init_train_miss", "shuffle", "seed", "deterministic",
    "mixed_precision",
)  # fmt: skip
_STAGES = ("num_epochs", "only_vae_epochs", "kf_update_steps", "dynamics_epochs", "refine_epochs")
_OTHER = (
    *runs.PLACEMENT, "dataset", "num_epochs", "preset", "reload_model", "run_name", "log_dir", "data_dir", "display_step",
    "generate_step", "n_steps_gen", "t_init_mask", "t_steps_mask",
)  # fmt: skip


def main(argv: list[str]) -> None:
    runs.main(argv, (*_MODEL, *_TRAINING, *_OTHER), "kvae", _presets, _run)


def _presets() -> dict:
    from kvae.training import PRESETS

    return PRESETS


def _run(folder: Path, config: dict) -> None:
    distribution = runs.prepare(config)
    from kvae.data import Missing, training_and_test
    from kvae.evaluation import evaluate_elbo
    from kvae.report import Report
    from kvae.training import stages
    from seqvae.training import Checkpoints, Trainer, exponential_decay

    missing = Missing(config["train_miss_prob"], config["t_init_train_miss"], config["seed"])
    train, test = distribution.chief_first(lambda: training_and_test(config["dataset"], config["data_dir"], missing))
    config = config | ({} if train.dim_u is None else {"dim_u": train.dim_u})
    with distribution.scope():
        model = _model(config, train.image_shape)
    signature = (
        {n: model.get_config()[n] for n in _MODEL} | {n: config[n] for n in _TRAINING} | {"data": train.fingerprint}
    )
    report = Report(
        model,
        test,
        folder,
        seed=config["seed"],
        beside_paper=config["dataset"] == "box",
        **{n: config[n] for n in ("t_init_mask", "t_steps_mask", "n_steps_gen")},
    )

    def after_epoch(epoch, log):
        _print_epoch(log.read()[-1], config, trainer.epochs)
        if epoch == 0 or (epoch + 1) % config["generate_step"] == 0:
            report.pictures(epoch)

    options = {name: config[name] for name in ("batch_size", "seed", "shuffle")}
    runs.claim(folder, distribution)
    trainer = Trainer(
        model,
        train.batches(**options),
        stages(
            model,
            **{name: config[name] for name in _STAGES},
            learning_rate=config["init_lr"],
            codes=lambda: train.codes(model, folder / "codes", distribution, **options),
        ),
        checkpoints=Checkpoints(folder / "checkpoints", signature),
        log_folder=folder,
        learning_rate=exponential_decay(config["init_lr"], config["decay_rate"], config["decay_steps"]),
        clip_norm=config["max_grad_norm"],
        seed=config["seed"],
        evaluate=lambda: evaluate_elbo(model, test, seed=config["seed"]),
        after_epoch=after_epoch,
        distribution=distribution,
    )
    about = (
        f"{len(train)} training and {len(test)} test sequences of {train.steps} frames {train.image_shape}, "
        f"{model.count_params()} weights"
    )
    runs.start(trainer, folder, config, about)
    log = trainer.run()
    if log is None:
        return
    model.save(folder / "model.keras")
    report.pictures(trainer.epochs - 1)
    report.training_curves(log.read())
    print("\n".join(report.summary(report.final())))


def _model(config: dict, image_shape: tuple[int, ...]):
    """A new model, or the one in --reload_model."""
    import kvae
    from seqvae.saved_models import load_model

    source = config["reload_model"]
    if source.endswith(".keras"):
        model = load_model(source, kvae.KVAE)
        if model.image_shape != image_shape:
            raise ValueError(f"--reload_model: {source} is not a Kalman VAE for frames {image_shape}.")
        return model
    if not source:
        dtype = "mixed_bfloat16" if config["mixed_precision"] else "float32"
        return kvae.KVAE(image_shape, **{name: config[name] for name in _MODEL}, dtype=dtype)
    beside = Path(source).parent / "config.json"
    if not beside.exists():
        raise ValueError(f"--reload_model: no {beside}, the configuration of the run that {source} comes from.")
    model = kvae.original.build(beside, image_shape)
    kvae.original.load(model, source)
    return model


def _print_epoch(line: dict, config: dict, epochs: int) -> None:
    if (line["epoch"] + 1) % config["display_step"]:
        return
    terms = "  ".join(f"{name} {line['test_' + name]:.2f}" for name in ("log_px", "log_qa", "lgssm"))
    print(f"epoch {line['epoch'] + 1}/{epochs}  {line['stage']}  {line['seconds']:.1f} s  "
          f"loss {line['train_loss']:.2f}  test ELBO {line['test_elbo']:.2f}  ({terms})", flush=True)  # fmt: skip


if __name__ == "__main__":
    app.run(main)
