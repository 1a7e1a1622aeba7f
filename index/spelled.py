"""How the ids of the logs are spelled, as a writer keeps it: to list them takes longer the more there are.

Two ids that differ only in case are one model to the Hub, so a model may be new only if there is none of another case.
What was listed holds until somebody else writes; who does is seen by the change feed (see `feeding`).
"""

from collections import OrderedDict
from pathlib import Path

from . import log

_KEPT = 256
"""Organisations whose models are kept."""


class Spelled:
    """The spellings of organisations and models in the logs of an index."""

    def __init__(self, records: Path) -> None:
        self._records = records
        self._orgs: dict[str, list[str]] | None = None
        self._models: OrderedDict[str, dict[str, list[str]]] = OrderedDict()

    def forget(self) -> None:
        """List everything anew when it is asked for."""
        self._orgs = None
        self._models.clear()

    def find(self, model_id: str) -> Path | None:
        """As `log.find_path`."""
        exact = log.path_of(self._records, model_id)
        if log.is_file(exact):
            return exact
        others = (
            self._records / org / name
            for org in self._orgs_like(exact.parent.name)
            for name in self._models_of(org).get(exact.name.lower(), ())
        )
        return next(filter(log.is_there, others), None)  # a log may have been removed by hand

    def keep(self, path: Path) -> None:
        """Note a log that was appended to, which may be new."""
        org, name = path.parent.name, path.name
        if org not in (orgs := self._orgs_like(org)):
            orgs.append(org)
        if org in self._models and name not in (names := self._models[org].setdefault(name.lower(), [])):
            names.append(name)

    def _orgs_like(self, org: str) -> list[str]:
        if self._orgs is None:
            self._orgs = _by_lower(log.folders(self._records))
        return self._orgs.setdefault(org.lower(), [])

    def _models_of(self, org: str) -> dict[str, list[str]]:
        if org not in self._models:
            self._models[org] = _by_lower(log.names(self._records / org))
            if len(self._models) > _KEPT:
                self._models.popitem(last=False)
        self._models.move_to_end(org)
        return self._models[org]


def _by_lower(names: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in sorted(names):
        found.setdefault(name.lower(), []).append(name)
    return found
