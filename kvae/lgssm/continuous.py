"""Linear models in continuous time, observed at uneven times: their matrices for each step."""

import numpy as np
from scipy.linalg import expm


def discretise(
    drift: np.ndarray, diffusion: np.ndarray, dt: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The transition over each time step of dz = F z dt + dw, where E[dw dw'] = L dt.

    A = exp(F dt), and Q the integral of exp(F s) L exp(F s)' from 0 to dt, both from one matrix
    exponential (Van Loan 1978, Computing Integrals Involving the Matrix Exponential), for a time so
    short that nothing cancels; doubled until it is dt. They are exact: two steps in a row equal one
    of their sum.

    Args:
        drift: F [n, n]; diffusion: L [n, n], symmetric, positive semi-definite.
        dt: [...], times of at least 0, such as [B, T]: dt[:, t] leads to step t. The first of a
            sequence is not used by `MixedLGSSM`.

    Returns:
        A and Q [..., n, n], for `MixedLGSSM(A, ..., noise_transition=Q)`.

    Raises:
        ValueError: a matrix that is not square or not finite, a diffusion that is not symmetric and
            positive semi-definite, or a time below 0 or not finite.
    """
    F, L, dt = (np.asarray(value, np.float64) for value in (drift, diffusion, dt))
    size = F.shape[-1]
    for name, value in (("drift", F), ("diffusion", L)):
        if value.shape != (size, size):
            raise ValueError(f"{name}: expected the shape [{size}, {size}], got {value.shape}.")
        if not np.isfinite(value).all():
            raise ValueError(f"{name}: expected finite numbers, got NaN or infinity.")
    if not np.allclose(L, L.T) or np.linalg.eigvalsh(L).min() < -1e-9 * np.abs(L).max():
        raise ValueError("diffusion: expected a symmetric, positive semi-definite matrix.")
    if not (np.isfinite(dt) & (dt >= 0)).all():
        raise ValueError("dt: expected finite times of at least 0.")
    lengths, at = np.unique(dt, return_inverse=True)  # most series have few
    rates = np.linalg.norm(F, 1) * lengths
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
