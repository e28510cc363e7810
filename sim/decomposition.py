"""Divides a solid into convex parts, by CoACD (Wei et al. 2022)."""

from typing import TYPE_CHECKING

from robots.errors import BadArgumentError, MissingExtraError, install_extra

if TYPE_CHECKING:
    from trimesh import Trimesh

MOST_PARTS = 8  # of one object: every part is tested for contacts
CONCAVITY = 0.05  # that a part may have left, as a share of the solid's size (CoACD's own default)


def convex_solids(body: "Trimesh") -> "list[Trimesh]":
    """At most ``MOST_PARTS`` convex solids that together are nearly a closed mesh.

    The same mesh always gives the same parts.

    Raises:
        MissingExtraError: the package coacd is not installed.
        BadArgumentError: it finds no parts.
    """
    import trimesh

    try:
        import coacd
    except ModuleNotFoundError as missing:
        message = f"dividing a mesh into parts needs an extra: {install_extra('objects')}"
        raise MissingExtraError(message) from missing
    coacd.set_log_level("error")
    found = coacd.run_coacd(
        coacd.Mesh(body.vertices, body.faces),
        threshold=CONCAVITY,
        max_convex_hull=MOST_PARTS,
        seed=0,
    )
    if not found:
        raise BadArgumentError("coacd finds no convex parts of the mesh")
    return [trimesh.convex.convex_hull(vertices) for vertices, _ in found]
