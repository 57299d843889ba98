"""Linear models in continuous time, observed at irregular times: their matrices for each step."""

import numpy as np
from scipy.linalg import expm


def discretise(
    drift: np.ndarray, diffusion: np.ndarray, dt: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the transition of a linear stochastic differential equation over each time step.

    The process is::

        dz = F z dt + dw,  E[dw dw'] = L dt

    The transition over dt has the matrix A = exp(F dt) and the covariance
    Q = integral from 0 to dt of exp(F s) L exp(F s)' ds. Both come from one matrix exponential (Van
    Loan 1978, Computing Integrals Involving the Matrix Exponential), computed for a step short
    enough to avoid cancellation; the step is then doubled until it is dt. The results are exact:
    two steps in a row equal one step over the sum of their times.

    Args:
        drift: F [n, n].
        diffusion: L [n, n], symmetric, positive semi-definite.
        dt: [...], times of at least 0, such as [B, T]: dt[:, t] is the time from step t - 1 to step
            t. `MixedLGSSM` does not use the first one of a sequence.

    Returns:
        A and Q [..., n, n], for `MixedLGSSM(A, ..., noise_transition=Q)`.

    Raises:
        ValueError: a matrix is not square or not finite, the diffusion is not symmetric and
            positive semi-definite, or a time is negative or not finite.
    """
    F, L, dt = (np.asarray(value, np.float64) for value in (drift, diffusion, dt))
    size = F.shape[-1] if F.ndim else 1
    for name, value in (("drift", F), ("diffusion", L)):
        if value.shape != (size, size):
            raise ValueError(f"{name}: expected the shape [{size}, {size}], got {value.shape}.")
        if not np.isfinite(value).all():
            raise ValueError(f"{name}: expected finite numbers, got NaN or infinity.")
    if not np.allclose(L, L.T) or np.linalg.eigvalsh(L).min() < -1e-9 * np.abs(L).max():
        raise ValueError("diffusion: expected a symmetric, positive semi-definite matrix.")
    if not (np.isfinite(dt) & (dt >= 0)).all():
        raise ValueError("dt: expected finite times of at least 0.")
    lengths, at = np.unique(dt, return_inverse=True)  # most series have few different time steps
    rates = np.linalg.norm(F, 1) * lengths  # halved below until exp(F dt) has |F| dt <= 1
    halvings = np.maximum(0, np.ceil(np.log2(np.maximum(rates, 1e-300)))).astype(int)
    both = np.block([[-F, L], [np.zeros_like(F), F.T]])
    found = expm(both * (lengths / 2.0**halvings)[:, None, None])
    A = np.swapaxes(found[:, size:, size:], -1, -2)
    Q = A @ found[:, :size, size:]
    for i in range(halvings.max(initial=0)):
        more = (halvings > i)[:, None, None]
        Q = np.where(more, A @ Q @ np.swapaxes(A, -1, -2) + Q, Q)
        A = np.where(more, A @ A, A)
    Q = 0.5 * (Q + np.swapaxes(Q, -1, -2))
    return tuple(value[at].reshape(*dt.shape, size, size) for value in (A, Q))
