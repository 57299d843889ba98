"""Pose series with known motifs, as `vrae.vame` reads them: an .npz a session.

    python datasets/simulate_pose.py --sessions=4 --frames=9000  # datasets/pose/session_0.npz ...
    # every eighth of them, on any machine
    python datasets/simulate_pose.py --sessions=800 --shards=8 --shard=3
    # a tenth of the keypoints not seen
    python datasets/simulate_pose.py --missing=0.1 --out=/tmp/gaps

A file: `positions` [2 keypoints, frames], x and y of each keypoint, NaN where it was not seen;
`motifs` [frames], the motif of every frame; `clean`, the positions without noise and gaps.
"""

from pathlib import Path

from absl import app, flags

from seqvae.data import part_of, save

flags.DEFINE_integer("sessions", 4, "number of sessions")
flags.DEFINE_integer("frames", 9000, "frames in a session")
flags.DEFINE_integer("n_motifs", 5, "number of motifs")
flags.DEFINE_integer("keypoints", 6, "number of keypoints, two features each")
flags.DEFINE_float("tempo", 0.25, "standard deviation of the logarithm of a bout's speed")
flags.DEFINE_float("vigour", 0.3, "standard deviation of the logarithm of a bout's size")
flags.DEFINE_float("noise", 0.05, "standard deviation of a coordinate")
flags.DEFINE_float("missing", 0.0, "share of frames at which a keypoint is not seen")
flags.DEFINE_integer("seed", 0, "seed of the motifs and the sessions")
flags.DEFINE_integer("shards", 1, "parts that the sessions are made in")
flags.DEFINE_integer("shard", None, "make only the sessions of this part (0 to shards - 1)")
flags.DEFINE_string("out", str(Path(__file__).resolve().parent / "pose"), "folder of the sessions")

_OPTIONS = ("n_motifs", "keypoints", "tempo", "vigour", "noise", "missing", "seed")


def main(argv: list[str]) -> None:
    """Run the command line."""
    from vrae.vame.simulation import simulate_poses

    values = flags.FLAGS.flag_values_dict()
    if len(argv) > 1:
        raise app.UsageError(f"flags begin with --, got {argv[1:]}")
    try:
        numbers = part_of(range(values["sessions"]), values["shard"], values["shards"])
        for i in numbers:
            made = simulate_poses(
                1, values["frames"], first=i, **{name: values[name] for name in _OPTIONS}
            )
            for name, session in made.items():
                save(Path(values["out"]) / f"{name}.npz", session._asdict())
    except (ValueError, OSError) as error:
        raise SystemExit(f"simulate_pose.py: {error}") from None
    print(f"{values['out']}: {len(numbers)} sessions of {values['frames']} frames")


if __name__ == "__main__":
    app.run(main)
