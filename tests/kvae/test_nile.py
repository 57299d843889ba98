"""The example of docs/kalman_filter_for_tfp.md, with statsmodels as its oracle."""

import numpy as np
import statsmodels.api as sm

from kvae.lgssm import MixedLGSSM
from tests.tolerances import FLOAT64

MEAN, VARIANCE, IRREGULAR, LEVEL = 1000.0, 1e5, 15099.0, 1469.1


def test_the_nile_series_has_statsmodels_likelihood_and_smoother():
    volume = sm.datasets.nile.load_pandas().data["volume"].to_numpy(np.float64)
    steps = len(volume)
    missing = np.zeros(steps, bool)
    missing[20:40] = True
    for mask in (None, missing):
        model = MixedLGSSM(
            np.ones((steps, 1, 1)),
            np.ones((steps, 1, 1)),
            noise_transition=LEVEL,
            noise_emission=IRREGULAR,
            init_cov=VARIANCE,
            init_mean=np.array([MEAN]),
            mask=mask,
        )
        oracle = sm.tsa.UnobservedComponents(
            volume if mask is None else np.where(mask, np.nan, volume), "llevel"
        )
        oracle.ssm.initialize_known(np.array([MEAN]), np.array([[VARIANCE]]))
        oracle.ssm.loglikelihood_burn = 0
        expected = oracle.smooth([IRREGULAR, LEVEL], cov_type="none")
        np.testing.assert_allclose(model.log_prob(volume[:, None]), expected.llf, **FLOAT64)
        mean, cov = model.posterior_marginals(volume[:, None])
        np.testing.assert_allclose(mean[:, 0], expected.smoothed_state[0], **FLOAT64)
        np.testing.assert_allclose(cov[:, 0, 0], expected.smoothed_state_cov[0, 0], **FLOAT64)
