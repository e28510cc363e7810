"""Types of settings with the range that each allows; ``policies.settings`` refuses other values."""

from math import inf
from typing import Annotated

from msgspec import Meta

Positive = Annotated[float, Meta(gt=0, lt=inf)]
NonNegative = Annotated[float, Meta(ge=0, lt=inf)]
Finite = Annotated[float, Meta(gt=-inf, lt=inf)]
Share = Annotated[float, Meta(ge=0, le=1)]
PositiveShare = Annotated[float, Meta(gt=0, le=1)]
Discount = Annotated[float, Meta(ge=0, lt=1)]
Count = Annotated[int, Meta(ge=1)]
WholeNumber = Annotated[int, Meta(ge=0)]
LayerWidths = tuple[Count, ...]  # units of each hidden layer
