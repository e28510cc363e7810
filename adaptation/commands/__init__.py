"""The command line's commands, one file per group.

A command is a frozen dataclass: its fields are the options, its docstring is the help text, its
method ``run`` does the work and returns the answer for ``--json``. Modules import what is slow to
import inside ``run``, so that help and ``pliant list`` answer at once.
"""

from robots.registry import Registry

COMMANDS = Registry(
    "command",
    "pliant.commands",
    {
        "list": "adaptation.commands.listing:List",
        "settings": "adaptation.commands.listing:Settings",
        "train": "adaptation.commands.training:Train",
        "evaluate": "adaptation.commands.evaluation:Evaluate",
        "compare": "adaptation.commands.bench:Compare",
        "bench": "adaptation.commands.bench:Bench",
        "gap": "adaptation.commands.gap:Gap",
        "families": "adaptation.commands.families:Families",
        "deploy": "adaptation.commands.arm:Deploy",
        "trial": "adaptation.commands.arm:Trial",
        "arm": "adaptation.commands.adding:Arm",
        "gripper": "adaptation.commands.adding:Gripper",
        "move": "adaptation.commands.moving:Move",
        "jog": "adaptation.commands.moving:Jog",
        "park": "adaptation.commands.moving:Park",
        "report": "adaptation.commands.evaluation:Report",
        "play": "adaptation.commands.playing:Play",
        "replay": "adaptation.commands.playing:Replay",
        "view": "adaptation.commands.evaluation:View",
        "recover": "adaptation.commands.tools:Recover",
        "sysid": "adaptation.commands.tools:Sysid",
        "emulate": "adaptation.commands.tools:Emulate",
        "board": "adaptation.commands.printing:Board",
        "calibrate": "adaptation.commands.calibrating:Calibrate",
        "doctor": "adaptation.commands.checking:Doctor",
    },
)
