"""Families as Gymnasium environments: repeat a task, render it, and meta-train on trials.

python examples/gymnasium_loop.py
"""

import gymnasium
import numpy as np

import sim.gym  # noqa: F401  registers pliant/FAMILY-v0
from sim.gym_trials import TrialVectorWrapper, TrialWrapper


def repeat_a_task() -> None:
    """Two episodes of one held-out task, with other starts."""
    env = gymnasium.make("pliant/point-v0", split="heldout", render_mode="rgb_array")
    obs, info = env.reset(seed=0)
    task = info["task"]
    print("task", dict(zip(info["task_names"], task.round(2).tolist(), strict=True)))
    for episode in range(2):
        obs, info = env.reset(options={"task": task})
        total = 0.0
        over = False
        while not over:
            toward_goal = np.clip(10 * (task - obs), -1, 1)
            obs, reward, terminated, truncated, info = env.step(toward_goal)
            total += float(reward)
            over = terminated or truncated
        picture = np.asarray(env.render())
        print(f"episode {episode + 1}: return {total:.2f}, picture {picture.shape}")
    env.close()


def act_in_trials() -> None:
    """Three episodes of one task as one long episode, for recurrent policies of other libraries."""
    env = TrialWrapper(gymnasium.make("pliant/point-v0"), episodes_per_trial=3)
    env.reset(seed=0)
    steps = 0
    over = False
    while not over:
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        over = terminated or truncated
        steps += 1
    print(f"a trial of {env.episodes_per_trial} episodes has {steps} steps")

    envs = gymnasium.make_vec("pliant/point-v0", num_envs=8, autoreset_mode="Disabled")
    trials = TrialVectorWrapper(envs, episodes_per_trial=3)
    obs, _ = trials.reset(seed=0)
    obs, reward, *_ = trials.step(trials.action_space.sample())
    print(f"{trials.num_envs} trials at once: observations {obs.shape}, rewards {reward.shape}")


if __name__ == "__main__":
    repeat_a_task()
    act_in_trials()
