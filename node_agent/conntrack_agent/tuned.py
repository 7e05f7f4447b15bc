"""
What the active profile of TuneD sets.

Computes only. A profile that cannot be resolved, since its name is made of variables or
it is not there, leaves nothing: what it would have overridden is not known.
"""

import re
from typing import Final

from conntrack_agent.assignments import Effective, Files, assigned, lines
from conntrack_agent.errors import HostFileError
from conntrack_api.settings import NF_CONNTRACK_BUCKETS

FOLDERS: Final = (
    "/etc/tuned/profiles",
    "/etc/tuned",
    "/usr/lib/tuned/profiles",
    "/usr/lib/tuned",
)
"""The first one that has a profile counts. Source: TuneD, ``tuned/consts.py``."""

ACTIVE: Final = "/etc/tuned/active_profile"

MOST: Final = 16
"""Profiles that are read, with all that they include."""

_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,99}", re.ASCII)
_HASHSIZE: Final = ("net", "nf_conntrack_hashsize")
"""Section and key of the module parameter. Source: TuneD, ``plugin_net.py``."""


def tuned(files: Files) -> Effective:
    """
    Read the active profiles; a later one wins, and each over what it includes.

    Raises:
        HostFileError: One of them cannot be resolved.
    """
    effective: Effective = {}
    known: dict[str, Effective | None] = {}
    for name in files.read(ACTIVE).split():
        effective |= _profile(files, name, known)
    return effective


def _profile(files: Files, name: str, known: dict[str, Effective | None]) -> Effective:
    """
    Read one profile; `known` has those that were read, and ``None`` for those begun.
    """
    if (done := known.get(name)) is not None:
        return done
    if not _NAME.fullmatch(name) or name in known or len(known) >= MOST:
        raise HostFileError(f"TuneD's profile {name[:100]!r} cannot be resolved")
    known[name] = None
    places = (f"{folder}/{name}/tuned.conf" for folder in FOLDERS)
    found = ((file, text) for file in places if (text := files.read(file)))
    file, text = next(found, ("", ""))
    if not file:
        raise HostFileError(f"TuneD's profile {name!r} is not there")
    included: Effective = {}
    own: Effective = {}
    section = ""
    for number, line in lines(text):
        if line.startswith("["):
            section = line.strip("[] ")
        key, _, rest = (part.strip() for part in line.partition("="))
        value = rest.partition("#")[0].strip(" \t'\"")
        if section == "sysctl":
            own |= assigned(file, number, key, value)
        elif (section, key) == _HASHSIZE:
            own |= assigned(file, number, f"net/{NF_CONNTRACK_BUCKETS.file}", value)
        elif (section, key) == ("main", "include"):
            for each in re.split(r"[,;\s]+", value):
                included |= _profile(files, each.removeprefix("-"), known)
    known[name] = included | own
    return included | own
