"""What all commands share: settings, flags, run folders, resuming, one-line errors and Ctrl-C."""

from seqvae.commands.command import Command
from seqvae.commands.run import Run, saved_config
from seqvae.commands.run_settings import DeviceSettings, RunSettings
from seqvae.commands.settings import Affects, Settings, command_settings, group, setting
from seqvae.commands.table_settings import TableSettings
from seqvae.commands.tool import Tool

__all__ = [
    "Affects",
    "Command",
    "DeviceSettings",
    "Run",
    "RunSettings",
    "Settings",
    "TableSettings",
    "Tool",
    "command_settings",
    "group",
    "saved_config",
    "setting",
]
