"""
Programs of others that tests and `make e2e` need, built once from pinned Go modules.

```python
from programs import find_program

helm = find_program("helm")
```

Versions and hashes are those of `modules/`; the programs are kept in the cache beside
the control plane's. One that the environment names is taken as it is.
"""

from programs.catalogue import PROGRAMS
from programs.find import find_program

__all__ = ["PROGRAMS", "find_program"]
