"""Weekly carbon dioxide on Mauna Loa, which has gaps, with statsmodels as the oracle: level, slope
and two harmonics of the year, of which all but the level have no noise."""

import numpy as np
import pytest
import statsmodels.api as sm

from kvae.lgssm import MixedLGSSM

IRREGULAR, LEVEL = 0.1, 0.02


@pytest.fixture(scope="module")
def oracle():
    series = sm.datasets.co2.load_pandas().data["co2"].to_numpy(np.float64)
    assert np.isnan(series).sum() == 59
    model = sm.tsa.UnobservedComponents(
        series, "lltrend", freq_seasonal=[{"period": 365.25 / 7, "harmonics": 2}]
    )
    model.ssm.initialize_known(np.array([315.0, 0, 0, 0, 0, 0]), 10.0 * np.eye(6))
    model.ssm.loglikelihood_burn = 0
    return series, model, model.smooth([IRREGULAR, LEVEL, 0.0, 0.0], cov_type="none")


@pytest.mark.parametrize(
    "dtype, close", [(np.float64, 1e-8), pytest.param(np.float32, 2e-4, marks=pytest.mark.slow)]
)
def test_likelihood_means_and_bands_are_those_of_statsmodels(oracle, dtype, close):
    series, model, expected = oracle
    steps = len(series)
    A = np.repeat(model.ssm["transition"][None], steps, 0).astype(dtype)
    C = np.repeat(model.ssm["design"].reshape(1, 1, 6), steps, 0).astype(dtype)
    selection, noise = model.ssm["selection"], model.ssm["state_cov"]
    ours = MixedLGSSM(
        A,
        C,
        noise_transition=np.diag(selection @ noise @ selection.T),
        noise_emission=IRREGULAR,
        init_cov=10.0,
        init_mean=np.array([315.0, 0, 0, 0, 0, 0], dtype),
        missing=np.isnan(series)[:, None],
    )
    x = series[:, None].astype(dtype)
    assert float(ours.log_prob(x)) == pytest.approx(expected.llf, rel=close)
    mean, cov = (np.asarray(value) for value in ours.posterior_marginals(x))
    signal = np.einsum("tij,tj->ti", C, mean)[:, 0]
    wanted = (model.ssm["design"] @ expected.smoothed_state)[0]
    np.testing.assert_allclose(signal, wanted, rtol=close)
    band = np.sqrt(np.einsum("tij,tjk,tik->ti", C, cov, C))[:, 0]
    of_oracle = np.einsum(
        "ij,jkt,ik->it", model.ssm["design"], expected.smoothed_state_cov, model.ssm["design"]
    )
    np.testing.assert_allclose(band, np.sqrt(of_oracle[0]), rtol=50 * close)
