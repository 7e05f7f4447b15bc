"""
Which releases can be chosen, and what makes two builds the same.
"""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest

from control_plane import ControlPlaneUnavailable
from control_plane.pinned import numbers
from control_plane.recipe import MODULES, choose_recipe, minors

if TYPE_CHECKING:
    from pathlib import Path


def test_the_newest_minor_is_the_default() -> None:
    """
    Without a choice, and with an empty one, the newest pinned minor is taken.
    """
    newest = choose_recipe({"CONNTRACK_KUBERNETES": minors()[-1]})

    assert newest == choose_recipe({})
    assert newest == choose_recipe({"CONNTRACK_KUBERNETES": ""})


def test_the_variable_picks_the_minor() -> None:
    """
    Each pinned minor can be chosen and leads to a release of that minor.
    """
    for minor in minors():
        recipe = choose_recipe({"CONNTRACK_KUBERNETES": minor})

        assert recipe.kubernetes.startswith(f"v{minor}.")


def test_another_minor_is_refused_with_the_choice_there_is() -> None:
    """
    A minor that is not pinned is refused, and all that are get named.
    """
    with pytest.raises(ControlPlaneUnavailable) as caught:
        choose_recipe({"CONNTRACK_KUBERNETES": "1.20"})

    assert (
        f"`CONNTRACK_KUBERNETES` must be one of {', '.join(minors())}; it is '1.20'."
    ) == str(caught.value)


def test_minors_are_ordered_by_number(tmp_path: Path) -> None:
    """
    1.100 comes after 1.37, unlike in the alphabet.
    """
    for minor in ("1.100", "1.37", "1.4"):
        (tmp_path / f"kubernetes-{minor}").mkdir()

    assert ("1.4", "1.37", "1.100") == minors(tmp_path)


def test_the_server_is_told_its_version() -> None:
    """
    Every program of Kubernetes gets the release it is built from.
    """
    recipe = choose_recipe({})

    for step in recipe.steps:
        if step.program != "etcd":
            assert (
                f"-X k8s.io/component-base/version.gitVersion={recipe.kubernetes}"
            ) in step.ldflags


@pytest.mark.parametrize("file", ["go.mod", "go.sum"])
@pytest.mark.parametrize("module", ["etcd", f"kubernetes-{minors()[-1]}"])
def test_another_pin_is_another_build(tmp_path: Path, module: str, file: str) -> None:
    """
    Programs of changed modules are never taken from the cache of the old ones.
    """
    shutil.copytree(MODULES, tmp_path / "modules")
    before = choose_recipe({}, tmp_path / "modules")

    with (tmp_path / "modules" / module / file).open("a") as changed:
        changed.write("\n// changed\n")

    assert before.key != choose_recipe({}, tmp_path / "modules").key


@pytest.mark.parametrize("minor", minors())
def test_every_staging_module_is_that_of_the_release(minor: str) -> None:
    """
    A pin is of one piece: Kubernetes v1.x.y comes with v0.x.y of its own parts.
    """
    recipe = choose_recipe({"CONNTRACK_KUBERNETES": minor})
    text = (MODULES / f"kubernetes-{minor}" / "go.mod").read_text()

    replaced = re.findall(r"^\s+(\S+) => (\S+) (\S+)$", text, re.MULTILINE)

    assert replaced
    for module, twin, version in replaced:
        assert module == twin
        assert recipe.kubernetes.removeprefix("v1") == version.removeprefix("v0")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("go1.26.8", (1, 26, 8)),
        ("go1.27rc1", (1, 27)),
        ("devel go1.28-abcdef Tue", (1, 28)),
        ("v3.7.2", (3, 7, 2)),
        ("unknown", ()),
    ],
)
def test_versions_compare_by_their_numbers(
    text: str, expected: tuple[int, ...]
) -> None:
    """
    The numbers are found in every spelling that the tools use.
    """
    assert expected == numbers(text)
