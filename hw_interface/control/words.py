"""The words that are never lost: those of the operator, and the one that ends the control process.

Each word is a counter of its own in the shared memory. Saying a word increments its counter, and
nothing but the same word writes there, so that no other request can take a word's place.
"""

from enum import IntEnum


class Word(IntEnum):
    """The words, in the order in which they are handled where several came within one tick.

    The safest come last: a stop holds although a clear came with it.
    """

    CLEAR = 0  # leave a latched fault
    RELEASE = 1  # end a hold
    HOLD = 2  # brake and follow no action until RELEASE
    STOP = 3  # controlled stop, latched
    QUIT = 4  # come to rest, then end the process
