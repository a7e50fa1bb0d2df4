"""Several scorers as one, by the weighted mean of their logits.

The mean of `scale * cosine + bias` over members is itself of that form: with each member's unit vectors multiplied by
the square root of its share of the summed scales and joined end to end, the joined vectors have unit length, their
cosine is the members' cosines weighted by scale, and the scale and bias are the weighted sums. So a merged scorer's
embeddings go into the store and through a sweep like any other's.

Shapes: N crops, M captions, D embedding width, K members.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.answering import known_captions
from core.choosing import score_matrix
from core.errors import InputError
from core.files import sha256_bytes
from core.stages import Image, require_policy
from siglip.scorers.two_towers import TwoTowerScorer


class MergedScorer:
    """Members' logits averaged by weight, as `core.stages.Scorer`.

    The sigmoid is taken only if every member is of a family trained with it; otherwise scores are mean raw logits.
    Captions are known to it if all members know the same.
    """

    def __init__(self, members: Sequence[TwoTowerScorer], weights: Sequence[float], any_policy: bool = False) -> None:
        if not all(np.isfinite(w) and w >= 0 for w in weights) or sum(weights) <= 0:
            raise InputError(f"scorer.members: weights {list(weights)} are not positive numbers")
        used = [(member, weight / sum(weights)) for member, weight in zip(members, weights, strict=True) if weight > 0]
        self._members = [member for member, _ in used]
        shares = np.asarray([weight for _, weight in used])
        scales, biases = ([float(m.calibration[name]) for m in self._members] for name in ("scale", "bias"))
        scale = float(shares @ scales)
        self._factors = np.sqrt(shares * scales / scale).astype(np.float32)
        sigmoid = all(m.calibration["sigmoid"] for m in self._members)
        self.calibration: dict[str, Any] = {"scale": scale, "bias": float(shares @ biases), "sigmoid": sigmoid}
        vocabularies = {frozenset(known_captions(m.calibration)) for m in self._members}
        if len(vocabularies) == 1 and known_captions(self._members[0].calibration):
            self.calibration["known"] = known_captions(self._members[0].calibration)
        self.policy = _one_policy(self._members, any_policy)
        parts = [f"{m.key} {share:.9g}" for m, share in zip(self._members, shares, strict=True)]
        self.key = sha256_bytes(f"merged {' '.join(parts)}".encode())[:16]

    def embed_images(self, crops: Sequence[Image]) -> NDArray[np.float32]:
        """(N) crops -> (N, D) unit vectors, the members' D joined."""
        return self._join([member.embed_images(crops) for member in self._members])

    def embed_texts(self, captions: Sequence[str]) -> NDArray[np.float32]:
        """(M) captions -> (M, D) unit vectors, the members' D joined."""
        return self._join([member.embed_texts(captions) for member in self._members])

    def scores(self, image_emb_ND: NDArray[np.float32], text_emb_MD: NDArray[np.float32]) -> NDArray[np.floating]:
        """(N, M) scores of the joined embeddings."""
        return score_matrix(self.calibration, image_emb_ND, text_emb_MD)

    def _join(self, parts: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.concatenate([part * factor for part, factor in zip(parts, self._factors, strict=True)], axis=1)


def _one_policy(members: Sequence[TwoTowerScorer], any_policy: bool) -> str | None:
    """What the members were trained on; None: not known, or several."""
    policies = sorted({member.policy for member in members if member.policy is not None})
    for other in policies[1:]:
        require_policy(policies[0], other, "scorer.members", any_policy)
    return policies[0] if len(policies) == 1 else None
