"""DDS as ROS 2 uses it: names of topics, qualities of service, and the network interface."""

from typing import Any, TypeVar
from xml.sax.saxutils import quoteattr

from cyclonedds.core import DDSException
from cyclonedds.domain import Domain, DomainParticipant
from cyclonedds.internal import InvalidSample
from cyclonedds.pub import DataWriter
from cyclonedds.qos import Policy, Qos
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from cyclonedds.util import duration

T = TypeVar("T")

LOOPBACK = "lo"
MOST = 1000  # samples that are taken at once
BLOCKING = 1  # ms that a write may block; it does not wait for anybody who reads
# how ROS 2 encodes messages: the first version of CDR
ENCODING = Policy.DataRepresentation(use_cdrv0_representation=True)
COERCION = Policy.TypeConsistency.AllowTypeCoercion(ignore_member_names=True)
RELIABLE = Policy.Reliability.Reliable(duration(milliseconds=BLOCKING))
NEWEST = Policy.History.KeepLast(1)

# The newest sample only, and no wait for lost ones: fits a reliable and a best-effort publisher.
SENSOR = Qos(Policy.Reliability.BestEffort, NEWEST, ENCODING, COERCION)
COMMAND = Qos(RELIABLE, Policy.Durability.Volatile, NEWEST, ENCODING)
COMMAND_READER = Qos(RELIABLE, Policy.Durability.Volatile, NEWEST, ENCODING, COERCION)
LATCHED = Qos(RELIABLE, Policy.Durability.TransientLocal, NEWEST, ENCODING)
LATCHED_READER = Qos(RELIABLE, Policy.Durability.TransientLocal, NEWEST, ENCODING, COERCION)
SERVICE = Qos(RELIABLE, Policy.Durability.Volatile, Policy.History.KeepLast(10), ENCODING)

# Domains of this process by number, with the interface of each; they live as long as the process.
_domains: dict[int, tuple[str, Domain]] = {}


def make_config(interface: str) -> str:
    """Cyclone DDS's configuration (XML) for one network interface.

    On the loopback interface nothing is sent by multicast: participants find each other by asking
    the ports of this machine. On another interface discovery uses multicast, as ROS 2 does.
    """
    name = f"name={quoteattr(interface)}"
    if interface != LOOPBACK:
        return (
            "<General><Interfaces>"
            f"<NetworkInterface {name}/>"
            "</Interfaces><AllowMulticast>spdp</AllowMulticast></General>"
        )
    return (
        "<General><Interfaces>"
        f'<NetworkInterface {name} multicast="false"/>'
        "</Interfaces><AllowMulticast>false</AllowMulticast></General>"
        "<Discovery><ParticipantIndex>auto</ParticipantIndex>"
        "<MaxAutoParticipantIndex>50</MaxAutoParticipantIndex>"
        '<Peers><Peer address="127.0.0.1"/></Peers></Discovery>'
    )


def join(domain: int, interface: str) -> DomainParticipant:
    """Take part in a domain, on one network interface.

    Raises:
        OSError: there is no such interface, or this process uses the domain on another one.
    """
    try:
        if domain not in _domains:
            _domains[domain] = (interface, Domain(domain, make_config(interface)))
        used, _ = _domains[domain]
        if used != interface:
            raise OSError(f"this process already uses the domain {domain} on {used}")
        return DomainParticipant(domain)
    except DDSException as error:
        problem = f"DDS cannot use the domain {domain} on the network interface {interface!r}"
        raise OSError(f"{problem}: {error}") from error


def topic_name(namespace: str, name: str, prefix: str = "rt") -> str:
    """The DDS name of a ROS 2 topic: ``rt/joint_states``; services have ``rq`` and ``rr``."""
    parts = [prefix, *namespace.split("/"), *name.split("/")]
    return "/".join(part for part in parts if part)


def make_reader(
    participant: DomainParticipant, name: str, kind: type[T], qos: Qos
) -> DataReader[T]:
    """A reader of the topic with this DDS name."""
    return DataReader(participant, Topic(participant, name, kind), qos=qos)


def make_writer(
    participant: DomainParticipant, name: str, kind: type[T], qos: Qos
) -> DataWriter[T]:
    """A writer to the topic with this DDS name."""
    return DataWriter(participant, Topic(participant, name, kind), qos=qos)


def take(reader: DataReader[Any]) -> list[Any]:
    """What has arrived since the last call; samples without data, which tell of a death, are not.

    Raises:
        OSError: the link is broken.
    """
    try:
        arrived = reader.take(MOST)
    except DDSException as error:
        raise OSError(f"the link is broken: {error}") from error
    return [each for each in arrived if not isinstance(each, InvalidSample)]
