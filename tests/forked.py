"""Runs Python programs in forks of a process that has imported PyTorch.

That takes a second of each process. A fork has it at once. It has nothing of Pliant: it imports
that itself, from the folders that it is given, as a new process would.
"""

import importlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

STDIN, STDOUT, STDERR = 0, 1, 2


class Forks:
    """The process from which programs are forked, one at a time."""

    def __init__(self) -> None:
        env = os.environ | {"OMP_NUM_THREADS": "1"}
        env.pop("PYTHONPATH", None)
        self._server = subprocess.Popen(
            [sys.executable, __file__],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self, program: str, words: Sequence[str], folder: Path, path: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end.

        Args:
            program: a module, as after ``python -m``, or a file, which ends with .py.
            words: its arguments.
            folder: in which it runs.
            path: as in PYTHONPATH.
        """
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        with tempfile.TemporaryDirectory() as printed:
            outputs = [Path(printed) / name for name in ("stdout", "stderr")]
            request = {
                "program": program,
                "words": list(words),
                "folder": str(folder),
                "path": path,
                "outputs": list(map(str, outputs)),
            }
            print(json.dumps(request), file=self._server.stdin, flush=True)
            answer = self._server.stdout.readline()
            assert answer, "the process from which programs are forked has ended"
            stdout, stderr = (output.read_text(encoding="utf-8") for output in outputs)
        return subprocess.CompletedProcess([program, *words], int(answer), stdout, stderr)

    def close(self) -> None:
        """End the process; what it runs ends by itself."""
        self._server.kill()
        self._server.communicate()


def serve() -> None:
    """Fork for each request, a line on standard input; answer with the exit status."""
    importlib.import_module("torch")
    del sys.path[0]  # the folder of this file
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            become(**json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def become(program: str, words: list[str], folder: str, path: str, outputs: list[str]) -> Any:
    """Run the program in this process, and end."""
    os.chdir(folder)
    flags = os.O_WRONLY | os.O_CREAT
    os.dup2(os.open(os.devnull, os.O_RDONLY), STDIN)
    for name, number in zip(outputs, (STDOUT, STDERR), strict=True):
        os.dup2(os.open(name, flags), number)
    os.environ["PYTHONPATH"] = path
    sys.path[:0] = path.split(os.pathsep)
    sys.argv = [program, *words]
    if program.endswith(".py"):
        sys.path.insert(0, str(Path(program).parent))
        runpy.run_path(program, run_name="__main__")
    else:
        sys.path.insert(0, folder)
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    sys.exit()


if __name__ == "__main__":
    serve()
