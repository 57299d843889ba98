"""The state-space model and its dynamics network as one: codes in, states and bounds out."""

from typing import NamedTuple

import tensorflow as tf

from kvae import lgssm
from kvae.dynamics import DynamicsNetwork
from kvae.results import LgssmBound, Mixed, Smoothed
from kvae.scan import Matrices, filter_with_gaps, mix

JIT_STEPS = 64
"""From this many steps on, training has log p(a) compiled by XLA: it then saves more than its compilation takes."""


class StateSpace(NamedTuple):
    """The model of the codes at its present weights. Codes a [B, T, dim_a], mask [B, T] or None, controls [B, T, dim_u].

    jit_compile: have XLA compile log p(a) where training asks for it; None: from `JIT_STEPS` steps on.
    """

    matrices: Matrices
    network: DynamicsNetwork
    noise: lgssm.Noise
    jit_compile: bool | None = None

    def mixed(self, a, controls) -> Mixed:
        """The matrices where every a_t is known: one pass of the dynamics network over a_0, ..., a_{T-1}."""
        first = tf.broadcast_to(self.matrices.a_0, tf.shape(a[:, :1]))
        alpha, u = self.network(tf.concat([first, a[:, :-1]], 1))
        return Mixed(alpha, *(mix(alpha, m) for m in self.matrices[:3]), controls if u is None else u)

    def filter(self, a, mask, controls) -> tuple[lgssm.Track, Mixed]:
        """The Kalman filter; over gaps, step by step with the dynamics network."""
        if mask is not None:
            return filter_with_gaps(a, mask, controls, self.matrices, self.network, self.noise)
        mixed = self.mixed(a, controls)
        return lgssm.filter_states(a, None, mixed, self.noise), mixed

    def smooth(self, a, mask, controls) -> Smoothed:
        """The Rauch-Tung-Striebel smoother."""
        return lgssm.smooth_states(*self.filter(a, mask, controls), self.noise)[0]

    def bound(self, a, mask, controls, kind: str, z, noise) -> LgssmBound:
        """`KVAE.lgssm_bound`; where z is None, it is drawn with standard normal `noise` [B, T, dim_z]."""
        track, mixed = self.filter(a, mask, controls)
        smoothed, backward = lgssm.smooth_states(track, mixed, self.noise)
        mask = tf.ones_like(a[..., 0]) if mask is None else mask
        a = tf.where(mask[..., None] > 0.5, a, 0.0)
        if kind == "marginal":
            return lgssm.marginal_bound(a, mask, mixed, self.noise, track, smoothed, backward)
        if z is None:
            z = smoothed.mean + tf.linalg.matvec(tf.linalg.cholesky(smoothed.cov), noise)
        return lgssm.sampled_bound(a, mask, mixed, self.noise, smoothed, z)

    def total_bound(self, a, mask, controls, kind: str, noise) -> tf.Tensor:
        """`bound(...).total`, and no more than that: what training needs."""
        if kind == "sampled":
            return self.bound(a, mask, controls, kind, None, noise).total
        if mask is not None:
            return tf.reduce_sum(self.filter(a, mask, controls)[0].log_likelihood) / tf.reduce_sum(mask)
        jit, steps = self.jit_compile, a.shape[1]
        mixed = self.mixed(a, controls)
        if jit if jit is not None else steps is not None and steps >= JIT_STEPS:
            log_pa = lgssm.compiled_log_likelihood(a, mixed, self.noise)
        else:
            log_pa = lgssm.log_likelihood(a, None, mixed, self.noise)
        return tf.reduce_sum(log_pa) / tf.cast(tf.size(a[..., 0]), a.dtype)
