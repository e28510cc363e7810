"""The entries of an emulated servo's memory."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Register:
    """One entry of the control table."""

    address: int
    size: int  # bytes
    initial: int
    low: int | None = None  # None: read only
    high: int | None = None

    @property
    def end(self) -> int:
        """The first address after it."""
        return self.address + self.size
