"""The state-space model alone: ours and TensorFlow Probability's in a plain graph and by XLA,
dynamax's on JAX."""

import json
import subprocess
import tempfile

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from timing import first_call, least

from kvae.lgssm import MixedLGSSM

tfd = tfp.distributions
_OPERATIONS = (
    "log p(a)",
    "log p(a) and gradients",
    "smoother",
    "imputation",
    "ten posterior draws",
)


def compare(batch: int, steps: int, repeats: int, dynamax: str) -> list[dict]:
    """Time each operation by each library.

    Args:
        batch: number of sequences.
        steps: their length.
        repeats: calls of which the fastest counts.
        dynamax: an interpreter that has dynamax; "": none.

    Returns:
        A line of results for each operation.
    """
    arrays = problem(batch, steps)
    calls = _ours(arrays) | _tfps(arrays)
    compiled = {name: first_call(call) for name, call in calls.items()}
    times = least(calls, repeats) | (_dynamax(arrays, dynamax, repeats) if dynamax else {})
    lines = []
    for operation in _OPERATIONS:
        found = _named(times, operation)
        others = min(time for name, time in found.items() if not name.startswith("ours"))
        first = _named(compiled, operation)
        lines.append(
            {"part": "lgssm", "operation": operation, "batch": batch, "steps": steps}
            | {f"{name} ms": time for name, time in found.items()}
            | {
                f"{kind}_over_best_other": found[f"ours, {kind}"] / others
                for kind in ("plain", "xla")
            }
            | {"xla_over_tfp_xla": found["ours, xla"] / found["TFP, xla"]}
            | {f"{name} first call s": seconds for name, (seconds, _) in first.items()}
            | {f"{name} peak MB": memory for name, (_, memory) in first.items()}
        )
    return lines


def _named(values: dict, operation: str) -> dict:
    return {
        name.split(": ")[1]: value
        for name, value in values.items()
        if name.startswith(f"{operation}:")
    }


def problem(batch: int, steps: int) -> dict[str, np.ndarray]:
    """Make codes, and matrices that change at every step, similar to those of a trained model.

    Args:
        batch: number of sequences.
        steps: their length.

    Returns:
        The arrays by name.
    """
    rng = np.random.default_rng(0)
    flight = np.eye(4)
    flight[:2, 2:] = 0.5 * np.eye(2)
    made = {
        "a": rng.normal(size=(batch, steps, 2)),
        "A": 0.99 * flight + 0.02 * rng.normal(size=(batch, steps, 4, 4)),
        "C": np.eye(4)[:2] + 0.1 * rng.normal(size=(batch, steps, 2, 4)),
        "mask": np.concatenate([np.ones((batch, 4)), rng.random((batch, steps - 4)) < 0.5], 1),
    }
    return {name: value.astype(np.float32) for name, value in made.items()}


def _ours(arrays) -> dict:
    def model(A, C):
        return MixedLGSSM(A, C, noise_transition=0.08, noise_emission=0.03, init_cov=20.0)

    return _calls("ours", model, arrays)


def _tfps(arrays) -> dict:
    def model(A, C):
        A_next = tf.concat([A[:, 1:], A[:, -1:]], 1)
        full = tf.linalg.LinearOperatorFullMatrix
        noise = [
            tfd.MultivariateNormalDiag(scale_diag=tf.fill([n], v**0.5))
            for n, v in ((4, 0.08), (2, 0.03), (4, 20.0))
        ]
        return tfd.LinearGaussianStateSpaceModel(
            A.shape[1],
            lambda t: full(tf.gather(A_next, t, axis=1)),
            noise[0],
            lambda t: full(tf.gather(C, t, axis=1)),
            noise[1],
            noise[2],
        )

    return _calls("TFP", model, arrays)


def _calls(who: str, model, arrays) -> dict:
    """The operations with one form of the distribution, in a plain graph and by XLA."""
    a, A, C, mask = (tf.constant(arrays[name]) for name in ("a", "A", "C", "mask"))

    def gradients(a, A, C):
        with tf.GradientTape() as tape:
            tape.watch((a, A, C))
            value = model(A, C).log_prob(a)
        return value, tape.gradient(value, (a, A, C))

    functions = {
        "log p(a)": lambda a, A, C: (model(A, C).log_prob(a),),
        "log p(a) and gradients": gradients,
        "smoother": lambda a, A, C: model(A, C).posterior_marginals(a),
        "imputation": lambda a, A, C: model(A, C).posterior_marginals(a, mask=mask < 0.5),
        "ten posterior draws": lambda a, A, C: (model(A, C).posterior_sample(a, 10, seed=(0, 1)),),
    }
    calls = {}
    for kind, jit in (("plain", None), ("xla", True)):
        for name, function in functions.items():
            compiled = tf.function(function, autograph=False, jit_compile=jit)
            calls[f"{name}: {who}, {kind}"] = lambda f=compiled: f(a, A, C)[0].numpy()
    return calls


_DYNAMAX = """
import json, sys, time
import jax, jax.numpy as jnp, numpy as np
from dynamax.linear_gaussian_ssm import inference as lib
with np.load(sys.argv[1]) as file:
    a, A, C = (jnp.array(file[name]) for name in "aAC")
A = jnp.concatenate([A[:, 1:], A[:, -1:]], 1)
def params(A, C):
    Q, R, P = 0.08 * jnp.eye(4), 0.03 * jnp.eye(2), 20.0 * jnp.eye(4)
    return lib.make_lgssm_params(jnp.zeros(4), P, A, Q, C, R)
def log_p(a, A, C):
    def each(a, A, C):
        return lib.lgssm_filter(params(A, C), a).marginal_loglik

    return jax.vmap(each)(a, A, C).sum()
calls = {
    "log p(a) and gradients": jax.jit(jax.value_and_grad(log_p, (0, 1, 2))),
    "smoother": jax.jit(jax.vmap(lambda a, A, C: lib.lgssm_smoother(params(A, C), a)[3:5])),
}
found = {}
for name, call in calls.items():
    jax.block_until_ready(call(a, A, C))
    times = []
    for _ in range(int(sys.argv[2])):
        began = time.perf_counter()
        jax.block_until_ready(call(a, A, C))
        times.append(1e3 * (time.perf_counter() - began))
    found[name + ": dynamax"] = min(times)
print(json.dumps(found))
"""


def _dynamax(arrays, interpreter: str, repeats: int) -> dict[str, float]:
    """Times of the same problem, by another interpreter: JAX and TensorFlow need not share an
    environment."""
    with tempfile.NamedTemporaryFile(suffix=".npz") as file:
        np.savez(file, **arrays)
        file.flush()
        command = [interpreter, "-c", _DYNAMAX, file.name, str(repeats)]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"--dynamax: {done.stderr[-1000:]}")
    return json.loads(done.stdout.splitlines()[-1])
