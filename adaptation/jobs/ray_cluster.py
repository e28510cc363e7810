"""A Ray cluster that this process is the driver of, and the workers on its machines."""

import os
import subprocess
import sys
from importlib import import_module
from typing import Any, Generic, TypeVar, cast

from adaptation.jobs.ray_access import LOOPBACK_HOSTS, TOKEN, ray_environment
from adaptation.jobs.workers import Build, Function, LostWorkerError, build_function, error_from
from robots.errors import PliantError, RefusedError

CORE_SECONDS = 300.0  # that a cluster may be without a core, s
PROBE_SECONDS = 60.0  # that a cluster may take to answer, s
# Asks a cluster with a wrong token. GcsClient is the part of Ray that asks nothing but that.
PROBE = "import sys; from ray._raylet import GcsClient; GcsClient(address=sys.argv[1]).cluster_id"

A = TypeVar("A")  # what a worker answers
Reference = Any  # to what a Ray task will return


class RayCluster:
    """A cluster, and the environment that Ray reads.

    Attributes:
        ray: the module.
    """

    def __init__(self, workers: int | None, address: str | None) -> None:
        """Start a cluster on this machine's loopback, or join one; see ``RayExecutor``."""
        variables = ray_environment(address, os.environ)
        self._before = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)
        try:
            self.ray = import_module("ray")
            if address is not None:
                check_token_is_asked(address)
            self._connect(workers, address)
        except BaseException:
            self._restore_environment()
            raise

    def _connect(self, workers: int | None, address: str | None) -> None:
        quiet = {"log_to_driver": False, "configure_logging": False}
        try:
            if address is not None:
                self.ray.init(address=address, **quiet)
                return
            self.ray.init(
                address="local",
                num_cpus=workers or os.cpu_count() or 1,
                include_dashboard=False,
                _node_ip_address=LOOPBACK_HOSTS[0],
                **quiet,
            )
        except Exception as error:  # Ray raises many kinds, and a bare one where it is too slow
            self.ray.shutdown()
            raise PliantError(f"no Ray cluster: {error}") from error
        host = self.ray.util.get_node_ip_address()
        if host not in LOOPBACK_HOSTS:
            self.ray.shutdown()
            raise RefusedError(f"Ray would listen on {host}, not on loopback alone")

    def cores(self) -> int:
        """How many cores its machines have now."""
        return int(self.ray.cluster_resources().get("CPU", 0))

    def close(self) -> None:
        """Leave or end the cluster."""
        self.ray.shutdown()
        self._restore_environment()

    def _restore_environment(self) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class RayWorker(Generic[A]):
    """A worker on a core of a cluster, see ``workers``: an actor of Ray."""

    def __init__(self, cluster: RayCluster, build: Build[A], arguments: tuple[object, ...]) -> None:
        """Ask for a core; this does not wait for it."""
        self._cluster = cluster
        self._ray = cluster.ray
        actor = self._ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(Actor)
        given = self._ray.put((build, arguments))
        self._actor = actor.remote(sys.path, [given])
        self._built: Reference = self._actor.build.remote()
        self._answer: Reference = None

    def send(self, *arguments: object) -> None:
        """Begin a call."""
        self._answer = self._actor.call.remote(*arguments)

    def receive(self) -> A:
        """Wait for the result of the call.

        Raises:
            LostWorkerError, PliantError: see ``Worker``; also where no core is free for long.
        """
        if self._built is not None:
            self._wait_for_core()
        return cast(A, self._get(self._answer))

    def _wait_for_core(self) -> None:
        """Wait until the function is built.

        Raises:
            PliantError: no core was free, or building takes too long.
        """
        built, _ = self._ray.wait([self._built], timeout=CORE_SECONDS)
        if not built:
            raise PliantError(
                f"a worker did not start within {CORE_SECONDS:.0f} s: each needs a core, and the "
                f"Ray cluster has {self._cluster.cores()} in all"
            )
        self._get(self._built)
        self._built = None

    def _get(self, reference: Reference) -> object:
        errors = self._ray.exceptions
        try:
            result: object = self._ray.get(reference)
            return result
        except errors.RayTaskError as error:  # of the function itself
            raise error_from(str(error)) from error
        except errors.RayError as error:  # the machine, or the actor's process, is gone
            raise LostWorkerError(f"its machine or process is gone: {error}") from error

    def close(self) -> None:
        """End the process."""
        self._ray.kill(self._actor)


class Actor:
    """What Ray keeps in the process of a worker."""

    def __init__(self, search_path: list[str], given: list[Reference]) -> None:
        """Keep what to build.

        Args:
            search_path: of the driver, which has the modules of a user's own methods and families.
            given: the function to build and its arguments, in a list, in which Ray leaves them
                until the modules that they need can be found.
        """
        extend_search_path(search_path)
        self._given = given

    def build(self) -> None:
        """Build the function."""
        build, arguments = import_module("ray").get(self._given[0])
        self._function: Function[Any] = build_function(build, arguments, threads=1)

    def call(self, *arguments: object) -> object:
        """Call the function; Ray puts what was shared in the place of its references."""
        result: object = self._function(*arguments)
        return result


def extend_search_path(folders: list[str]) -> None:
    """Let this process find the driver's modules too."""
    sys.path += [folder for folder in folders if folder not in sys.path]


def check_token_is_asked(address: str) -> None:
    """Refuse a cluster that takes any token: whoever reaches it runs code on all its members."""
    try:
        probe = subprocess.run(
            [sys.executable, "-c", PROBE, address],
            env={**os.environ, TOKEN: "not the token of any cluster, but as long as one"},
            capture_output=True,
            text=True,
            timeout=PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise PliantError(f"no Ray cluster answers at {address}: {error}") from error
    if probe.returncode == 0:
        raise RefusedError(
            f"the Ray cluster at {address} asks for no token: start its nodes with "
            "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN"
        )
    if "AuthenticationError" not in probe.stderr:
        *_, reason = probe.stderr.strip().splitlines() or ["no answer"]
        raise PliantError(f"no Ray cluster answers at {address}: {reason}")
