"""What Keras' `compile`, `fit`, `evaluate` and `predict` do with any sequence model, on one small
enough to check by hand."""

import inspect
import warnings
from typing import ClassVar, NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf

from seqvae import checks
from seqvae.checks import Place, require, warn_where
from seqvae.data.batches import Batches
from seqvae.model import SequenceModel
from seqvae.objectives import weighted_mean
from seqvae.training import Checkpoints, Stage, Trainer, gradient_step
from tests.tolerances import SAME_FLOAT32

pytestmark = pytest.mark.eager


class Terms(NamedTuple):
    error: tf.Tensor


@keras.saving.register_keras_serializable(package="tests")
class Line(SequenceModel):
    """frames [B, T, 2] are predicted as w * frame; the error is that from 3 * frame."""

    input_name = "frames"
    batch_keys: ClassVar = {"frames": "[B, T, 2], of a line.", "mask": "[B, T]."}
    term_names = Terms._fields

    def __init__(self, regularizer=None, **options):
        super().__init__(**options)
        self.line = keras.layers.Dense(
            2,
            use_bias=False,
            kernel_regularizer=regularizer,
            kernel_initializer="identity",
            dtype=self.dtype_policy,
        )
        self.line.build((None, 2))
        self.built = True

    def call(self, inputs, mask=None):
        batch = self.batch_with(inputs, mask)
        frames = (
            tf.where(tf.cast(batch["mask"], tf.bool)[..., None], batch["frames"], 0.0)
            if "mask" in batch
            else batch["frames"]
        )
        return tf.cast(self.line(frames), self.variable_dtype)

    def loss_terms(self, batch, *, seed=None, training=True):
        frames = tf.cast(batch["frames"], self.variable_dtype)
        error = tf.reduce_sum(
            tf.square(tf.cast(self.line(frames), frames.dtype) - 3.0 * frames), -1
        )
        return Terms(weighted_mean(error, self.frame_weights(batch)))

    def objective(self, terms):
        """The loss: error."""
        return terms.error

    def check_batch(self, batch, place=Place()):  # noqa: B008
        frames = tf.convert_to_tensor(batch["frames"])
        if frames.shape.rank != 3 or frames.shape[-1] != 2:
            raise ValueError(f"frames: expected [B, T, 2], got {tuple(frames.shape)}.")
        bad = ~tf.reduce_all(tf.math.is_finite(frames), [1, 2])
        require(~tf.reduce_any(bad), "frames: NaN in {}, isn't it.", place.row_name(tf.argmax(bad)))
        warn_where(tf.reduce_any(frames > 100.0), "frames: more than 100.")

    def serving_inputs(self):
        return {"frames": keras.layers.InputSpec(shape=(None, None, 2), dtype=self.variable_dtype)}


X = np.random.default_rng(0).normal(size=(6, 3, 2)).astype(np.float32)
MASK = np.array([[1, 1, 0]] * 6, np.float32)
NAN = np.where(np.arange(6)[:, None, None] == 5, np.nan, X).astype(np.float32)


class Parts(keras.utils.PyDataset):
    def __init__(self, *arrays):
        super().__init__()
        self.arrays = arrays

    def __len__(self):
        return len(self.arrays[0]) // 2

    def __getitem__(self, i):
        parts = tuple(array[2 * i : 2 * i + 2] for array in self.arrays)
        return parts if len(parts) > 1 else parts[0]


def dataset(*arrays):
    return tf.data.Dataset.from_tensor_slices(arrays if len(arrays) > 1 else arrays[0]).batch(2)


def trained(*data, model=None, optimizer=None, **options):
    """The weight after one epoch of batches of 2, in order."""
    model = model or Line()
    model.compile(optimizer or keras.optimizers.SGD(0.01))
    model.fit(*data, **(dict(batch_size=2, shuffle=False, verbose=0) | options))
    return model.line.kernel.numpy()


def gradient_of(weights, frames=X):
    """d/dw of the weighted mean of |w x - 3 x|^2 at w = 1, by hand."""
    weights = np.broadcast_to(weights, frames.shape[:2])
    return np.einsum("bt,bti,btj->ij", weights, frames, -4.0 * frames) / weights.sum()


@pytest.fixture(scope="module")
def plain():
    return trained(X)


