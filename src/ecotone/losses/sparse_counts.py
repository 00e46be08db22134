"""Records of a batch by their places alone, for losses that need the network's answer only where there are records.

Letters: M members, B sites of the batch, S species, R entries that are not 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class SparseCounts:
    """(M, B, S) records, most of them 0.

    Attributes:
        place: (R,) int64 places in the flattened (M, B, S), each at most once.
        values: (R,) float32 records there.
        shape: (M, B, S).
    """

    place: Tensor
    values: Tensor
    shape: tuple[int, int, int]

    @property
    def column(self) -> Tensor:
        """(R,) the member and species of each entry, as a place in the flattened (M, S)."""
        _, sites, species = self.shape
        return self.place.div(sites * species, rounding_mode="floor") * species + self.place % species

    def per_species(self, values: Tensor | None = None) -> Tensor:
        """(M, S) sum over sites of the entries, or of (R,) other values at their places."""
        values = self.values if values is None else values
        members, _, species = self.shape
        total = torch.zeros(members * species, dtype=values.dtype, device=values.device)
        return total.index_add(0, self.column, values).view(members, species)

    def fit(self, log_intensity: Tensor) -> Tensor:
        """(M, S) sum over sites of records times `log_intensity`, an (M, B, S)."""
        return self.per_species(log_intensity.reshape(-1).index_select(0, self.place) * self.values)

    def times(self, species_weight: Tensor) -> SparseCounts:
        """The records times an (S,) weight per species."""
        return SparseCounts(self.place, self.values * species_weight[self.place % self.shape[2]], self.shape)

    def dense(self) -> Tensor:
        """The (M, B, S) tensor."""
        flat = torch.zeros(self.shape, dtype=self.values.dtype, device=self.values.device).view(-1)
        return flat.index_copy(0, self.place, self.values).view(self.shape)

    def to(self, device: torch.device) -> SparseCounts:
        """The same on a device."""
        return SparseCounts(self.place.to(device), self.values.to(device), self.shape)
