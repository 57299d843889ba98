"""`SequenceModel`, the base class: `compile`, `fit`, `evaluate` and `predict` for models that the
GradientTape loop also trains.
"""

import functools
import inspect
import itertools
import os
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self, cast

import keras
import numpy as np
import tensorflow as tf

from seqvae import checks, recurrent, replicas, saved_models
from seqvae.checks import NOWHERE, Array, Place
from seqvae.presets import Presets, load_preset, save_preset
from seqvae.randomness import Seed, fold, stateless_seed
from seqvae.training.checked_data import check_arrays, checked, is_arrays
from seqvae.training.gradient_step import gradient_step, loss_scaled, regularisation


class SequenceModel(keras.Model):
    """A Keras model of sequences.

    A batch is a dict. `fit`, `evaluate` and `predict` take such dicts, or what `batch_of` converts
    to one: the input alone, (input, mask), (input, input), each with an optional `sample_weight` as
    Keras passes it. Values are checked before a step uses them.

    A subclass defines `input_name`, `batch_keys`, `term_names`, `loss_terms`, `objective`,
    `check_batch` and `serving_inputs`.

    Args:
        seed: seed of the random draws in calls that do not pass one; None: Keras' global seed.
    """

    input_name: str
    """The key of a batch's main input."""
    batch_keys: dict[str, str]
    """The keys that a batch may have besides `sample_weight`, each with its shape and meaning;
    shown by `help(fit)`.
    """
    term_names: tuple[str, ...]
    """The names of the terms that `loss_terms` returns, in the order they are reported."""
    presets: ClassVar = Presets()
    """The trained models in the package: the titles of their cards by name."""
    alternatives: tuple[str, ...] = ()
    """Keys of alternative inputs, of which a batch has one."""
    masks_numbers: bool = False
    """Whether a mask may have the shape of the input, one entry per number."""

    def __init__(self, *, seed: int | None = None, **kwargs: Any):
        # autocast=False: only the layers inside cast; the model's own weights and inputs keep their
        # precision
        super().__init__(autocast=False, **kwargs)
        if self.variable_dtype in ("float16", "bfloat16"):
            raise ValueError(
                f"dtype: expected float32, float64 or a mixed policy, got {self.variable_dtype}. "
                f"Use mixed_{self.variable_dtype}, which keeps weights and sums in float32."
            )
        self.supports_masking = True  # a mask is an argument of `call`, or a key of the batch
        self._seeds = keras.random.SeedGenerator(seed)
        self._compiled = {}
        precision = "float64" if self.variable_dtype == "float64" else "float32"
        self._trackers = {
            name: keras.metrics.Mean(name, dtype=precision) for name in ("loss", *self.term_names)
        }

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        if "batch_keys" in vars(cls):
            cls.fit = _documented(cls.fit, cls)

    def __call__(self, *args: Any, **kwargs: Any):
        """Call the model, as `keras.Model`.

        Args:
            *args: the inputs of `call`.
            **kwargs: the other arguments of `call`.

        Returns:
            The outputs of `call`.

        Raises:
            ValueError: an input is a masked array, whose mask Keras would drop.
        """
        for value in keras.tree.flatten((args, kwargs)):
            checks.refuse_masked_array("inputs", value)
        return super().__call__(*args, **kwargs)

    def loss_terms(self, batch: dict, *, seed: Seed | None = None, training: bool = True):
        """Compute the unweighted terms of the objective.

        Args:
            batch: a batch; its `sample_weight` [B] weights the sequences in each mean.
            seed: seed of the random draws; None: the model's next seed.
            training: whether layers such as dropout are in training mode.

        Returns:
            A NamedTuple of scalars with the fields `term_names`.
        """
        raise NotImplementedError

    def with_noise(self, batch: dict, seed: tf.Tensor) -> dict:
        """Add the random draws that must be made outside XLA, where random numbers would differ.

        Args:
            batch: a batch.
            seed: [2] int32.

        Returns:
            The batch with the draws; by default the batch itself.
        """
        del seed
        return batch

    def objective(self, terms: Any) -> tf.Tensor:
        """Combine the terms into the loss. Terms are weighted here and nowhere else.

        Args:
            terms: what `loss_terms` returns.

        Returns:
            The loss, a scalar.
        """
        raise NotImplementedError

    def check_batch(self, batch: dict, place: Place = NOWHERE) -> None:
        """Check the shapes and values of a batch, in eager mode or in the graph of a data pipeline.

        Args:
            batch: a batch.
            place: where the batch comes from, for messages.

        Raises:
            ValueError: names the key, what was expected, what came, and where
                (`seqvae.checks.require`).
        """
        raise NotImplementedError

    def serving_inputs(self):
        """The input of an exported model: each a `keras.InputSpec` with a name, shape and type."""
        raise NotImplementedError

    def count(self, batch: dict) -> tf.Tensor:
        """Compute the weight of a batch's terms in an average over batches.

        Args:
            batch: a batch.

        Returns:
            A scalar: the sum of the observed frames, each times its sequence's `sample_weight`.
        """
        return tf.reduce_sum(self.frame_weights(batch, tf.float32))

    def frame_weights(self, batch: dict, dtype: tf.DType | str | None = None) -> tf.Tensor:
        """Compute each frame's weight: `mask` times `sample_weight`, 1 where a batch has neither.

        Args:
            batch: a batch.
            dtype: of the result; None: the type of the model's weights.

        Returns:
            [B, T].
        """
        dtype = dtype or self.variable_dtype
        if "mask" in batch:
            weights = tf.cast(batch["mask"], dtype)
        else:
            any_value = next(value for name, value in batch.items() if name != "sample_weight")
            weights = tf.ones(tf.shape(any_value)[:2], dtype)
        if "sample_weight" in batch:
            weights *= tf.cast(batch["sample_weight"], dtype)[:, None]
        return weights

    def test_terms(self, batch: dict, seed: tf.Tensor) -> NamedTuple:
        """Compute `loss_terms` outside training, in a graph compiled once for batches of any size.

        Args:
            batch: a batch.
            seed: [2] int32.

        Returns:
            The NamedTuple of `loss_terms`.
        """
        return self._run(self._test_terms, batch, seed)

    def _test_terms(self, batch, seed):
        return self.loss_terms(batch, seed=seed, training=False)

    # --- what Keras calls ---

    def compile(
        self,
        optimizer: str | dict | keras.optimizers.Optimizer = "rmsprop",
        loss: Any = None,
        **options: Any,
    ):
        """Configure training as `keras.Model.compile` does, with the model's own loss and metrics.

        Args:
            optimizer: as in Keras. With the policy mixed_float16 it gets a loss scale, unless
                `auto_scale_loss` is False.
            loss: must be None.
            **options: other options of Keras, except `loss_weights`, `metrics` and
                `weighted_metrics`.

        Raises:
            ValueError: a loss, loss weights or metrics are given.
        """
        given = {"loss": loss} | {
            n: options.get(n) for n in ("loss_weights", "metrics", "weighted_metrics")
        }
        for name, value in given.items():
            if value:
                raise ValueError(
                    f"{name}: expected none. {type(self).__name__} is trained on its own "
                    f"objective, {self._about_objective()}, and reports "
                    f"{', '.join(self.term_names)}. For "
                    "another loss, override `objective` in a subclass; for your own figures, call "
                    "the model's methods in a keras.callbacks.Callback."
                )
        optimizer = keras.optimizers.get(optimizer)
        if options.get("auto_scale_loss", True):
            optimizer = loss_scaled(optimizer, self.dtype_policy)
        super().compile(optimizer=optimizer, loss=None, **options)

    def get_compile_config(self) -> dict | None:
        """Return the configuration of `compile` and the KL's weight, which belongs to training.

        Returns:
            The configuration; None: the model is not compiled.
        """
        config = super().get_compile_config()
        weight = getattr(self, "kl_weight", None)
        if config and weight is not None:
            config["kl_weight"] = float(weight)
        return config

    def compile_from_config(self, config: dict):
        """Compile a loaded model as the saved one was.

        Keras does this only for models that do not override `compile`.

        Args:
            config: what `get_compile_config` returned.
        """
        config = dict(config)
        weight = config.pop("kl_weight", None)
        if weight is not None:
            cast(Any, self).kl_weight.assign(weight)
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def _about_objective(self) -> str:
        """The formula in the first sentence of `objective`'s docstring."""
        return (
            (inspect.getdoc(self.objective) or "")
            .partition("\n\n")[0]
            .split(". ")[0]
            .removeprefix("The loss: ")
            .removesuffix(".")
        )

    def fit(self, x: Any = None, y: Any = None, *args: Any, **options: Any):
        """Train the model. `_documented` adds the keys of the subclass' batches to this text.

        Args:
            x: the data: arrays, a data set or a generator of batches.
            y: a mask, the input again, or None.
            *args: as `keras.Model.fit`.
            **options: as `keras.Model.fit`, without class_weight.

        Returns:
            keras.callbacks.History.

        Raises:
            ValueError: names the key, what was expected, what came, and which sequence of which
                batch.
        """
        data, options = self._arguments_of(keras.Model.fit, x, y, args, options)
        if options.pop("class_weight", None) is not None:
            raise ValueError(
                "class_weight: expected none, sequences have no classes. Pass sample_weight=[B]."
            )
        options = self._checked_validation(options)
        if (
            self.compiled
            and not self.optimizer.built
            and all(layer.built for layer in self._flatten_layers())
        ):
            with self.distribute_strategy.scope():
                # before Keras does: BackupAndRestore restores only variables that exist
                self.optimizer.build(self.trainable_variables)
        with checks.as_value_errors(
            "The step on this batch was skipped. The weights are unchanged by it."
        ):
            return super().fit(*data[:2], sample_weight=data[2], **options)

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **options: Any):
        """Compute the loss and the mean terms on test data.

        Args:
            x: the data, as for `fit`.
            y: as for `fit`.
            *args: as `keras.Model.evaluate`.
            **options: as `keras.Model.evaluate`.

        Returns:
            As `keras.Model.evaluate`.

        Raises:
            ValueError: a batch is invalid.
        """
        if options.get("_use_cached_eval_dataset"):  # `fit` validates: its data are checked already
            return super().evaluate(x, y, *args, **options)
        data, options = self._arguments_of(keras.Model.evaluate, x, y, args, options)
        with checks.as_value_errors():
            return super().evaluate(*data[:2], sample_weight=data[2], **options)

    def predict(self, x: Any, *args: Any, **options: Any):
        """Compute the outputs of `call`, batch by batch.

        Args:
            x: the data, as for `fit`.
            *args: as `keras.Model.predict`.
            **options: as `keras.Model.predict`.

        Returns:
            The outputs of all batches, joined.

        Raises:
            ValueError: a batch is invalid.
        """
        data, options = self._arguments_of(keras.Model.predict, x, None, args, options)
        with checks.as_value_errors():
            return super().predict(data[0], **options)

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Array | None = None,
        class_weight: dict | None = None,
        return_dict: bool = False,
    ):
        """Take one training step, as `keras.Model.train_on_batch`.

        Args:
            x: the batch, as for `fit`.
            y: as for `fit`.
            sample_weight: [B], at least 0; None: 1 for each sequence.
            class_weight: must be None.
            return_dict: whether the metrics are returned as a dict.

        Returns:
            As `keras.Model.train_on_batch`.

        Raises:
            ValueError: the batch is invalid, or class_weight is given.
        """
        if class_weight is not None:
            raise ValueError(
                "class_weight: expected none, sequences have no classes. Pass sample_weight=[B]."
            )
        x, y, sample_weight = self._checked_data(x, y, sample_weight)
        return super().train_on_batch(x, y, sample_weight=sample_weight, return_dict=return_dict)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Array | None = None, return_dict: bool = False
    ):
        """Compute the metrics of one batch, as `keras.Model.test_on_batch`.

        Args:
            x: the batch, as for `fit`.
            y: as for `fit`.
            sample_weight: [B], at least 0; None: 1 for each sequence.
            return_dict: whether the metrics are returned as a dict.

        Returns:
            As `keras.Model.test_on_batch`.

        Raises:
            ValueError: the batch is invalid.
        """
        x, y, sample_weight = self._checked_data(x, y, sample_weight)
        return super().test_on_batch(x, y, sample_weight=sample_weight, return_dict=return_dict)

    def predict_on_batch(self, x: Any):
        """Compute the outputs of `call` for one batch.

        Args:
            x: the batch, as for `fit`.

        Returns:
            The outputs.

        Raises:
            ValueError: the batch is invalid.
        """
        return super().predict_on_batch(self._checked_data(x, None, None)[0])

    def make_train_function(self, force: bool = False):
        """Make Keras' training function, see `_ByRank`.

        Args:
            force: whether an existing function is replaced.
        """
        if self.train_function is None or force:
            self.train_function = _ByRank(self, "train_function", super().make_train_function)

    def make_test_function(self, force: bool = False):
        """Make Keras' test function, see `_ByRank`.

        Args:
            force: whether an existing function is replaced.
        """
        if self.test_function is None or force:
            self.test_function = _ByRank(self, "test_function", super().make_test_function)

    def make_predict_function(self, force: bool = False):
        """Make Keras' prediction function, see `_ByRank`.

        Args:
            force: whether an existing function is replaced.
        """
        if self.predict_function is None or force:
            self.predict_function = _ByRank(self, "predict_function", super().make_predict_function)

    def train_step(self, data: Any):
        """Take one step of gradient descent; called by Keras.

        Args:
            data: what the data set yields.

        Returns:
            The metrics by name.
        """
        # The seed depends on the steps taken, not on the generator's state: a run that Keras
        # restores draws the same noise.
        seed = fold(stateless_seed(self._seeds.state[0], self._seeds), _steps_taken(self.optimizer))
        with replicas.keras_rows(self.batch_of(data)) as batch:
            step = gradient_step(self, batch, None, self.optimizer, seed=seed)
            return self._track(batch, step.loss, step.terms)

    def test_step(self, data: Any):
        """Compute the metrics of one batch; called by Keras.

        Args:
            data: what the data set yields.

        Returns:
            The metrics by name.
        """
        with replicas.keras_rows(self.batch_of(data)) as batch:
            terms = self.loss_terms(batch, training=False)
            loss = self.objective(terms)
            return self._track(batch, loss + regularisation(self, loss.dtype), terms)

    def predict_step(self, data: Any):
        """Compute the outputs of one batch; called by Keras.

        Args:
            data: what the data set yields.

        Returns:
            The outputs of `call`.
        """
        return self(self.batch_of(data), training=False)

    def compute_mask(self, inputs: Any, previous_mask: Any):
        """Return None: outputs pass no mask to a next layer.

        Args:
            inputs: unused.
            previous_mask: unused.
        """
        return None

    @property
    def weights(self):
        """All variables."""
        return _ById(super().weights)

    @property
    def metrics(self):
        """The loss, the terms, and the metrics of the layers."""
        own = list(self._trackers.values())
        others = [
            m
            for m in super().metrics
            if m is not self._loss_tracker and all(m is not mine for mine in own)
        ]
        return own + others

    def export(
        self,
        filepath: str | os.PathLike,
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        **options: Any,
    ):
        """Export the model as `keras.Model.export` does.

        A model that was exported on a GPU also runs on a CPU.

        Args:
            filepath: the folder or file to write.
            format: as in Keras.
            verbose: as in Keras.
            input_signature: the inputs; None: `serving_inputs`.
            **options: as in Keras.

        Returns:
            As `keras.Model.export`.
        """
        if input_signature is None:
            input_signature = [self.serving_inputs()]
        with recurrent.without_cudnn():
            return super().export(
                filepath, format, verbose, input_signature=input_signature, **options
            )

    def save_weights(self, filepath: str | os.PathLike, overwrite: bool = True, **options: Any):
        """Write the weights, as `keras.Model.save_weights`, atomically.

        Args:
            filepath: a name that ends in .h5; .weights.h5 is not required.
            overwrite: whether an existing file is replaced.
            **options: as in Keras.

        Raises:
            ValueError: the name has another ending, or the file exists and `overwrite` is False.
        """
        saved_models.save_weights(
            super().save_weights, Path(filepath), overwrite=overwrite, **options
        )

    def load_weights(self, filepath: str | os.PathLike, **options: Any):
        """Read the weights, as `keras.Model.load_weights`. If it fails, the weights are unchanged.

        Args:
            filepath: a name that ends in .h5; .weights.h5 is not required.
            **options: as in Keras.
        """
        before = self.get_weights()
        try:
            saved_models.load_weights(super().load_weights, Path(filepath), **options)
        except Exception:
            self.set_weights(before)  # Keras loads layer by layer: some may have been changed
            raise

    @classmethod
    def from_preset(cls, preset: str | os.PathLike) -> Self:
        """Load a trained model.

        Args:
            preset: a name of `presets`, a folder of `save_to_preset`, or `hf://user/name` of the
                Hugging Face Hub (with the extra `hf`).

        Returns:
            The model.

        Raises:
            ImportError: `hf://` without the extra.
            ValueError: no such preset, a damaged one, or one of another class.
        """
        return cast(Self, load_preset(preset, cls))

    def save_to_preset(self, folder: str | os.PathLike, card: str = "", half: bool = False) -> None:
        """Write the model to a folder in Keras' own format, without the optimiser's state.

        `from_preset` and the Hugging Face Hub can read the folder.

        Args:
            folder: the folder, which is made.
            card: Markdown about data, training, figures and limits, written as `README.md`.
            half: whether weights are written in float16.

        Raises:
            ValueError: `half`, and a weight is above float16's largest number.
        """
        save_preset(self, folder, card, half)

    # --- batches ---

    def batch_of(self, data: Any) -> dict:
        """Convert what a Keras data set yields to a batch.

        Args:
            data: `x`, `(x, y)` or `(x, y, sample_weight)`. x is a dict, or the input alone. y is
                the mask, or the input again, as auto-encoders are often trained. A pair as x is
                read as (x, y).

        Returns:
            The batch, a dict.

        Raises:
            ValueError: x or y has another form, or `sample_weight` is given twice.
        """
        x, y, weight = self._unpacked(data)
        batch = dict(x) if isinstance(x, dict) else {self.input_name: x}
        if y is not None:
            batch |= self._keys_of_y(batch, y)
        if weight is not None and "sample_weight" in batch:
            raise ValueError(
                "sample_weight: given twice, as a key of the batch and as an argument; expected "
                "one of them."
            )
        if weight is not None:
            batch["sample_weight"] = weight
        if "sample_weight" in batch:
            batch["sample_weight"] = checks.check_sample_weight(batch["sample_weight"])
        return batch

    def batch_with(self, inputs: Any, mask: Any) -> dict:
        """Build the batch of `call`: `batch_of(inputs)`, and the mask if one is given.

        Args:
            inputs: the inputs of `call`.
            mask: the mask of `call`. For inputs that are a structure, Keras passes a structure of
                masks, most of them None.

        Returns:
            The batch, a dict.

        Raises:
            ValueError: the second of two inputs is neither a mask nor the same array as the first.
        """
        batch = self.batch_of(inputs)
        if tf.executing_eagerly():  # in a graph, `_check_data` has checked the pipeline
            self._check_target(inputs, batch, NOWHERE)
        mask = mask.get(self.input_name) if isinstance(mask, dict) else mask
        return (
            batch if all(part is None for part in tf.nest.flatten(mask)) else batch | {"mask": mask}
        )

    def _unpacked(self, data) -> tuple:
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        if y is None and isinstance(x, tuple | list):
            if len(x) != 2:
                raise ValueError(
                    f"x: expected {self.input_name}, or a pair of it and a mask, got {len(x)} "
                    "arrays."
                )
            x, y = x
        return x, y, weight

    def _keys_of_y(self, batch: dict, y) -> dict:
        """What y adds to the batch: a mask, or nothing if y repeats the input."""
        x = batch.get(self.input_name)
        if "mask" in self.batch_keys and "mask" not in batch and not isinstance(y, dict):
            of_numbers = (
                self.masks_numbers
                and x is not None
                and _is_float(x)
                and not _is_float(y)
                and len(y.shape) == len(x.shape)
            )
            if len(y.shape) == 2 or of_numbers:
                return {"mask": y}
        if isinstance(y, dict) or x is None or len(x.shape) != len(y.shape):
            raise ValueError(
                f"y: expected {'a mask [B, T] or ' if 'mask' in self.batch_keys else ''}"
                f"{self.input_name} again, got "
                f"{'a dict' if isinstance(y, dict) else f'the shape {tuple(y.shape)}'}."
            )
        return {}

    def _check_data(self, data, place: Place) -> None:
        """`check_batch` for what a data set yields."""
        for path, value in keras.tree.flatten_with_path(data):
            name = path[-1] if path and isinstance(path[-1], str) else self.input_name
            checks.refuse_masked_array(name, value)
        batch = self.batch_of(data)
        self.require_keys(batch)
        self.check_batch(batch, place)
        if "sample_weight" in batch:
            checks.check_sample_weight_values(batch["sample_weight"])
        self._check_target(data, batch, place)

    def _check_target(self, data, batch: dict, place: Place) -> None:
        """Check that y repeats x if it is not a mask: another target would be ignored."""
        x, y, _ = self._unpacked(data)
        given = dict(x) if isinstance(x, dict) else {self.input_name: x}
        if y is not None and not self._keys_of_y(given, y):
            form = "is bool, or in" if self.masks_numbers else "is given in"
            about = (
                f" A mask of single numbers {form} a dict of {self.input_name} and mask."
                if "mask" in self.batch_keys
                else ""
            )
            message = (
                f"y: expected {self.input_name} again or a mask, got other values than x in "
                f"{{}}. The model is trained to reconstruct x.{about}"
            )
            _check_same(batch[self.input_name], y, message, place)

    def require_keys(self, batch: dict) -> None:
        """Check the keys of a batch.

        Args:
            batch: a batch.

        Raises:
            ValueError: a key is unknown, or the input is missing.
        """
        checks.check_keys(batch, [*self.batch_keys, "sample_weight"])
        given = [key for key in self.alternatives if key in batch]
        if len(given) > 1:
            raise ValueError(
                f"{' and '.join(given)}: expected one of them in a batch, got both. Only one would "
                "be used."
            )
        if self.input_name not in batch and not self._has_input(batch):
            raise ValueError(
                f"{self.input_name}: missing in a batch of {', '.join(batch) or 'nothing'}."
            )

    def _has_input(self, batch: dict) -> bool:
        """Whether a batch without `input_name` has another input instead."""
        del batch
        return False

    def _checked_data(self, x, y, sample_weight) -> tuple:
        """(x, y, sample_weight) as Keras takes them: arrays are checked now, a data set when it is
        read.
        """
        if y is x:  # an auto-encoder's target
            y = None
        if isinstance(x, dict):
            x = {name: _as_array(name, value) for name, value in x.items() if value is not None}
        y, sample_weight = _as_array("y", y), _as_array("sample_weight", sample_weight)
        if not is_arrays(x):
            return checked(x, self._check_data), y, sample_weight
        data = (x, y, sample_weight)
        check_arrays(data, self._check_data)
        return self.batch_of(data), None, None  # Keras would drop a sample_weight without y

    def _arguments_of(self, method, x, y, args, options: dict) -> tuple[tuple, dict]:
        """The checked data, and the other arguments of a call by name."""
        skip = 2 if "y" not in inspect.signature(method).parameters else 3
        names = list(inspect.signature(method).parameters)[skip:]
        options = options | dict(zip(names, args, strict=False))
        if "mask" in options:
            raise ValueError(
                f"mask: expected in the data, {{'{self.input_name}': ..., 'mask': ...}} or a pair, "
                "got an argument."
            )
        size = options.get("batch_size")
        if size is not None:
            checks.check_size("batch_size", size)
        return self._checked_data(x, y, options.pop("sample_weight", None)), options

    def _checked_validation(self, options: dict) -> dict:
        if options.get("validation_data") is None:
            return options
        data = keras.utils.unpack_x_y_sample_weight(options["validation_data"])
        x, y, weight = self._checked_data(*data)
        packed = x if y is None and weight is None else (x, y, weight)
        return options | {"validation_data": packed}

    def _track(self, batch, loss, terms):
        count = replicas.zero_if_copied(self.count(batch))
        for name, value in {"loss": loss, **terms._asdict()}.items():
            self._trackers[name].update_state(value, sample_weight=count)
        # A batch may have fewer terms than the model: the others are not reported, because their
        # means would be 0.
        absent = [
            t for name, t in self._trackers.items() if name != "loss" and name not in terms._fields
        ]
        return {
            metric.name: metric.result()
            for metric in self.metrics
            if all(metric is not t for t in absent)
        }

    def _run(self, method, *args, jit_compile: bool | None = None):
        """Call a method through its own tf.function: a scan run eagerly takes seconds.

        The method may be a local function of the caller, which is a new object in each call. The
        first one is compiled and used in all later calls, so `self` is the only variable of the
        caller that it may use; everything else is passed in `args`.
        """
        captured = set(method.__code__.co_freevars) - {"self"}
        assert not captured, f"{method.__qualname__}: pass {captured} as arguments"
        # Masks of frames and of pixels differ in rank; one graph for both would have unknown rank.
        # TensorFlow would reuse a trace with cuDNN inside an XLA function. The key is a string
        # because a SavedModel cannot store dictionaries with other keys.
        ranks = [str(arg.shape.rank) for arg in args if tf.is_tensor(arg)]
        cudnn = [] if recurrent.cudnn_allowed() else ["without_cudnn"]
        name = "_".join([method.__qualname__, *ranks, *cudnn])
        if name not in self._compiled:
            # XLA compiles for one shape; a plain graph works for all shapes.
            options = dict(jit_compile=True) if jit_compile else dict(reduce_retracing=True)
            # partial: TensorFlow counts traces by function, and would warn after ten models that
            # are traced once each
            self._compiled[name] = tf.function(
                functools.partial(method), autograph=False, **options
            )
        return self._compiled[name](*args)


