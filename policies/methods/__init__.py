"""Meta-RL methods: one file each, the config above the algorithm."""

from robots.registry import Registry

METHODS = Registry(
    "method",
    "pliant.methods",
    {
        "blind": "policies.methods.blind:Blind",
        "oracle": "policies.methods.oracle:Oracle",
        "pearl": "policies.methods.pearl:Pearl",
        "caster": "policies.methods.caster:Caster",
        "context_mpc": "policies.methods.context_mpc:ContextMPC",
        "recurrent_mpc": "policies.methods.recurrent_mpc:RecurrentMPC",
        "grbal": "policies.methods.grbal:Grbal",
        "rebal": "policies.methods.rebal:Rebal",
        "finetune": "policies.methods.finetune:Finetune",
        "particle_mpc": "policies.methods.particle_mpc:ParticleMpc",
        "rl2": "policies.methods.rl2:Rl2",
        "rl2_transformer": "policies.methods.rl2_transformer:Rl2Transformer",
        "snail": "policies.methods.snail:Snail",
        "sequence": "policies.methods.sequence:Sequence",
        "mql": "policies.methods.mql:Mql",
        "varibad": "policies.methods.varibad:Varibad",
        "maml": "policies.methods.maml:Maml",
        "fomaml": "policies.methods.fomaml:Fomaml",
        "promp": "policies.methods.promp:Promp",
        "emaml": "policies.methods.emaml:Emaml",
        "maesn": "policies.methods.maesn:Maesn",
        "viable": "policies.methods.viable:Viable",
        "metagenrl": "policies.methods.metagenrl:MetaGenRl",
        "hierarchical": "policies.methods.hierarchical:Hierarchical",
        "distill": "policies.methods.distill:Distill",
        "rma": "policies.methods.rma:Rma",
        "sysid_mpc": "policies.methods.sysid_mpc:SysidMpc",
        "torque_adapter": "policies.methods.torque_adapter:TorqueAdapterMethod",
    },
)
