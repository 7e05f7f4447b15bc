"""Who may have changed a value."""

import pytest

from conntrack_agent.assignments import Assignment
from conntrack_agent.changes import Change
from conntrack_agent.writers import likely_writer

MAX, HASH, TIMEOUT = "nf_conntrack_max", "nf_conntrack_buckets", "nf_conntrack_x"


def guess(
    found: dict[str, int],
    baseline: dict[str, int] | None = None,
    cores: int = 2,
    assignments: tuple[Assignment, ...] = (),
) -> str:
    """Name the writer of some numbers."""
    drifted = [
        Change(setting=name, file="f", before=value, after=1)
        for name, value in found.items()
    ]
    return likely_writer(drifted, baseline or {}, cores, assignments)


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


def line(
    setting: str, value: int | None, file: str = "/etc/sysctl.d/9.conf"
) -> Assignment:
    """One line of a configuration file."""
    return Assignment(setting=setting, value=value, file=file, line=3)


def test_the_line_that_sets_a_value_is_named() -> None:
    """File, line and number; nothing of a line that sets another number."""
    file = line(MAX, 100000)

    assert "/etc/sysctl.d/9.conf line 3 sets nf_conntrack_max to 100000" == guess(
        {MAX: 100000, TIMEOUT: 5}, assignments=(file, line(TIMEOUT, 6))
    )
    assert "" == guess({MAX: 100001}, assignments=(file,))
    assert "" == guess({MAX: 0}, assignments=(line(MAX, None),))


def test_buckets_are_compared_as_the_kernel_rounds_them() -> None:
    """The kernel shows whole pages, the file has what a person wrote."""
    assert "sets nf_conntrack_buckets to 100000" in guess(
        {HASH: 100352}, assignments=(line(HASH, 100000),)
    )


def test_everything_that_fits_is_said() -> None:
    """A file with kube-proxy's number does not acquit kube-proxy."""
    text = guess({MAX: 131072}, assignments=(line(MAX, 131072),))

    assert "line 3 sets" in text
    assert "kube-proxy's for 2 cores" in text


def test_many_lines_are_counted_and_odd_names_are_escaped() -> None:
    """A message stays short, and holds nothing that an API server refuses."""
    odd = "/etc/sysctl.d/" + "\udcff\n" * 50
    found = {f"s{number}": number for number in range(30)}

    text = guess(
        found, assignments=tuple(line(name, found[name], odd) for name in found)
    )

    assert text.endswith("and 28 more")
    assert 300 > len(text)
    assert text.isascii()
    assert text.isprintable()
