"""benchmarks/vame_motifs.py on finished runs; vrae_speed.py at its smallest."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


def test_finished_runs_become_a_line_and_a_file(load_script, tmp_path, capsys):
    script = load_script(FOLDER / "vame_motifs.py")
    for seed, nmi in (("0", 0.5), ("1", 0.9)):
        project = tmp_path / "runs" / f"demo--missing=0.2-{seed}_vame"
        (project / "model").mkdir(parents=True)
        (project / "evaluation.json").write_text(json.dumps({"vame": {"nmi": nmi, "purity": 1.0}}))
        (project / "model" / "metrics.jsonl").write_text('{"seconds": 10.0}\n{"seconds": 5.2}\n')
    flags = [
        f"--runs={tmp_path / 'runs'}",
        f"--out={tmp_path / 'out.json'}",
        "--settings= --missing=0.2 ",
    ]
    script.flags.FLAGS(["x", *flags, "--seeds=0,1"])
    script.main([])
    line = json.loads(capsys.readouterr().out)
    assert (line["setting"], line["seeds"], line["seconds"]) == ("--missing=0.2", [0, 1], [15, 15])
    assert line["vame nmi"] == [0.7, 0.5, 0.9]
    kept = json.loads((tmp_path / "out.json").read_text())
    assert [(one["seed"], one["agreement"]["vame"]["nmi"]) for one in kept] == [(0, 0.5), (1, 0.9)]
    script.flags.FLAGS(["x", *flags, "--seeds=1"])
    script.main([])
    assert json.loads((tmp_path / "out.json").read_text()) == kept


def test_lines_over_longer_gaps_have_larger_errors(load_script, capsys):
    script = load_script(FOLDER / "vame_gaps.py")
    script.flags.FLAGS(["x", "--frames=2000", "--gaps=1,10"])
    script.main([])
    short, long = map(json.loads, capsys.readouterr().out.splitlines())
    assert (short["gap"], long["gap"]) == (1, 10) and short["error"] < 0.4 < long["error"]


def test_our_hidden_markov_model_is_at_least_as_likely_as_hmmlearns(load_script, capsys):
    script = load_script(FOLDER / "vame_hmm.py")
    script.flags.FLAGS(["x", "--codes=400", "--size=2", "--states=2", "--iterations=2"])
    script.main([])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["operation"] for line in lines][2] == "ours"
    likelihoods = [line["log_likelihood"] for line in lines]
    assert likelihoods[0] == likelihoods[1] <= likelihoods[2]


@pytest.mark.slow
def test_a_line_for_each_part_of_the_speed():
    done = subprocess.run(
        [
            sys.executable,
            FOLDER / "vrae_speed.py",
            "--units=4",
            "--repeats=1",
            "--frames=5000,6000",
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["operation"] for line in lines] == ["VAME training step", "embed", "embed"]
    assert lines[2]["frames"] == 6000 and lines[2]["frames_per_second"] > 1000
