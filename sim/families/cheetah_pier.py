"""The half-cheetah runs over floating blocks with hidden dampings: one of GrBAL's families."""

import numpy as np

from robots.actions import JointTorque
from robots.arm import numbers_of
from robots.scene import Scene
from robots.world import Start, Task
from sim.families.base import BaseFamily
from sim.families.cheetah import CHEETAH, ForwardCheetah, cheetah_obs
from sim.families.splits import checkerboard
from sim.pier import BLOCKS, HALF_HEIGHT, PierWalker, damping_name
from sim.randomization import Parameter, uniform, values_at

BODY = PierWalker(**(numbers_of(CHEETAH) | {"needs_mujoco": True, "left_out": ("floor",)}))


def damping(number: int) -> Parameter:
    """The damping of a block."""
    meaning = f"damping of block {number}"
    return Parameter(damping_name(number), uniform(0.0, 10.0), "N·s/m", meaning, (0.0, 100.0))


class CheetahPier(ForwardCheetah):
    """Run forward over eight floating blocks, each with a hidden damping.

    As in GrBAL's code (Nagabandi, Clavera et al. 2019): the blocks, their springs, masses and
    dampings, the reward and the duration; the blocks are not observed. As there, all masses are
    scaled to 14 kg in all, blocks included, so that the cheetah has 2.9 kg and its usual motors.
    The last block is longer than there: the pier ends at 122 m instead of 62 m, which a fast
    policy reaches within an episode.

    There an action lasts one step of 10 ms and an episode 1000 actions; here it lasts five steps
    and an episode 200 actions. Starts have Gymnasium's noise, and the torso starts 0.1 m higher,
    above the blocks.
    """

    name = "cheetah_pier"
    body = BODY
    scene = Scene(BODY, timestep=0.01)
    action = JointTorque(BODY)
    obs = cheetah_obs(height=(-0.6, 1.2), lean=(-5.0, 5.0))  # so light a cheetah leaps and turns
    observes_state = False  # the blocks move, and are not observed
    state_of = BaseFamily.state_of
    episodes = 2
    parameters = tuple(damping(number) for number in range(len(BLOCKS)))
    task_names = tuple(parameter.name for parameter in parameters)
    min_speed = 2.0

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """Dampings drawn uniformly; a held-out task lies on a black field of a checkerboard.

        With eight dampings, two tasks of one split are as far apart as two tasks of different
        splits.
        """
        share = checkerboard(rng, n, len(self.parameters), split)
        values = values_at(self.parameters, share)
        return Task(self.task_names, values, np.arange(n))

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        """As on the ground, but higher by the height of a block."""
        start = super().start(rng, task)
        start.q[:, BODY.root.index("rootz")] += 2 * HALF_HEIGHT
        return start
