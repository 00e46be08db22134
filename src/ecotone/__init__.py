"""ecotone: any observation in, a map, date or label out, and evidence for every answer.

Importing this package imports neither torch nor GDAL: names below resolve on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_PUBLIC = {
    "load": "ecotone.registry",
    "create": "ecotone.registry",
    "list_systems": "ecotone.registry",
    "DeepMaxent": "ecotone.systems.deepmaxent.estimator",
    "DeepMaxentSystem": "ecotone.systems.deepmaxent.system",
    "Maxent": "ecotone.systems.maxent.estimator",
    "MaxentSystem": "ecotone.systems.maxent.system",
    "EcotoneError": "ecotone.errors",
    "SiteStore": "ecotone.data.site_store",
}
__all__ = [
    "DeepMaxent",
    "DeepMaxentSystem",
    "EcotoneError",
    "Maxent",
    "MaxentSystem",
    "SiteStore",
    "__version__",
    "create",
    "list_systems",
    "load",
]

if TYPE_CHECKING:
    from ecotone.data.site_store import SiteStore
    from ecotone.errors import EcotoneError
    from ecotone.registry import create, list_systems, load
    from ecotone.systems.deepmaxent.estimator import DeepMaxent
    from ecotone.systems.deepmaxent.system import DeepMaxentSystem
    from ecotone.systems.maxent.estimator import Maxent
    from ecotone.systems.maxent.system import MaxentSystem


def __getattr__(name: str) -> object:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'ecotone' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
