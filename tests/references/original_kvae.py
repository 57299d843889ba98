"""What the original program computes, in float64 NumPy loops: from its config, its variables by
name, and inputs.

Checked against its golden arrays; serves the configurations of which there are none. Everything is
as the original does
it: its channel order, its time indices (`alpha`, `A_t`, `B_t` at t are those after a_t), z_t moved
to z_{t+1} by u_t.
"""

import numpy as np

_ACTIVATIONS = {"relu": lambda x: np.maximum(x, 0), "tanh": np.tanh, "linear": lambda x: x}


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


class OriginalKVAE:
    def __init__(self, config: dict, variables: dict):
        self.config = config
        self._v = {name: np.asarray(value, np.float64) for name, value in variables.items()}
        self._act = _ACTIVATIONS[config["activation"]]
        self._alpha_act = _ACTIVATIONS[config["alpha_activation"]]

    # --- frames, N of them ---

    def _dense(self, scope, x):
        return x @ self._v[f"{scope}/weights"] + self._v[f"{scope}/biases"]

    def _conv(self, scope, x, stride=1):
        """SAME padding: the odd pixel of padding goes to the bottom and the right."""
        w, b = self._v[f"{scope}/weights"], self._v[f"{scope}/biases"]
        size, count = w.shape[0], x.shape[1:3]
        out = [-(-n // stride) for n in count]
        pads = [max((o - 1) * stride + size - n, 0) for o, n in zip(out, count, strict=True)]
        x = np.pad(x, [(0, 0), *((p // 2, p - p // 2) for p in pads), (0, 0)])
        result = np.zeros((len(x), *out, w.shape[3])) + b
        for i in range(size):
            for j in range(size):
                patch = x[:, i : i + stride * out[0] : stride, j : j + stride * out[1] : stride]
                result += patch[:, : out[0], : out[1]] @ w[i, j]
        return result

    def _filters(self):
        return [int(f) for f in self.config["num_filters"].split(",")]

    def encode(self, x):
        """x [N, H, W] -> mean and variance of a, [N, dim_a] each."""
        scope = "vae/encoder"
        if self.config["conv"]:
            hidden = x[..., None]
            for i in range(1, len(self._filters()) + 1):
                hidden = self._act(self._conv(f"{scope}/Stack/convolution2d_{i}", hidden, stride=2))
        else:
            hidden = x.reshape(len(x), -1)
            for i in range(1, self.config["num_layers"] + 1):
                hidden = self._act(self._dense(f"{scope}/Repeat/fully_connected_{i}", hidden))
        hidden = hidden.reshape(len(x), -1)
        mean = self._dense(f"{scope}/fully_connected", hidden)
        if not self.config["use_vae"]:
            return mean, np.zeros_like(mean)
        return mean, self.config["noise_emission"] * _sigmoid(
            self._dense(f"{scope}/fully_connected_1", hidden)
        )

    def decode(self, a, shape):
        """a [N, dim_a] -> the frames' means [N, H, W]."""
        scope, (height, width) = "vae/decoder", shape
        if self.config["conv"]:
            filters = self._filters()
            factor = 2 ** len(filters)
            small = (height // factor, width // factor, filters[-1])
            hidden = self._dense(f"{scope}/fully_connected", a).reshape(len(a), *small)
            for i, count in enumerate(reversed(filters)):
                hidden = self._act(self._conv(f"{scope}/Conv{f'_{i}' if i else ''}", hidden))
                n, h, w, _ = hidden.shape
                blocks = hidden.reshape(
                    n, h, w, count, 2, 2
                )  # channels are (out, block_y, block_x)
                hidden = blocks.transpose(0, 1, 4, 2, 5, 3).reshape(n, 2 * h, 2 * w, count)
            pixels = self._conv(f"{scope}/Conv_{len(filters)}", hidden)[..., 0]
        else:
            hidden = a
            for i in range(1, self.config["num_layers"] + 1):
                hidden = self._act(self._dense(f"{scope}/Repeat/fully_connected_{i}", hidden))
            pixels = self._dense(f"{scope}/fully_connected", hidden).reshape(len(a), height, width)
        return _sigmoid(pixels) if self.config["out_distr"] == "bernoulli" else pixels

    def log_px(self, x, mean):
        """[N]: log p(x | a), summed over the pixels."""
        if self.config["out_distr"] == "bernoulli":
            p = np.clip(mean, 1e-6, 1 - 1e-6)
            each = x * np.log(p) + (1 - x) * np.log(1 - p)
        else:
            variance = self.config["noise_pixel_var"]
            each = -0.5 * ((x - mean) ** 2 / variance + np.log(2 * np.pi * variance))
        return each.reshape(len(x), -1).sum(1)

    def log_qa(self, a, mean, variance):
        if not self.config["use_vae"]:
            return np.zeros(a.shape[:-1])
        return -0.5 * ((a - mean) ** 2 / variance + np.log(2 * np.pi * variance)).sum(-1)

    # --- the dynamics network, one sequence ---

    def _start(self):
        units = self.config["alpha_units"] * (2 if self.config["learn_u"] else 1)
        if self.config["alpha_rnn"]:
            return np.zeros(units), np.zeros(units)
        return np.zeros((self.config["dim_a"], self.config["fifo_size"]))

    def _next_alpha(self, a, state):
        """The next alpha [K], the next u or None, the network's state."""
        if self.config["K"] == 1:
            return np.ones(1), None, state
        if self.config["alpha_rnn"]:
            c, h = state
            gates = np.concatenate([a, h]) @ self._v["alpha/basic_lstm_cell/kernel"]
            i, j, f, o = np.split(gates + self._v["alpha/basic_lstm_cell/bias"], 4)
            c = c * _sigmoid(f + 1.0) + _sigmoid(i) * np.tanh(j)
            hidden = np.tanh(c) * _sigmoid(o)
            state = c, hidden
        else:
            state = np.concatenate([state[:, 1:], a[:, None]], 1)
            hidden = state.reshape(-1)
            for i in range(1, self.config["alpha_layers"] + 1):
                hidden = self._alpha_act(self._dense(f"alpha/hidden/hidden_{i}", hidden))
        units = self.config["alpha_units"]
        logits = self._dense("alpha/alpha_var", hidden[:units])
        weights = np.exp(logits - logits.max())
        u = self._dense("alpha/u_var", hidden[units:]) if self.config["learn_u"] else None
        return weights / weights.sum(), u, state

    # --- the state-space model, one sequence ---

    def filter_and_smooth(self, a, mask, u):
        """a [T, dim_a], mask [T], u [T, dim_u] -> a dict of arrays over time under the golden
        arrays' names."""
        steps, size = len(a), self.config["dim_z"]
        Q, R = (
            self.config["noise_transition"] * np.eye(size),
            self.config["noise_emission"] * np.eye(a.shape[1]),
        )
        names = (
            "alpha",
            "A_t",
            "B_t",
            "C_t",
            "used_u",
            "filter_mean",
            "filter_cov",
            "next_mean",
            "next_cov",
        )
        found = {name: [] for name in names}
        alpha, _, state = self._next_alpha(self._v["y_0"], self._start())
        mean, cov = np.zeros(size), self.config["init_cov"] * np.eye(size)
        for t in range(steps):
            C = np.tensordot(alpha, self._v["C"], 1)
            inputs = a[t] if mask[t] else C @ mean
            if mask[t]:
                gain = cov @ C.T @ np.linalg.inv(C @ cov @ C.T + R)
                mean, cov = mean + gain @ (a[t] - C @ mean), cov - gain @ C @ cov
            alpha, learned, state = self._next_alpha(inputs, state)
            A, B = np.tensordot(alpha, self._v["A"], 1), np.tensordot(alpha, self._v["B"], 1)
            moving = u[t] if learned is None else learned
            next_mean, next_cov = A @ mean + B @ moving, A @ cov @ A.T + Q
            for name, value in zip(
                names, (alpha, A, B, C, moving, mean, cov, next_mean, next_cov), strict=True
            ):
                found[name].append(value)
            mean, cov = next_mean, next_cov
        found = {name: np.array(values) for name, values in found.items()}
        found["smooth_mean"], found["smooth_cov"] = self._smooth(found)
        found["a_from_z"] = np.einsum("tij,tj->ti", found["C_t"], found["smooth_mean"])
        return found

    @staticmethod
    def _smooth(found):
        means, covs = found["filter_mean"].copy(), found["filter_cov"].copy()
        for t in range(len(means) - 2, -1, -1):
            gain = found["filter_cov"][t] @ found["A_t"][t].T @ np.linalg.inv(found["next_cov"][t])
            means[t] += gain @ (means[t + 1] - found["next_mean"][t])
            covs[t] += gain @ (covs[t + 1] - found["next_cov"][t]) @ gain.T
        return means, covs

    def bound_terms(self, a, mask, u, z, found):
        """[transition, emission, initial, entropy], summed over one sequence, at the states z [T,
        dim_z]."""
        c = self.config
        moved = [
            A @ before + B @ u_t
            for A, B, before, u_t in zip(found["A_t"], found["B_t"], z[:-1], u[1:], strict=False)
        ]
        spots = np.einsum("tij,tj->ti", found["C_t"], z)
        return np.array(
            [
                sum(
                    _log_normal(z_t, m, c["noise_transition"])
                    for z_t, m in zip(z[1:], moved, strict=True)
                ),
                sum(
                    seen * _log_normal(a_t, m, c["noise_emission"])
                    for seen, a_t, m in zip(mask, a, spots, strict=True)
                ),
                _log_normal(z[0], 0, c["init_cov"]),
                -sum(
                    _log_mvn(*step)
                    for step in zip(z, found["smooth_mean"], found["smooth_cov"], strict=True)
                ),
            ]
        )

    def generate(self, held, steps):
        """Deterministic generation of one sequence, its first states held to `held` [t0, dim_z], u
        = 0."""
        made = {"gen_z": [], "gen_a": [], "gen_alpha": []}
        alpha, _, state = self._next_alpha(self._v["y_0"], self._start())
        z = held[0]
        for t in range(steps):
            a = np.tensordot(alpha, self._v["C"], 1) @ z
            alpha, u, state = self._next_alpha(a, state)
            for name, value in zip(made, (z, a, alpha), strict=True):
                made[name].append(value)
            moved = np.tensordot(alpha, self._v["A"], 1) @ z
            moved = moved if u is None else moved + np.tensordot(alpha, self._v["B"], 1) @ u
            z = held[t + 1] if t + 1 < len(held) else moved
        return {name: np.array(values) for name, values in made.items()}


def random_variables(config: dict, shape, rng) -> dict:
    """Variables of the original's names and shapes for `config`, drawn at random."""
    c, variables = config, {}

    def layer(scope, *size):
        variables[f"{scope}/weights"] = rng.normal(size=size) / np.sqrt(np.prod(size[:-1]))
        variables[f"{scope}/biases"] = 0.1 * rng.normal(size=size[-1])

    pixels, heads = (
        int(np.prod(shape)),
        ("fully_connected", "fully_connected_1")[: 1 + c["use_vae"]],
    )
    if c["conv"]:
        filters, size = [int(f) for f in c["num_filters"].split(",")], c["filter_size"]
        for i, (before, after) in enumerate(zip([1, *filters], filters, strict=False), 1):
            layer(f"vae/encoder/Stack/convolution2d_{i}", size, size, before, after)
        flat = pixels // 4 ** len(filters) * filters[-1]
        layer("vae/decoder/fully_connected", c["dim_a"], flat)
        down = filters[::-1]
        for i, (before, after) in enumerate(zip([filters[-1], *down], down, strict=False)):
            layer(f"vae/decoder/Conv{f'_{i}' if i else ''}", size, size, before, 4 * after)
        layer(f"vae/decoder/Conv_{len(filters)}", 1, 1, filters[0], 1)
    else:
        flat, units = c["vae_num_units"], c["vae_num_units"]
        for part, first in (("encoder", pixels), ("decoder", c["dim_a"])):
            for i in range(1, c["num_layers"] + 1):
                layer(f"vae/{part}/Repeat/fully_connected_{i}", first if i == 1 else units, units)
        layer("vae/decoder/fully_connected", units, pixels)
    for head in heads:
        layer(f"vae/encoder/{head}", flat, c["dim_a"])
    variables["A"] = np.eye(c["dim_z"]) + 0.1 * rng.normal(size=(c["K"], c["dim_z"], c["dim_z"]))
    variables["B"] = 0.5 * rng.normal(size=(c["K"], c["dim_z"], c["dim_u"]))
    variables["C"] = 0.5 * rng.normal(size=(c["K"], c["dim_a"], c["dim_z"]))
    variables["y_0"] = rng.normal(size=c["dim_a"])
    if c["K"] == 1:
        return variables
    width = c["alpha_units"] * (2 if c["learn_u"] else 1)
    if c["alpha_rnn"]:
        variables["alpha/basic_lstm_cell/kernel"] = rng.normal(size=(c["dim_a"] + width, 4 * width))
        variables["alpha/basic_lstm_cell/bias"] = rng.normal(size=4 * width)
    for i in range(1, c["alpha_layers"] + 1 if not c["alpha_rnn"] else 1):
        layer(f"alpha/hidden/hidden_{i}", c["dim_a"] * c["fifo_size"] if i == 1 else width, width)
    layer("alpha/alpha_var", c["alpha_units"], c["K"])
    if c["learn_u"]:
        layer("alpha/u_var", c["alpha_units"], c["dim_u"])
    return variables


def _log_normal(value, mean, variance):
    return float(-0.5 * ((value - mean) ** 2 / variance + np.log(2 * np.pi * variance)).sum())


def _log_mvn(value, mean, cov):
    residual = value - mean
    return float(
        -0.5 * (residual @ np.linalg.solve(cov, residual) + np.linalg.slogdet(2 * np.pi * cov)[1])
    )
