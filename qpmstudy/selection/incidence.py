"""Sparse matrices that apply cuts and their multipliers to features, pairs and entries of V."""

from itertools import combinations

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix

from qpmstudy.selection.cuts import CliqueCut, DifferenceCut


class Incidence:
    """Which columns, pairs of columns and cells (class, column) the cuts of a relaxation touch.

    Q clique cuts and T difference cuts over D columns; E the pairs inside any of the cliques.
    """

    def __init__(
        self,
        cliques: list[CliqueCut],
        differences: list[DifferenceCut],
        n_columns: int,
        k: int,
    ) -> None:
        m = np.array([cut.m for cut in cliques], dtype=np.float64)
        sizes = np.array([len(cut.members) for cut in cliques], dtype=np.int64)
        owner = np.repeat(np.arange(len(cliques)), sizes)
        member = np.array([d for cut in cliques for d in cut.members], dtype=np.int64)
        self.member = csr_matrix((m[owner], (member, owner)), shape=(n_columns, len(cliques)))
        self.member_t = self.member.T.tocsr()

        pairs = [i * n_columns + j for cut in cliques for i, j in combinations(cut.members, 2)]
        keys, row = np.unique(np.array(pairs, dtype=np.int64), return_inverse=True)
        owner = np.repeat(np.arange(len(cliques)), sizes * (sizes - 1) // 2)
        shape = (len(keys), len(cliques))
        self.pair = csr_matrix((np.ones(len(pairs)), (row, owner)), shape=shape)
        self.pair_t = self.pair.T.tocsr()
        self.ends: tuple[Int[np.ndarray, " E"], Int[np.ndarray, " E"]] = (
            keys // n_columns,
            keys % n_columns,
        )

        touched = [
            (c * n_columns + d, t)
            for t, cut in enumerate(differences)
            for c in cut.classes
            for d in cut.features
        ]
        at, owner = np.array(touched, dtype=np.int64).reshape(-1, 2).T
        self.cells, row = np.unique(at, return_inverse=True)
        """Flat indices into V (classes x columns)."""
        shape = (len(self.cells), len(differences))
        self.cell = csr_matrix((np.ones(len(at)), (row, owner)), shape=shape)
        self.cell_t = self.cell.T.tocsr()

        difference_rhs = [len(cut.classes) * (k - 1) + 1.0 for cut in differences]
        self.rhs: Float[np.ndarray, " QT"] = np.concatenate([m * (m + 1) / 2, difference_rhs])
        """What a unit of each multiplier, cliques first, adds to the bound."""