@pytest.mark.parametrize(
    "data",
    [
        lambda: ({"frames": X},),
        lambda: (X, X),  # an auto-encoder
        lambda: (dataset(X),),
        lambda: (dataset(X, X),),
        lambda: (Parts(X),),
        lambda: (iter([X[:2], X[2:4], X[4:]]),),
        lambda: (tf.constant(X),),
        lambda: ((X, np.ones((6, 3), bool)),),
        lambda: (X, np.ones((6, 3), np.int64)),
        lambda: ({"frames": X.tolist(), "mask": None},),
        lambda: (X, [[1, 1, 1]] * 6),
    ],
    ids=[
        "dict",
        "x, x",
        "tf.data",
        "tf.data of x, x",
        "PyDataset",
        "generator",
        "tensor",
        "pair",
        "int mask",
        "lists and None",
        "list as mask",
    ],
)
def test_fit_takes_every_form_of_the_same_data(plain, data):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`shuffle=True` was passed")
        np.testing.assert_allclose(trained(*data()), plain, **SAME_FLOAT32)


@pytest.mark.parametrize(
    "data",
    [
        lambda: (X, MASK),
        lambda: ((X, MASK),),
        lambda: ({"frames": X, "mask": MASK},),
        lambda: (dataset(X, MASK),),
        lambda: (dataset({"frames": X, "mask": MASK.astype(bool)}),),
        lambda: (Parts(X, MASK),),
    ],
)
def test_masks_reach_training_evaluation_and_prediction(data):
    expected = trained(X[:, :2])
    np.testing.assert_allclose(trained(*data(), shuffle=False), expected, **SAME_FLOAT32)
    model = Line()
    model.compile()
    error = model.evaluate(*data(), batch_size=2, verbose=0, return_dict=True)["error"]
    np.testing.assert_allclose(error, np.mean(np.sum(4.0 * X[:, :2] ** 2, -1)), rtol=1e-5)
    predicted = model.predict(data()[0] if len(data()) == 1 else data(), verbose=0)
    np.testing.assert_allclose(predicted, X * MASK[..., None], **SAME_FLOAT32)
    np.testing.assert_allclose(model(X, mask=MASK), X * MASK[..., None], **SAME_FLOAT32)


def test_weights_of_sequences_count_in_the_objective_and_in_the_averages():
    weights = np.array([1.0, 0.0, 2.0, 0.0, 0.0, 0.0], np.float32)
    one_step = trained(X, sample_weight=weights, batch_size=6)
    np.testing.assert_allclose(
        one_step, np.eye(2) - 0.01 * gradient_of(weights[:, None]), **SAME_FLOAT32
    )
    in_data = trained(tf.data.Dataset.from_tensor_slices((X, np.ones_like(MASK), weights)).batch(6))
    np.testing.assert_allclose(in_data, one_step, **SAME_FLOAT32)
    model = Line()
    model.compile()
    error = model.evaluate(X, sample_weight=weights, batch_size=2, verbose=0, return_dict=True)[
        "error"
    ]
    np.testing.assert_allclose(
        error, np.average(np.mean(np.sum(4 * X**2, -1), 1), weights=weights), rtol=1e-5
    )
    left_out = model.evaluate(X[[0, 2, 2]], batch_size=3, verbose=0, return_dict=True)["error"]
    np.testing.assert_allclose(error, left_out, rtol=1e-5)


def test_regularisers_of_sub_layers_count():
    model = Line(keras.regularizers.L2(0.5))
    found = trained(X, model=model, batch_size=6)
    np.testing.assert_allclose(
        found, np.eye(2) - 0.01 * (gradient_of(1.0) + np.eye(2)), **SAME_FLOAT32
    )
    logs = model.evaluate(X, batch_size=6, verbose=0, return_dict=True)
    np.testing.assert_allclose(logs["loss"] - logs["error"], 0.5 * np.sum(found**2), rtol=1e-4)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_steps_of_a_loss_scale_optimizer_move_the_weights_alike(plain, policy):
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.01), initial_scale=2.0**8
    )
    found = trained(X, model=Line(dtype=policy), optimizer=optimizer)
    np.testing.assert_allclose(found, plain, rtol=2e-2 if policy != "float32" else 1e-5)
    assert np.abs(found - np.eye(2)).max() > 0.05


def test_mixed_float16_is_scaled_without_asking(plain):
    model = Line(dtype="mixed_float16")
    np.testing.assert_allclose(trained(X, model=model), plain, rtol=2e-2)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)


