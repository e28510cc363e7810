"""Meta-RL methods: one file each, readable top to bottom, over a few shared parts."""

from robots.registry import Registry

METHODS = Registry(
    "method",
    {
        "blind": "policies.blind:Blind",
        "oracle": "policies.oracle:Oracle",
        "pearl": "policies.pearl:Pearl",
        "context_mpc": "policies.context_mpc:ContextMPC",
        "grbal": "policies.grbal:Grbal",
        "rl2": "policies.rl2:Rl2",
        "maml": "policies.maml:Maml",
        "fomaml": "policies.maml:Fomaml",
    },
)
