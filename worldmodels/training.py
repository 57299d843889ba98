"""How the two models are trained: named settings of the commands' flags."""

CONVVAE_PRESETS: dict[str, dict] = {
    "": {},
    "course": {"architecture": "course", "batch_size": 32, "learning_rate": 1e-3, "num_epochs": 1},
    "demo": {"episodes": 400, "steps": 100, "batch_size": 32, "learning_rate": 3e-4, "num_epochs": 3},
}
""""": the original's; "course": the course text's; "demo": minutes on a laptop, for the bouncing balls."""

MDNRNN_PRESETS: dict[str, dict] = {
    "": {},
    "demo": {"batch_size": 20, "num_epochs": 60, "learning_rate": 3e-3, "decay_rate": 0.95, "dream_steps": 40},
}
""""": the original's; "demo": minutes on a laptop, for the bouncing balls."""
