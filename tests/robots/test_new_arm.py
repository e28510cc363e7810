"""``pliant arm add``: a catalog entry from a model, which its user completes."""

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest

from adaptation import cli
from robots.arm import ArmSpec
from robots.catalog import ARMS
from robots.catalog.ur5e import UR5E
from robots.errors import BadArgumentError
from robots.kinematics import Kinematics
from robots.new_arm import MISSING, MISSING_IN_MJCF
from robots.registry import Registry

URDF = UR5E.urdf.read_text()
MARK = re.compile(r'(\w+)=fill_in\("[^"]*"\)')


def add(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, object]]:
    """Exit status and answer of the command."""
    status = cli.main(["arm", "add", *words, "--json"])
    return status, json.loads(capfd.readouterr().out.splitlines()[-1])


def load(folder: Path) -> ArmSpec:
    """The arm of an entry, by its file, which may use the numbers of the UR5e as ``UR5E``."""
    spec = importlib.util.spec_from_file_location(folder.name, folder / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    vars(module)["UR5E"] = UR5E
    spec.loader.exec_module(module)
    arm: ArmSpec = getattr(module, folder.name.upper())
    return arm


def test_the_ur5e_comes_back_from_its_urdf_and_the_numbers_that_are_filled_in(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    package = tmp_path / "my_lab"
    package.mkdir()
    (package / "__init__.py").touch()
    status, answer = add(capfd, "mine", "--model", str(UR5E.urdf), "--package", str(package))
    assert status == 0
    assert answer["joints"] == list(UR5E.joints)
    assert answer["tool"] == "tool"
    assert answer["entry_point"] == 'mine = "my_lab.mine:MINE"'
    folder = package / "mine"
    assert (folder / "mine.jpg").stat().st_size > 5000
    assert (folder / "mine.urdf").read_text() == URDF

    entry = folder / "__init__.py"
    text = entry.read_text()
    marked = MARK.findall(text)
    assert set(marked) == set(MISSING) == set(answer["missing"])  # type: ignore[call-overload]
    for name in marked:  # one after another: the entry is refused until the last one is there
        with pytest.raises(BadArgumentError, match="is not filled in"):
            load(folder)
        owner = "UR5E" if hasattr(UR5E, name) else "UR5E.limits"
        text = re.sub(rf'\b{name}=fill_in\("[^"]*"\)', f"{name}={owner}.{name}", text)
        entry.write_text(text)
    arm = load(folder)

    assert arm.home.tolist() == UR5E.home.tolist()
    assert arm.limits.tau.tolist() == UR5E.limits.tau.tolist()
    q = np.random.default_rng(0).uniform(arm.limits.q_low, arm.limits.q_high, (20, 6))
    ours = Kinematics(arm).position(q)
    np.testing.assert_array_equal(ours, Kinematics(UR5E).position(q))


def test_dm_controls_jaco_becomes_an_arm_from_its_mjcf(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    model = "package:dm_control/third_party/kinova/jaco_arm.xml"
    status, answer = add(capfd, "mine", "--model", model, "--package", str(tmp_path))
    assert status == 0
    assert answer["tool"] == "wristsite"
    folder = tmp_path / "mine"
    assert (folder / "mine.jpg").stat().st_size > 5000
    assert len(list((folder / "meshes").iterdir())) == 5
    text = (folder / "__init__.py").read_text()
    assert f"mine, from {model}: " in text
    marked = MARK.findall(text)
    assert set(marked) == set(answer["missing"])  # type: ignore[call-overload]
    assert set(marked) == {*MISSING, *MISSING_IN_MJCF} - {"armature"}
    for name in marked:
        value = f"{name}=np.full(6, 0.5)"
        if name.endswith("zone") or name == "rest_pose":
            value = f"{name}=None"
        elif name in ("tool_speed", "force"):
            value = f"{name}=0.5"
        elif name == "tool_box":
            value = f"{name}=np.array([[-1.0, 1.0]] * 3)"
        text = re.sub(rf'\b{name}=fill_in\("[^"]*"\)', value, text)
    (folder / "__init__.py").write_text(text)
    arm = load(folder)
    assert arm.armature.tolist() == [4, 4, 4, 2, 2, 2]
    reach = Kinematics(arm).position(np.array([[0.0, 3.0, 3.0, 0.0, 0.0, 0.0]]))
    assert 0.5 < np.linalg.norm(reach) < 1.3


REFUSALS = {
    "no file": ("", "", "crane --model nowhere.urdf", "there is no file nowhere.urdf"),
    "no URDF": ("<robot", "<model", "crane --model model.urdf", "model.urdf is no"),
    "no link": ("", "", "crane --model model.urdf --tool hand", "model.urdf: there is no link"),
    "no joint": (
        "",
        "",
        "crane --model model.urdf --tool base",
        "model.urdf: no joint moves the link 'base'",
    ),
    "no limit": (
        ' velocity="3.141592653589793"/>',
        "/>",
        "crane --model model.urdf",
        "model.urdf: joint 'shoulder_pan': <limit> has no attribute 'velocity'",
    ),
    "no effort": (
        'effort="28"',
        'effort="0"',
        "crane --model model.urdf",
        "model.urdf: joint 'wrist_1': its effort is 0",
    ),
    "no range": (
        'upper="3.141592653589793"',
        'upper="-4"',
        "crane --model model.urdf",
        "model.urdf: joint 'elbow': it goes from -3.14159 to -4",
    ),
    "no such body": (
        'ixx="0.00165491"',
        'ixx="1"',
        "crane --model model.urdf",
        "model.urdf: link 'wrist_1_link': no body has",
    ),
    "two ends": (
        '<child link="tool"/>\n    <origin xyz="0 0 0.14"/>\n  </joint>',
        '<child link="tool"/>\n  </joint>\n  <link name="left"/>\n  <joint name="l" type="fixed">'
        '<parent link="striker"/><child link="left"/></joint>',
        "crane --model model.urdf",
        "name the tool with --tool: tool, left",
    ),
    "no name": ("", "", "my-crane --model model.urdf", "'my-crane' cannot be the name"),
    "a keyword": ("", "", "class --model model.urdf", "'class' cannot be the name"),
    "taken": ("", "", "panda --model model.urdf", "an arm named 'panda' already"),
    "a folder": ("", "", "there --model model.urdf", "there exists already"),
    "no package": ("", "", "crane --model model.urdf --package gone", "there is no folder gone"),
}


@pytest.mark.parametrize(("old", "new", "words", "reason"), REFUSALS.values(), ids=REFUSALS)
def test_what_cannot_become_an_arm_is_refused_and_leaves_nothing(
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    old: str,
    new: str,
    words: str,
    reason: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    assert old in URDF
    (tmp_path / "model.urdf").write_text(URDF.replace(old, new))
    status, answer = add(capfd, *words.split())
    assert status == 2
    assert reason in str(answer["error"])
    assert {path.name for path in tmp_path.iterdir()} == {"there", "model.urdf"}


def test_meshes_and_license_are_copied_with_the_model(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for place in ("left", "right"):  # two files of one name
        (tmp_path / place).mkdir()
        corners = "v 0 0 0\nv 0 0.02 -0.04\nv 0 -0.02 -0.04\nv 0.02 0 -0.04\n"
        faces = "f 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"
        (tmp_path / place / "hook.obj").write_text(f"# {place}\n{corners}{faces}")
    visual = "<visual><geometry><mesh filename='{}/hook.obj'/></geometry></visual></link>"
    left, right = visual.format("left"), visual.format("right")
    text = URDF.replace("</link>", left, 1)
    end = text.rindex("</link>")
    (tmp_path / "model.urdf").write_text(text[:end] + text[end:].replace("</link>", right, 1))
    (tmp_path / "LICENSE.txt").write_text("of the maker")
    status, _ = add(capfd, "crane", "--model", "model.urdf")
    assert status == 0
    assert (tmp_path / "crane" / "LICENSE.txt").read_text() == "of the maker"
    for place in ("left", "right"):
        (tmp_path / place / "hook.obj").unlink()
    copies = sorted((tmp_path / "crane" / "meshes").iterdir())
    assert [copy.read_text().split("\n")[0] for copy in copies] == ["# left", "# right"]
    named = re.findall(r'mesh filename="([^"]+)"', (tmp_path / "crane/crane.urdf").read_text())
    assert named == [f"meshes/{copy.name}" for copy in copies]


def test_an_arm_that_is_not_filled_in_is_refused_by_its_name(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    add(capfd, "unfinished", "--model", str(UR5E.urdf))
    table = Registry("arm", "no.group", {})
    with pytest.raises(BadArgumentError, match="is not filled in: home: a pose to start from"):
        table["unfinished:UNFINISHED"]
    assert "unfinished" not in ARMS