@pytest.mark.slow
def test_an_overflow_in_the_first_step_lowers_the_scale_and_changes_no_weight():
    model = Line(dtype="mixed_float16")
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.01), initial_scale=2.0**30
    )
    found = trained(X, model=model, optimizer=optimizer, batch_size=6)
    np.testing.assert_array_equal(found, np.eye(2))
    assert optimizer.dynamic_scale.numpy() == 2.0**29
    for _ in range(20):
        model.fit(X, batch_size=6, verbose=0)
    assert optimizer.dynamic_scale.numpy() < 2.0**20
    assert np.abs(model.line.kernel.numpy() - np.eye(2)).max() > 0.01


def test_the_norm_that_is_reported_and_clipped_is_without_the_loss_scale():
    model, inner = Line(), keras.optimizers.SGD(1.0)
    optimizer = keras.optimizers.LossScaleOptimizer(inner)
    optimizer.build(model.trainable_variables)
    step = gradient_step(
        model, {"frames": X}, model.trainable_variables, optimizer, seed=None, clip_norm=0.5
    )
    norm = np.linalg.norm(gradient_of(1.0))
    np.testing.assert_allclose(step.gradient_norm, norm, rtol=1e-5)
    np.testing.assert_allclose(
        model.line.kernel, np.eye(2) - gradient_of(1.0) * 0.5 / norm, **SAME_FLOAT32
    )


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (lambda: NAN, "sequence 5"),
        (lambda: dataset(NAN), "sequence 1 of batch 2"),
        (lambda: Parts(NAN), "sequence 1 of batch 2"),
        (lambda: iter([NAN[:2], NAN[2:4], NAN[4:]]), "sequence 1 of batch 2"),
    ],
    ids=["arrays", "tf.data", "PyDataset", "generator"],
)
def test_a_bad_value_is_named_by_fit_evaluate_and_predict(data, place):
    message = f"^frames: NaN in {place}, isn't it."
    model = Line()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`shuffle=True` was passed")
        with pytest.raises(ValueError, match=message):
            trained(data(), model=model)
        with pytest.raises(ValueError, match=message):
            model.evaluate(data(), batch_size=2, verbose=0)
        with pytest.raises(ValueError, match=message):
            model.predict(data(), batch_size=2, verbose=0)
        with pytest.raises(ValueError, match=message):
            trained(
                X,
                model=model,
                validation_data=(data(),) if isinstance(data(), np.ndarray) else data(),
            )
        np.testing.assert_array_equal(
            np.isfinite(trained(X, model=model)), True
        )  # a corrected fit continues


def test_the_step_on_a_bad_batch_is_skipped():
    model = Line()
    with pytest.raises(
        ValueError, match=r"The step on this batch was skipped. The weights are unchanged by it."
    ):
        trained(dataset(NAN), model=model)
    np.testing.assert_allclose(model.line.kernel, trained(X[:4]), **SAME_FLOAT32)


def test_single_batches_are_checked_too():
    model = Line()
    model.compile("sgd")
    for call in (model.train_on_batch, model.test_on_batch, model.predict_on_batch):
        with pytest.raises(ValueError, match="frames: NaN in sequence 5"):
            call(NAN)
    assert np.isfinite(
        model.train_on_batch(X, MASK, sample_weight=np.ones(6), return_dict=True)["error"]
    )


