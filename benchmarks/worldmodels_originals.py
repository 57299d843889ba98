"""The original programs' training steps as TensorFlow 1 graphs, run by a session: what ours are
timed against.

The layers, losses, optimisers and the way of feeding are those of hardmaru/WorldModelsExperiments
(its vae.py and rnn.py), rewritten on `tf.compat.v1` for today's TensorFlow.
"""

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1


def _variable(name: str, shape):
    return v1.get_variable(name, shape, initializer=v1.glorot_uniform_initializer())


def _conv(x, name: str, filters: int):
    kernel = _variable(f"{name}/kernel", [4, 4, x.shape[-1], filters])
    return tf.nn.relu(tf.nn.conv2d(x, kernel, 2, "VALID") + _variable(f"{name}/bias", [filters]))


def _deconv(x, name: str, filters: int, size: int):
    kernel, out = (
        _variable(f"{name}/kernel", [size, size, filters, x.shape[-1]]),
        2 * (x.shape[1] - 1) + size,
    )
    y = tf.nn.conv2d_transpose(x, kernel, tf.stack([tf.shape(x)[0], out, out, filters]), 2, "VALID")
    return tf.reshape(y + _variable(f"{name}/bias", [filters]), [-1, out, out, filters])


def _dense(x, name: str, units: int):
    return x @ _variable(f"{name}/kernel", [x.shape[-1], units]) + _variable(
        f"{name}/bias", [units]
    )


def conv_vae_step(batch: int, z_size: int = 32, kl_tolerance: float = 0.5):
    """Make a training step of the original's ConvVAE.

    Args:
        batch: frames in a batch.
        z_size: size of the code.
        kl_tolerance: floor of the KL per dimension.

    Returns:
        A function of frames [batch, 64, 64, 3] uint8 that returns the loss.
    """
    graph = tf.Graph()
    with graph.as_default():
        x = v1.placeholder(tf.float32, [None, 64, 64, 3])
        h = x
        for i, filters in enumerate((32, 64, 128, 256), 1):
            h = _conv(h, f"enc_conv{i}", filters)
        h = tf.reshape(h, [-1, 1024])
        mu, logvar = _dense(h, "enc_fc_mu", z_size), _dense(h, "enc_fc_log_var", z_size)
        z = mu + tf.exp(logvar / 2.0) * tf.random.normal([batch, z_size])
        h = tf.reshape(_dense(z, "dec_fc", 1024), [-1, 1, 1, 1024])
        for i, (filters, size) in enumerate(((128, 5), (64, 5), (32, 6)), 1):
            h = tf.nn.relu(_deconv(h, f"dec_deconv{i}", filters, size))
        y = tf.nn.sigmoid(_deconv(h, "dec_deconv4", 3, 6))
        error = tf.reduce_mean(tf.reduce_sum(tf.square(x - y), [1, 2, 3]))
        kl = -0.5 * tf.reduce_sum(1 + logvar - tf.square(mu) - tf.exp(logvar), 1)
        loss = error + tf.reduce_mean(tf.maximum(kl, kl_tolerance * z_size))
        train = v1.train.AdamOptimizer(1e-4).minimize(loss)
        session = _session()
    return lambda frames: session.run([loss, train], {x: frames.astype(np.float64) / 255.0})[0]


class _Cell:
    """The cell of its rnn.py without layer norm: gates i, j, f, o and a forget bias of 1."""

    def __init__(self, units: int, inputs: int):
        self.output_size, self.state_size, self._units = units, (units, units), units
        self._kernel, self._bias = (
            _variable("kernel", [inputs + units, 4 * units]),
            _variable("bias", [4 * units]),
        )

    def __call__(self, x, state):
        c, h = state
        i, j, f, o = tf.split(tf.concat([x, h], 1) @ self._kernel + self._bias, 4, 1)
        c = c * tf.sigmoid(f + 1.0) + tf.sigmoid(i) * tf.tanh(j)
        h = tf.tanh(c) * tf.sigmoid(o)
        return h, (c, h)


def mdn_rnn_step(
    batch: int,
    steps: int,
    z_size: int = 32,
    action_size: int = 3,
    units: int = 256,
    mixtures: int = 5,
):
    """Make a training step of the original's MDN-RNN.

    Args:
        batch: sequences in a batch.
        steps: predicted steps.
        z_size: size of the code.
        action_size: numbers of an action.
        units: units of the LSTM.
        mixtures: components of a mixture.

    Returns:
        A function of z [batch, steps + 1, z_size] and actions that returns the cost.
    """
    graph = tf.Graph()
    with graph.as_default():
        x = v1.placeholder(tf.float32, [batch, steps, z_size + action_size])
        target = v1.placeholder(tf.float32, [batch, steps, z_size])
        output_w = _variable("output_w", [units, 3 * mixtures * z_size])
        output_b = _variable("output_b", [3 * mixtures * z_size])
        hidden = _unrolled(_Cell(units, z_size + action_size), x, batch, steps)
        output = tf.reshape(
            tf.reshape(hidden, [-1, units]) @ output_w + output_b, [-1, 3 * mixtures]
        )
        logmix, mean, logstd = tf.split(output, 3, 1)
        logmix -= tf.reduce_logsumexp(logmix, 1, keepdims=True)
        y = tf.reshape(target, [-1, 1])
        log_normal = (
            -0.5 * ((y - mean) / tf.exp(logstd)) ** 2 - logstd - np.log(np.sqrt(2.0 * np.pi))
        )
        cost = -tf.reduce_mean(tf.reduce_logsumexp(logmix + log_normal, 1, keepdims=True))
        optimizer = v1.train.AdamOptimizer(1e-3)
        clipped = [
            (tf.clip_by_value(g, -1.0, 1.0), v) for g, v in optimizer.compute_gradients(cost)
        ]
        train = optimizer.apply_gradients(clipped)
        session = _session()

    def step(z, actions):
        inputs = np.concatenate([z, actions], 2)[:, :-1]
        return session.run([cost, train], {x: inputs, target: z[:, 1:]})[0]

    return step


def lstm_update(z_size: int = 32, action_size: int = 3, units: int = 256):
    """Make one state update, as the original's environment calls it.

    Args:
        z_size: size of the code.
        action_size: numbers of an action.
        units: units of the LSTM.

    Returns:
        A function of an input [1, z_size + action_size] and a state (c, h).
    """
    graph = tf.Graph()
    with graph.as_default():
        x = v1.placeholder(tf.float32, [1, z_size + action_size])
        state = tuple(v1.placeholder(tf.float32, [1, units]) for _ in range(2))
        _, after = _Cell(units, z_size + action_size)(x, state)
        session = _session()
    return lambda value, before: session.run(
        after, {x: value, state[0]: before[0], state[1]: before[1]}
    )


def _unrolled(cell: _Cell, x, batch: int, steps: int):
    """`tf.nn.dynamic_rnn`'s loop: [batch, steps, units]."""
    over_time = tf.TensorArray(tf.float32, steps).unstack(tf.transpose(x, [1, 0, 2]))
    zeros = tuple(tf.zeros([batch, size]) for size in cell.state_size)

    def body(t, state, outputs):
        output, state = cell(over_time.read(t), state)
        return t + 1, state, outputs.write(t, output)

    loop = tf.while_loop(
        lambda t, *_: t < steps,
        body,
        (0, zeros, tf.TensorArray(tf.float32, steps)),
        parallel_iterations=32,
    )
    return tf.transpose(loop[2].stack(), [1, 0, 2])


def _session():
    session = v1.Session()
    session.run(v1.global_variables_initializer())
    return session