def _documented(fit, model: type[SequenceModel]):
    """`fit` with a docstring that lists the keys of the model's batches."""

    @functools.wraps(fit)
    def documented(self, x=None, y=None, *args, **options):
        return fit(self, x, y, *args, **options)

    keys = "".join(f"\n        {name}: {about}" for name, about in model.batch_keys.items())
    documented.__doc__ = f"""Train the model.

    A batch is a dict with the keys:
{keys}
        sample_weight: [B], at least 0: the weights of the sequences in every mean.

    Args:
        x: `{model.input_name}`, a pair of it and a mask (where the model takes one), or a batch:
            arrays, tensors, a tf.data.Dataset, a keras.utils.PyDataset, or a generator of batches.
        y: a mask, `{model.input_name}` again, or None.
        *args: as `keras.Model.fit`.
        **options: as `keras.Model.fit`, without class_weight.

    Returns:
        keras.callbacks.History: loss, {", ".join(model.term_names)} of every epoch.

    Raises:
        ValueError: names the key, what was expected, what came, and which sequence of which batch.
    """
    return documented


class _ById(list):
    """A list of variables in which `in` compares by identity.

    Keras' writer of .h5 files asks `variable in model.weights`, which would compare values.
    """

    def __contains__(self, variable: object) -> bool:
        return any(variable is each for each in self)


