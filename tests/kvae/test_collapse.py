"""The signs of a collapse, on models that have them and on data that cause it."""

import json

import keras
import numpy as np
import pytest
from scipy.stats import bernoulli, norm

from kvae import KVAE
from kvae.collapse import CollapseError, Examiner, Health, StopOnCollapse
from seqvae.data import Sequences, save
from tests.commands import run_here
from tests.examples.test_run_kvae import SCRIPT, SMALL

DATA = Sequences(np.random.default_rng(0).random((6, 9, 8, 8)) > 0.7)


def model(**options):
    keras.utils.set_random_seed(0)
    return KVAE((8, 8), num_filters=(4, 3), alpha_units=3, **options)


def health(of, data=DATA):
    return Examiner(of, data, data.mean_frame())()


def test_series_and_frames_with_gaps_in_fit():
    with pytest.raises(ValueError, match=r"sequences: expected frames .* got series \[2, 5, 3\]"):
        StopOnCollapse(np.zeros((2, 5, 3)))
    frames, mask = np.full((2, 3, 8, 8), 0.5), np.ones((2, 3))
    frames[:, 1], mask[:, 1] = np.nan, 0
    StopOnCollapse(frames, mask=mask)


def test_the_figures_are_those_of_the_encoder_and_decoder():
    one = model()
    found = health(one)
    q = one.encode(DATA.frames)
    assert found.codes_std == pytest.approx(q.mean().numpy().std((0, 1)).max(), rel=1e-5)
    assert found.variance_share == pytest.approx(q.variance().numpy().mean() / 0.03, rel=1e-5)
    log_px = one.decode(q.mean()).log_prob(DATA.frames.astype(np.float32)).numpy().mean()
    mean = bernoulli(DATA.frames.mean((0, 1)))
    baseline = mean.logpmf(DATA.frames.astype(int)).sum((2, 3)).mean()
    assert found.gain == pytest.approx(log_px - baseline, rel=1e-4)
    hidden = one.frame_vae.encoder.get_layer("conv_2")
    hidden.bias.assign([-100.0, 0.0, -100.0])
    assert health(one).dead_units == pytest.approx(2 / 3)


def test_a_normal_likelihood_and_frames_with_gaps():
    images = np.random.default_rng(1).random((3, 5, 8, 8)).astype(np.float32)
    mask = np.ones((3, 5), np.float32)
    mask[1, 2:4] = 0
    images[1, 2:4] = np.nan
    data, one = Sequences(images, mask=mask), model(out_distr="gaussian", activation="elu")
    found, seen = health(one, data), images[mask > 0]
    assert np.isnan(found.dead_units)
    baseline = norm(seen.mean(0), np.sqrt(0.1)).logpdf(seen).sum((1, 2)).mean()
    codes = one.encode(seen[None]).mean()
    gain = one.decode(codes).log_prob(seen[None]).numpy().mean() - baseline
    assert found.gain == pytest.approx(gain, rel=1e-3)


def test_what_is_a_sign_and_what_a_collapse():
    good = Health(codes_std=0.8, dead_units=0.3, variance_share=0.4, gain=5.0)
    assert good.signs() == [] and not good.collapsed(10_000)
    for change, word in (
        (dict(codes_std=1e-3), "the codes are constant (standard deviation 1.0e-03)"),
        (dict(dead_units=1.0), "100% of the encoder's last hidden units are dead"),
        (dict(variance_share=0.999), "the variance of q(a | x) is at its limit (99.9% of it)"),
        (dict(gain=-1.0), "log p(x|a) is no better than the mean frame's (-1.00 nats a frame)"),
    ):
        (sign,) = good._replace(**change).signs()
        assert sign == word
    early, late = good._replace(gain=-1.0), good._replace(codes_std=1e-7)
    assert not early.collapsed(499) and early.collapsed(500)
    assert late.collapsed(1)


@pytest.mark.slow
def test_fit_reports_the_signs_and_ends_where_all_frames_are_alike():
    one = model()
    one.compile(optimizer=keras.optimizers.Adam(1e-3))
    frames = DATA.frames
    history = one.fit(frames, batch_size=3, verbose=0, callbacks=[StopOnCollapse(frames)]).history
    health = Examiner(one, DATA, DATA.mean_frame())()
    assert history["codes_std"][-1] == pytest.approx(health.codes_std, rel=1e-4)
    assert history["gain"][-1] == pytest.approx(health.gain, rel=1e-3)
    alike = np.broadcast_to(frames[:1, :1], frames.shape)
    with pytest.raises(CollapseError, match="collapse in epoch 1: the codes are constant"):
        one.fit(alike, batch_size=3, verbose=0, callbacks=[StopOnCollapse(alike)])


