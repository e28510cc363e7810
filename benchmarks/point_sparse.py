"""A picture of how PEARL searches for a goal on ``point_sparse``.

    pliant train pearl --family point_sparse --out runs/point_sparse
    python benchmarks/point_sparse.py runs/point_sparse docs/point_sparse.svg

Each panel is one held-out task. Episodes before the last one explore under a sample of the
posterior, from light to dark; the last one acts under its mean. Where the reward is not zero is a
disc around the goal.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes

from adaptation.jobs.evaluate import explores
from adaptation.reporting.curves import to_svg_file
from adaptation.reporting.figures import new_figure
from adaptation.rollout import rollout
from adaptation.runs.run import Run
from policies.method import TrialBatch
from sim.vec_world import VecWorld

PANELS = 6
JUDGED = 200  # tasks of the success rate in the title
EXPLORATION = "#3b6ea5"
LAST = "#d9541e"
GOAL = "#2f7d4f"
MARGIN = 0.3  # m around the half circle


def judged_trial(path: Path) -> TrialBatch:
    run = Run.open(path)
    family = run.family
    method = run.load("method").method
    task = family.sample(np.random.default_rng(5), JUDGED, "heldout")
    world = VecWorld(family, n=JUDGED, seed=5)
    return rollout(world, method, task, family.episodes, explores(family, family.episodes))


def draw_task(axes: Axes, trial: TrialBatch, world: int) -> None:
    episodes = len(trial.success)
    angle = np.linspace(0, np.pi, 40)
    axes.plot(np.cos(angle), np.sin(angle), color="0.85", linewidth=1)
    goal = trial.task[world].numpy()
    disc = 0.2 * np.stack([np.cos(2 * angle), np.sin(2 * angle)])
    axes.fill(goal[0] + disc[0], goal[1] + disc[1], color=GOAL, alpha=0.3)
    for episode in range(episodes):
        first = trial.ticks.obs[episode, :1, world]
        path = torch.cat([first, trial.ticks.next_obs[episode, :, world]]).numpy()
        last = episode == episodes - 1
        color = LAST if last else EXPLORATION
        alpha = 1.0 if last else 0.25 + 0.6 * episode / episodes
        axes.plot(path[:, 0], path[:, 1], color=color, alpha=alpha, linewidth=2 if last else 1)
    found = (trial.ticks.reward[:, :, world] > 0).any(1)
    visits = int(found.int().argmax()) + 1 if found.any() else None
    axes.set_title("not found" if visits is None else f"found in episode {visits}", fontsize=9)
    axes.set_xlim(-1 - MARGIN, 1 + MARGIN)
    axes.set_ylim(-MARGIN, 1 + MARGIN)
    axes.set_aspect("equal")
    axes.tick_params(labelsize=7)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw how a run searches for hidden goals.")
    parser.add_argument("run", type=Path)
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    trial = judged_trial(arguments.run)
    success = trial.success.float().mean(1)
    print("success per episode:", [f"{share:.0%}" for share in success.tolist()])
    figure = new_figure(9, 4.4)
    panels = figure.subplots(2, PANELS // 2, sharex=True, sharey=True).flat
    for world, axes in enumerate(panels):
        draw_task(axes, trial, world)
    figure.suptitle(
        f"success in the last episode: {success[-1]:.0%} of {JUDGED} tasks", fontsize=10
    )
    arguments.picture.write_text(to_svg_file(figure), encoding="utf-8")


if __name__ == "__main__":
    main()
