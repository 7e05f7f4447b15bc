"""
What becomes of a test where no control plane can run.
"""

import pytest

from control_plane.testing import REQUIRED_VARIABLE, control_plane_or_skip


@pytest.mark.parametrize(
    ("required", "outcome"),
    [("", pytest.skip.Exception), ("1", pytest.fail.Exception)],
    ids=["skipped", "failed"],
)
def test_no_programs(
    required: str,
    outcome: type[BaseException],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    Without programs a test is skipped, and fails where it must not be.
    """
    monkeypatch.setenv("KUBEBUILDER_ASSETS", "/nonexistent")
    monkeypatch.setenv(REQUIRED_VARIABLE, required)

    with pytest.raises(outcome, match="KUBEBUILDER_ASSETS"), control_plane_or_skip():
        pytest.fail("it ran")
