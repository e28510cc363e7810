"""Words: requests that are never lost, from the operator or to end the control process.

Each word has its own counter in the shared memory, and sending the word increments it. Nothing else
writes to the counter, so no other request can overwrite a word.
"""

from enum import IntEnum


class Word(IntEnum):
    """The words, in the order in which they are handled if several came within one tick.

    The safest come last: a stop takes effect even if a clear came with it.
    """

    CLEAR = 0  # leave a latched fault
    RELEASE = 1  # end a hold
    HOLD = 2  # brake and follow no action until RELEASE
    STOP = 3  # controlled stop, latched
    QUIT = 4  # come to rest, then end the process