def test_adapt_makes_the_first_decoder_give_the_mean_pixel():
    for options in (dict(), dict(conv=False), dict(out_distr="gaussian")):
        one = model(**options)
        one.adapt(DATA.frames)
        zero = one.decode(np.zeros((1, 1, 2), np.float32)).mean().numpy()
        np.testing.assert_allclose(zero.mean(), DATA.frames.mean(), rtol=1e-4)
    coloured = np.random.default_rng(2).random((2, 3, 8, 8, 3)) * [0.2, 0.5, 0.9]
    coloured[0, 1] = np.nan
    mask = np.array([[1, 0, 1], [1, 1, 1]], np.float32)
    one = KVAE((8, 8, 3), num_filters=(4,), alpha_units=3)
    one.adapt(coloured.astype(np.float32), mask)
    zero = one.decode(np.zeros((1, 1, 2), np.float32)).mean().numpy()
    np.testing.assert_allclose(
        zero.mean((0, 1, 2, 3)), coloured[mask > 0].mean((0, 1, 2)), rtol=1e-4
    )
    one.adapt(np.full((1, 2, 8, 8, 3), 255, np.uint8))  # white: its logit is finite
    assert np.isfinite(one.frame_vae.decoder.get_layer("pixels").bias.numpy()).all()


def test_adapt_needs_a_last_layer_called_pixels():
    decoder = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(64), keras.layers.Reshape((8, 8, 1))]
    )
    with pytest.raises(ValueError, match=r"adapt: the decoder has no layer named 'pixels' with"):
        model(decoder=decoder).adapt(DATA.frames)


def test_a_collapsed_run_begins_again_at_half_the_rate(tmp_path, monkeypatch):
    frames = np.random.default_rng(0).random((6, 9, 16, 16)) < 0.3
    save(tmp_path / "some.npz", {"images": frames})
    rates, times = [], 3

    def collapse(run, train, test):
        run.claim()
        (run.folder / "metrics.jsonl").write_text("{}")
        rates.append(run.settings.init_lr)
        if len(rates) < times:
            raise CollapseError("collapse in epoch 1")

    monkeypatch.setattr("kvae.train._train", collapse)
    monkeypatch.chdir(tmp_path)
    for how, expected in (("retry", [0.008, 0.004, 0.002]), ("stop", [0.008])):
        rates.clear()
        flags = ("--dataset=some.npz", f"--run_name={how}", f"--on_collapse={how}")
        done = run_here(SCRIPT, *flags, "--init_lr=.008", cwd=tmp_path)
        assert rates == expected and done.returncode == (0 if how == "retry" else 2)
        assert done.stdout.count("BEGINNING AGAIN") == len(expected) - 1


@pytest.mark.parametrize(
    "how, code, times",
    [("stop", 2, 0), ("retry", 2, 2), ("ignore", 0, 0)],
)
@pytest.mark.slow
def test_a_run_on_frames_that_are_all_alike_says_so(tmp_path, how, code, times):
    frame = np.random.default_rng(0).random((16, 16)) < 0.3
    save(tmp_path / "same.npz", {"images": np.broadcast_to(frame, (6, 9, 16, 16))})
    flags = (*SMALL, "--dataset=same.npz", "--run_name=c", f"--on_collapse={how}", "--init_lr=.004")
    flags += ("--dim_a=auto", "--out_distr=auto")
    done, out, err = run_here(SCRIPT, *flags, cwd=tmp_path)
    assert done == code, err
    assert out.count("BEGINNING AGAIN at half the learning rate") == times
    if how == "ignore":
        assert "signs of COLLAPSE: the codes are constant" in out
        assert "dim_a=2: the minimum, because there are only 1 distinct frames" in out
        config = json.loads((tmp_path / "logs" / "c_kvae" / "config.json").read_text())
        assert (config["dim_a"], config["out_distr"]) == (2, "bernoulli")
        return
    rate = ".004" if how == "stop" else ".001"
    assert err.count("\n") == 1 and "collapse in epoch 1: the codes are constant" in err
    assert f"Use a smaller --init_lr than 0{rate}, another --seed" in err
