"""The ledger: the database of runs, artifacts, devices, measurements with their raw samples, and failures.

:class:`Ledger` is the one way in. Reports and selection read it, nothing else holds results.
"""

from edgekit.ledger.store import Ledger

__all__ = ["Ledger"]
