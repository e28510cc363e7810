"""Adam without the hooks for ``torch.compile``."""

from inspect import unwrap

import torch
from torch.optim import Optimizer


class Adam(torch.optim.Adam):
    """PyTorch's Adam, of which nothing is compiled: the same steps and the same state.

    PyTorch decorates these methods for its compiler, and imports it when the first one is called.
    That takes two seconds of every process that trains. Here the methods are as they were before
    they were decorated; ``step`` took from its decorator that it records no gradients.
    """

    add_param_group = unwrap(Optimizer.add_param_group)
    zero_grad = unwrap(Optimizer.zero_grad)
    state_dict = unwrap(Optimizer.state_dict)
    load_state_dict = unwrap(Optimizer.load_state_dict)
    step = torch.no_grad()(unwrap(torch.optim.Adam.step))