class _ByRank:
    """Keras' function of a step, one for each combination of ranks of the batches' arrays.

    A mask has the rank of frames or of pixels. TensorFlow would trace one function for both, in
    which the rank is unknown.

    Args:
        model: the model.
        name: the model's attribute that Keras keeps the function in.
        make: Keras' method that makes it.
    """

    def __init__(self, model: keras.Model, name: str, make: Callable[[bool], object]):
        self._model, self._name, self._make, self._made = model, name, make, {}

    def __call__(self, data: Any) -> Any:
        """Take a step.

        Args:
            data: an iterator of batches, or a list of batches.

        Returns:
            What Keras' function returns.
        """
        structure = data
        if isinstance(data, Generator):  # `train_on_batch`
            structure = next(data)
            data = itertools.chain([structure], data)
        structure = getattr(data, "element_spec", structure)
        ranks = tuple(_rank(part) for part in keras.tree.flatten(structure))
        if ranks not in self._made:
            self._make(True)
            self._made[ranks] = getattr(self._model, self._name)
            _count_traces_per_model(self._made[ranks])
            setattr(self._model, self._name, self)
        return self._made[ranks](data)


def _rank(part: Any) -> int | None:
    shape: Any = getattr(part, "shape", None)
    return tf.TensorShape(shape).rank


