"""First-order MAML (Finn et al. 2017): ``maml`` with the gradients of inner steps as constants."""

from policies.methods.maml import Maml


class Fomaml(Maml):
    """MAML without second derivatives."""

    second_order = False
