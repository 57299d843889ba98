"""The Kalman filter and smoother the slow way: the joint Gaussian of all states and codes,
conditioned by inversion."""

import numpy as np


def joint(A, B, C, u, Q, R, P0):
    """Mean and covariance of (z_1, ..., z_T) stacked, for one sequence: A [T, z, z], B [T, z, u], C
    [T, a, z], u [T, u]."""
    steps, size = A.shape[:2]
    mean = np.zeros((steps, size))
    cov = np.zeros((steps, size, steps, size))
    cov[0, :, 0, :] = P0
    for t in range(1, steps):
        mean[t] = A[t] @ mean[t - 1] + B[t] @ u[t]
        for s in range(t):
            cov[t, :, s, :] = A[t] @ cov[t - 1, :, s, :]
            cov[s, :, t, :] = cov[t, :, s, :].T
        cov[t, :, t, :] = A[t] @ cov[t - 1, :, t - 1, :] @ A[t].T + Q
    return mean.ravel(), cov.reshape(steps * size, steps * size)


def posterior(a, observed, A, B, C, u, Q, R, P0):
    """p(z_1..T | the observed a) and log p(observed a): mean [T, z], cov [T, z, T, z],
    log-likelihood. observed: [T], or of single numbers [T, a]."""
    steps, size = A.shape[:2]
    dim_a = C.shape[1]
    mean, cov = joint(A, B, C, u, Q, R, P0)
    numbers = np.broadcast_to(np.reshape(observed, [steps, -1]), a.shape)
    seen = np.flatnonzero(numbers)
    if len(seen) == 0:
        return mean.reshape(steps, size), cov.reshape(steps, size, steps, size), 0.0
    H = np.zeros((steps * dim_a, steps * size))
    for t in range(steps):
        H[t * dim_a : (t + 1) * dim_a, t * size : (t + 1) * size] = C[t]
    H = H[seen]
    S = H @ cov @ H.T + np.kron(np.eye(steps), R)[np.ix_(seen, seen)]
    residual = a.ravel()[seen] - H @ mean
    gain = cov @ H.T @ np.linalg.inv(S)
    log_likelihood = -0.5 * (
        residual @ np.linalg.solve(S, residual) + np.linalg.slogdet(2 * np.pi * S)[1]
    )
    new_cov = cov - gain @ H @ cov
    return (
        (mean + gain @ residual).reshape(steps, size),
        new_cov.reshape(steps, size, steps, size),
        log_likelihood,
    )


def random_system(rng, batch=3, steps=6, dim_z=4, dim_a=2, dim_u=2, K=3):
    """Random mixtures: alpha [B, T, K] and the matrices A, B, C they mix, near what a model
    learns."""
    alpha = rng.dirichlet(np.ones(K), size=(batch, steps))
    A = np.eye(dim_z) + 0.2 * rng.normal(size=(K, dim_z, dim_z))
    B = 0.3 * rng.normal(size=(K, dim_z, dim_u))
    C = 0.7 * rng.normal(size=(K, dim_a, dim_z))
    mixed = [np.einsum("btk,knm->btnm", alpha, M) for M in (A, B, C)]
    u = rng.normal(size=(batch, steps, dim_u))
    a = rng.normal(size=(batch, steps, dim_a))
    mask = (rng.random((batch, steps)) > 0.4).astype(float)
    mask[:, 0] = 1
    return alpha, mixed, u, a, mask
