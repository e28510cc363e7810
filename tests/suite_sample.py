"""Tasks of dm_control's suite that the contracts of families and engines are tested on."""

SAMPLE = (
    "suite/finger-spin",  # sensors of contacts, a joint without a motor
    "suite/cartpole-swingup",  # the integrator RK4
    "suite/reacher-easy",  # a target
)