def _count_traces_per_model(function) -> None:
    """Count the traces of this model's steps separately: TensorFlow counts them over all models and
    would warn after ten models that are traced once each.
    """
    inside = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
    for each in (function, *inside):
        if hasattr(each, "_key_for_call_stats"):
            each._key_for_call_stats = each


def _steps_taken(optimizer) -> tf.Tensor:
    """The number of optimiser calls, int32. With gradient_accumulation_steps=k, Keras' `iterations`
    counts k calls as one.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    return tf.cast(getattr(inner, "_iterations", inner.iterations), tf.int32)


def _as_array(name: str, value: Any) -> Any:
    """Nested lists of numbers as an array, anything else unchanged."""
    if not isinstance(value, list | tuple):
        return value
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        return value
    return array if array.dtype.kind in "biuf" else value


def _is_float(value) -> bool:
    dtype = getattr(value, "dtype", None)
    return dtype is None or tf.as_dtype(dtype).is_floating


def _check_same(x, y, message: str, place: Place) -> None:
    """Check that y repeats x: another target would be ignored."""
    x, y = tf.convert_to_tensor(x), tf.convert_to_tensor(y)
    y = tf.cast(y, x.dtype)
    both_nan = (x != x) & (y != y)
    same = tf.reduce_all((x == y) | both_nan, list(range(1, x.shape.rank)))
    checks.require_rows(same, message, place)
