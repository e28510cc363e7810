"""Tasks of dm_control's suite that the contracts of families and engines are tested on."""

SAMPLE = (
    "suite/cartpole-swingup",  # a joint without a motor, RK4
    "suite/finger-spin",  # sensors of contacts
    "suite/reacher-easy",  # a target
    "suite/walker-walk",  # hidden masses in a sensor that the reward reads
)