def test_a_warning_comes_from_arrays_and_from_pipelines():
    for data in (1e3 * X, dataset(1e3 * X)):
        with pytest.warns(UserWarning, match="frames: more than 100"):
            trained(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            lambda: ({"frames": X, "masks": MASK},),
            "masks: unknown in a batch, which may have frames, mask, sample_weight.",
        ),
        (lambda: ({"mask": MASK},), "frames: missing in a batch of mask."),
        (lambda: (X[..., :1],), r"frames: expected \[B, T, 2\], got \(6, 3, 1\)"),
        (
            lambda: (X, 1.0 - X),
            "y: expected frames again or a mask, got other values than x in sequence 0",
        ),
        (
            lambda: (dataset(X, 1.0 - X),),
            "y: expected frames again .* in sequence 0 of batch 0",
        ),
        (lambda: ((X, 1.0 - X),), "y: expected frames again or a mask"),
        (lambda: ({"frames": X}, 1.0 - X), "y: expected frames again or a mask"),
        (lambda: ({"frames": X, "mask": MASK}, 1.0 - X), "y: expected frames again or a mask"),
        (
            lambda: (dataset({"frames": X}, 1.0 - X),),
            "y: expected frames again .* in sequence 0 of batch 0",
        ),
        (
            lambda: (X, X[:, 0, 0]),
            r"y: expected a mask \[B, T\] or frames again, got the shape \(6,\)",
        ),
        (lambda: (X, {"frames": X}), "y: expected a mask .* got a dict"),
        (lambda: ((X, MASK, X),), "x: expected frames, or a pair of it and a mask, got 3 arrays"),
        (lambda: (np.ma.masked_array(X, X > 1),), "^frames: .*a masked array, whose mask would be"),
        (lambda: (Parts(np.ma.masked_array(X, X > 1)),), "^frames: .*a masked array"),
        (lambda: ({"frames": X, "mask": np.ma.masked_array(MASK, MASK < 1)},), "^mask: .*a masked"),
    ],
)
def test_data_that_would_be_ignored_or_misread_are_refused(data, message):
    with pytest.raises(ValueError, match=message):
        trained(*data())


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (-np.ones(6), "sample_weight: expected finite numbers of at least 0, got -1 to -1"),
        (np.full(6, np.nan), "sample_weight: expected finite"),
        (
            MASK,
            r"sample_weight: expected one weight for each sequence, the shape \[B\], got \[6, 3\]",
        ),
    ],
)
def test_weights_that_make_no_sense_are_refused(weight, message):
    with pytest.raises(ValueError, match=message):
        trained(X, sample_weight=weight)


def test_what_a_model_with_its_own_objective_cannot_use_is_refused():
    model = Line()
    for name in ("loss", "metrics", "weighted_metrics", "loss_weights"):
        with pytest.raises(
            ValueError,
            match=f"^{name}: expected none. Line is trained on its own objective, error, and",
        ):
            model.compile("sgd", **{name: ["mse"]})
    model.compile("sgd")
    for call in (model.fit, model.train_on_batch):
        with pytest.raises(ValueError, match="class_weight: expected none"):
            call(X, class_weight={0: 1.0})


def test_a_subclass_adds_layers_and_metrics_after_the_constructor():
    class More(Line):
        def __init__(self):
            super().__init__()
            self.extra = keras.layers.Dense(2)
            self.steps = keras.metrics.Sum("steps")

        def loss_terms(self, batch, **options):
            self.steps.update_state(1.0)
            terms = super().loss_terms(batch, **options)
            return Terms(terms.error + tf.reduce_mean(tf.square(self.extra(batch["frames"]))))

        def call(self, inputs, mask=None):
            return self.extra(super().call(inputs, mask))

    model = More()
    model.compile("sgd")
    history = model.fit(X, batch_size=2, epochs=2, verbose=0).history
    assert history["steps"] == [3.0, 3.0]
    assert len(model.trainable_variables) == 3
    assert history["error"][1] < history["error"][0]


def test_arguments_that_fit_and_predict_do_not_have_are_named():
    model = Line()
    model.compile("sgd")
    with pytest.raises(ValueError, match=r"mask: expected in the data, .* or a pair, got an arg"):
        model.fit(X, mask=MASK)
    with pytest.raises(ValueError, match="batch_size: expected an integer of at least 1, got arr"):
        model.predict(X, MASK)
    with pytest.raises(ValueError, match=r"inputs: .*a masked array"):
        model(np.ma.masked_array(X, X > 1))
    with pytest.raises(ValueError, match=r"frames: .*a masked array"):
        checks.tensor("frames", [np.ma.masked_array(X[0], X[0] > 1), X[1]])
    for half in ("float16", "bfloat16"):
        with pytest.raises(ValueError, match=f"got {half}. Use mixed_{half}, which keeps weights"):
            Line(dtype=half)


def test_weights_go_to_an_h5_file_of_any_name_and_back(tmp_path):
    model, other = Line(), Line()
    trained(X, model=model)
    for name in ("a.h5", "folder/b.weights.h5"):
        other.line.kernel.assign(np.zeros((2, 2)))
        model.save_weights(tmp_path / name)
        other.load_weights(tmp_path / name)
        np.testing.assert_array_equal(other.line.kernel, model.line.kernel)
    with pytest.raises(ValueError, match=r"a.h5 exists already"):
        model.save_weights(tmp_path / "a.h5", overwrite=False)
    with pytest.raises(ValueError, match=r"expected a name that ends in .h5, got 'a.npz'"):
        model.save_weights(tmp_path / "a.npz")
    with pytest.raises(FileNotFoundError, match=r"none.h5: no such file"):
        model.load_weights(tmp_path / "none.h5")


