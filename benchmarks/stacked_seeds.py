"""What seeds as a batch axis would gain: five seeds in one step, against five steps.

A step is forward, backward and optimizer of twin critics, as in soft actor-critic. Stacked, the
critics of all seeds are one tensor, so that a step takes as many operations as that of one seed.
Both run on one thread and take turns. A ratio of 2.5 means that five seeds take twice the time of
one. Unit: steps of one seed per second.
"""

import torch
from peers import Row, arguments, compare, show, timed
from torch import Tensor

from policies.nn.flat_mlp import FlatMlp

SEEDS = 5
CRITICS = 2  # twin critics of a seed
INPUTS = 24
STEPS = 20
# Layer widths and transitions of a batch, from tiny networks to the preset of slide.
SIZES = ((32, 128), (64, 256), (128, 512), (256, 256))


class Critics:
    """Twin critics of some seeds, and their optimizer."""

    def __init__(self, seeds: int, width: int) -> None:
        generator = torch.Generator().manual_seed(0)
        members = CRITICS * seeds
        self.net = FlatMlp([INPUTS, width, width, 1], generator, members)
        self.optimizer = torch.optim.Adam(self.net.parameters(), fused=True)

    def step(self, x: Tensor) -> None:
        loss = self.net(x).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def compare_size(width: int, batch: int, repeats: int) -> list[Row]:
    x = torch.randn(batch, INPUTS, generator=torch.Generator().manual_seed(1))
    stacked = Critics(SEEDS, width)
    single = Critics(1, width)

    def take_stacked() -> None:
        for _ in range(STEPS):
            stacked.step(x)

    def take_in_turn() -> None:
        for _ in range(SEEDS * STEPS):
            single.step(x)

    def name(peer: str) -> str:
        return f"{SEEDS} seeds stacked over {peer}, {width} units, batches of {batch}"

    runs = {"ours": lambda: timed(take_stacked), "in turn": lambda: timed(take_in_turn)}
    return compare(name, "steps/s", SEEDS * STEPS, runs, repeats)


def main() -> None:
    asked = arguments(__doc__, repeats=5).parse_args()
    torch.set_num_threads(1)
    rows = []
    for width, batch in SIZES:
        rows += compare_size(width, batch, asked.repeats)
    show(rows, asked.json)


if __name__ == "__main__":
    main()
