"""Types of settings with the range that each allows; ``policies.settings`` refuses other values.

No range of floats contains infinity or NaN.
"""

from sys import float_info
from typing import Annotated

from msgspec import Meta

LARGEST = float_info.max

Finite = Annotated[float, Meta(ge=-LARGEST, le=LARGEST)]
Positive = Annotated[float, Meta(gt=0, le=LARGEST)]
NonNegative = Annotated[float, Meta(ge=0, le=LARGEST)]
AtLeastOne = Annotated[float, Meta(ge=1, le=LARGEST)]
Share = Annotated[float, Meta(ge=0, le=1)]
PositiveShare = Annotated[float, Meta(gt=0, le=1)]
Discount = Annotated[float, Meta(ge=0, lt=1)]
# Of things that are in memory at once, as in a batch; far above what is trained here.
Count = Annotated[int, Meta(ge=1, le=100_000)]
LargeCount = Annotated[int, Meta(ge=1)]  # of what takes time alone, or is checked otherwise
WholeNumber = Annotated[int, Meta(ge=0)]
LARGEST_SEED = 2**32 - 1  # NumPy's older generators take no larger one, PyTorch's up to 2**64 - 1
Seed = Annotated[int, Meta(ge=0, le=LARGEST_SEED)]
# Far above what is trained here: a config from elsewhere must not fill the memory.
Width = Annotated[int, Meta(ge=1, le=2048)]  # units of a hidden layer
LayerWidths = tuple[Width, ...]  # units of each hidden layer
