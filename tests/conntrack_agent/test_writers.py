"""Who may have changed a value."""

import pytest

from conntrack_agent.changes import Change
from conntrack_agent.writers import likely_writer

MAX, HASH, TIMEOUT = "nf_conntrack_max", "nf_conntrack_buckets", "nf_conntrack_x"


def guess(
    found: dict[str, int], baseline: dict[str, int] | None = None, cores: int = 2
) -> str:
    """Name the writer of some numbers."""
    drifted = [
        Change(setting=name, file="f", before=value, after=1)
        for name, value in found.items()
    ]
    return likely_writer(drifted, baseline or {}, cores)


@pytest.mark.parametrize(
    ("found", "cores"),
    [
        ({MAX: 131072}, 2),
        ({MAX: 131072, HASH: 32768}, 4),
        ({HASH: 32768}, 1),
        ({MAX: 524288, HASH: 131072}, 16),
        ({MAX: 2097152}, 64),
        ({MAX: 1048576, HASH: 262144}, 64),
    ],
)
def test_the_formula_of_kube_proxy_is_known(found: dict[str, int], cores: int) -> None:
    """32768 for each core, at least 131072; a quarter of it as buckets."""
    assert f"kube-proxy's for {cores} cores" in guess(found, cores=cores)


@pytest.mark.parametrize(
    ("found", "cores"),
    [
        ({MAX: 131073}, 2),
        ({MAX: 131072, HASH: 131072}, 2),
        ({MAX: 131072, TIMEOUT: 5}, 2),
        ({MAX: 131072}, 16),
        ({MAX: 131072}, 0),
        ({}, 2),
    ],
)
def test_nobody_is_named_when_a_number_does_not_fit(
    found: dict[str, int], cores: int
) -> None:
    """A wrong name would send people to the wrong place."""
    assert "" == guess(found, cores=cores)


def test_a_module_that_was_loaded_anew_is_told_by_its_values() -> None:
    """All that we had set is back at once at what was found before us."""
    before = {MAX: 65536, HASH: 65536, TIMEOUT: 600}

    assert "loaded anew" in guess(before, before)
    assert "" == guess({**before, TIMEOUT: 601}, before)
    assert "" == guess({MAX: 65536}, before)
