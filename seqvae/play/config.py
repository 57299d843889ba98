"""Settings of the command `seqvae play`. Importing this module imports neither TensorFlow nor a web
server.
"""

from seqvae.commands import Settings, Tool, command_settings, group, setting


@group("What is shown, and where")
class ShownSettings(Settings):
    """Settings of the page."""

    data: str = setting(
        "", "an .npz of videos for the Kalman VAE, in place of the sequences of its run"
    )
    port: int = setting(8765, "port of the page on 127.0.0.1; 0: any free one")
    seed: int = setting(0, "seed of what is drawn: simulated sequences, episodes, bouts")


@command_settings
class PlaySettings(ShownSettings):
    """Settings of the command `play`."""


PLAY = Tool(
    settings=PlaySettings,
    module="seqvae.play.serve",
    argument="run folder",
    optional=True,
    description="""Opens a page on this machine: hide frames of a video and see what a
Kalman VAE fills in, play inside the dream of a world model, watch the motifs of animal motion.

    COMMAND                                     # the models that ship with the package
    COMMAND logs/mine_kvae                      # a run of `seqvae kvae`
    COMMAND logs/mine_kvae --data=videos.npz    # the same model on other videos
    COMMAND logs/mine_worldmodel                # the agent of a run of `seqvae worldmodel`
    COMMAND logs/mine_vame                      # the motifs of a run of `seqvae vame`

A run of `seqvae kvae` is shown on its test sequences, or on new ones of its simulated world.

Needs: pip install ".[play]". Only this machine can open the page. Ctrl-C ends it.""",
)