def test_averages_of_weights_are_swapped_in_for_the_validation():
    model = Line()
    model.compile(keras.optimizers.Adam(0.1, clipnorm=1.0, use_ema=True, ema_momentum=0.5))
    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    history = model.fit(
        X, batch_size=2, epochs=3, verbose=0, validation_data=(X,), callbacks=[swap]
    ).history
    assert history["val_loss"][-1] < history["val_loss"][0]


def test_a_saved_model_continues_with_its_optimiser(tmp_path):
    model = Line()
    trained(X, model=model, optimizer=keras.optimizers.Adam(0.01))
    model.save(tmp_path / "line.keras")
    again = keras.models.load_model(tmp_path / "line.keras")
    for each in (model, again):
        each.fit(X, batch_size=2, shuffle=False, verbose=0)
    np.testing.assert_array_equal(again.line.kernel, model.line.kernel)
    assert again.optimizer.iterations == 6


@pytest.mark.slow
def test_an_exported_model_needs_no_signature(tmp_path):
    model = Line()
    model.export(tmp_path / "line", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "line")
    served = loaded.serve({"frames": tf.constant(X)})
    np.testing.assert_allclose(served, model.predict(X, verbose=0), **SAME_FLOAT32)


@pytest.mark.slow
def test_fit_under_a_strategy_of_one_device(plain):
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        model, optimizer = Line(), keras.optimizers.SGD(0.01)
        np.testing.assert_allclose(
            trained(X, model=model, optimizer=optimizer), plain, **SAME_FLOAT32
        )


def test_fit_runs_eagerly(plain):
    model = Line()
    model.compile(keras.optimizers.SGD(0.01), run_eagerly=True)
    model.fit(X, batch_size=2, shuffle=False, verbose=0)
    np.testing.assert_allclose(model.line.kernel, plain, **SAME_FLOAT32)


def test_the_loop_skips_steps_that_overflow_in_float16(tmp_path):
    model = Line(dtype="mixed_float16")
    trainer = Trainer(
        model,
        Batches({"frames": 30.0 * X}, 2, shuffle=False),
        [Stage("all", 4, tuple(model.trainable_variables))],
        checkpoints=Checkpoints(tmp_path, {}),
        log_folder=tmp_path,
        learning_rate=lambda epoch: 1e-5,
        optimizer=lambda: keras.optimizers.LossScaleOptimizer(
            keras.optimizers.SGD(), initial_scale=2.0**6
        ),
        quiet=True,
    )
    log = trainer.run().read()
    assert np.isfinite([line["train_loss"] for line in log]).all()
    assert trainer.optimizer.dynamic_scale.numpy() < 2.0**6
    assert np.abs(model.line.kernel.numpy() - np.eye(2)).max() > 0.01


def test_the_help_of_fit_names_the_keys_of_a_batch():
    assert "frames: [B, T, 2], of a line." in Line.fit.__doc__
    assert "mask: [B, T]." in Line.fit.__doc__
    assert list(inspect.signature(Line.fit).parameters)[:3] == ["self", "x", "y"]


def test_weights_that_are_given_twice_are_refused():
    with pytest.raises(ValueError, match="sample_weight: given twice"):
        trained({"frames": X, "sample_weight": np.ones(6)}, sample_weight=np.ones(6))


@pytest.mark.slow
def test_every_step_draws_its_own_noise_where_gradients_are_accumulated():
    seeds = []

    class Seeds(Line):
        def loss_terms(self, batch, *, seed=None, training=True):
            seeds.append(tuple(seed.numpy()))
            return super().loss_terms(batch)

    model = Seeds()
    model.compile(keras.optimizers.SGD(0.01, gradient_accumulation_steps=2), run_eagerly=True)
    model.fit(X, batch_size=2, verbose=0, epochs=2)
    assert len(set(seeds)) == 6


@pytest.mark.slow
def test_ten_models_in_one_process_bring_no_warning_of_retracing(caplog):
    with caplog.at_level("WARNING", "tensorflow"):
        for _ in range(7):
            trained(X, validation_data=(X,))
    assert "retracing" not in caplog.text


def test_a_compiled_local_function_may_use_only_self_from_outside():
    model, factor = Line(), 2.0

    def compute(x):
        return factor * x

    with pytest.raises(AssertionError, match=r"compute: pass \{'factor'\} as arguments"):
        model._run(compute, tf.ones([1]))
