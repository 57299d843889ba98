"""The tree keeps its shape: who imports whom, what no file may hold."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FAMILIES = ("kvae", "worldmodels", "vrae")
PACKAGES = [p for p in ("seqvae", *FAMILIES) if (ROOT / p).is_dir()]
MODULES = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
SOURCES = MODULES + [
    p
    for folder in ("examples", "datasets", "benchmarks", "tests/soak")
    for p in (ROOT / folder).rglob("*.py")
]


def imports(path):
    """Top-level names of all the modules a file imports, with their full names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or ""}
    return found


def test_there_is_something_to_check():
    assert len(MODULES) > 20


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_knowledge_points_one_way(path):
    package = path.relative_to(ROOT).parts[0]
    tops = {name.split(".")[0] for name in imports(path)}
    forbidden = {"examples", "datasets", "tests", "benchmarks"} | (set(FAMILIES) - {package})
    assert not tops & forbidden
    if path.name != "__main__.py":
        assert "seqvae.cli" not in imports(path)  # the one module of seqvae that names the families


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_only_plotting_imports_matplotlib_and_no_model_plots(path):
    relative = path.relative_to(ROOT).as_posix()
    if not relative.startswith("seqvae/plotting/"):
        assert not any(name.startswith("matplotlib") for name in imports(path))
    if not relative.startswith("seqvae/") and not path.stem.endswith("report"):
        assert not any("plotting" in name for name in imports(path))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_what_no_file_may_hold(path):
    assert path.stem not in ("utils", "helpers", "common", "misc")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert node.value.value is False
        if isinstance(node, ast.Attribute):
            assert node.attr not in ("Lambda", "experimental_parallelize")
    forbidden = {"pickle", "dill", "joblib", "tf_keras"}
    if path.name == "seglearn_recordings.py":
        forbidden.remove("pickle")  # reads a published file by an unpickler that only makes arrays
    assert not {name.split(".")[0] for name in imports(path)} & forbidden


def functions(path):
    """The public functions and methods of a file, constructors among them."""
    stack = list(ast.parse(path.read_text(encoding="utf-8")).body)
    while stack:
        node = stack.pop()
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            stack += node.body
        if isinstance(node, ast.FunctionDef) and (
            node.name[0] != "_" or node.name in ("__init__", "__call__")
        ):
            yield node


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_parameters_of_public_functions_are_annotated(path):
    bare = []
    for function in functions(path):
        parts = function.args
        given = [
            *parts.posonlyargs,
            *parts.args,
            *parts.kwonlyargs,
            *filter(None, (parts.vararg, parts.kwarg)),
        ]
        names = [
            each.arg
            for each in given
            if each.annotation is None and each.arg not in ("self", "cls")
        ]
        bare += [f"{function.name}({', '.join(names)}), line {function.lineno}"] if names else []
    assert not bare


def test_datasets_never_shadows_the_package_of_that_name():
    assert not (ROOT / "datasets" / "__init__.py").exists()


def test_simulators_start_without_tensorflow_and_importing_prints_nothing():
    code = "import sys, seqvae.physics.dodge, seqvae.data; sys.exit('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


COMMON_FLAGS = "seed deterministic preset gpu run_name log_dir resume overwrite display_step"
FLAGS = {
    "run_kvae": (
        "dataset out_distr conv activation filter_size num_filters vae_num_units num_layers "
        "noise_pixel_var ll_keep_prob "
        "use_vae dim_a dim_z dim_u K noise_emission noise_transition init_cov alpha_rnn "
        "alpha_units alpha_layers "
        "alpha_activation fifo_size learn_u batch_size init_lr init_kf_matrices max_grad_norm "
        "scale_reconstruction "
        "only_vae_epochs kf_update_steps decay_rate decay_steps sample_z num_epochs "
        "train_miss_prob t_init_train_miss gpu "
        "reload_model run_name log_dir display_step generate_step n_steps_gen t_init_mask "
        "t_steps_mask bound seed "
        "deterministic preset resume data_dir"
    ),
    "run_convvae": (
        "dataset architecture z_size kl_tolerance batch_size learning_rate num_epochs reload_model"
    ),
    "run_mdnrnn": (
        "vae dataset rnn_size num_mixture batch_size seq_len learning_rate decay_rate "
        "min_learning_rate grad_clip "
        "num_epochs temperature reload_model"
    ),
    "run_vame": (
        "dataset time_window zdims batch_size max_epochs learning_rate beta kmeans_loss n_clusters"
    ),
}


@pytest.mark.parametrize("command", FLAGS)
def test_help_answers_at_once(command):
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / f"{command}.py", "--help"],
        capture_output=True,
        text=True,
        timeout=10,
    )
    for flag in f"{FLAGS[command]} {COMMON_FLAGS}".split():
        assert any(
            f"  {form}" in done.stdout for form in (f"--{flag}=", f"--{flag} ", f"--[no]{flag} ")
        ), flag
