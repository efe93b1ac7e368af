"""McNemar's exact test, of whether one model is better than the other at all on the same documents.

Only documents on which the models disagree carry information; under the null hypothesis each of them is a fair coin.
Source: McNemar 1947 (Psychometrika 12:153), in the exact form of Cochran 1950; Dietterich 1998 (Neural Computation
10:1895) for comparing models; arXiv 2602.10144 for lm-eval's per-document scores.
"""

from __future__ import annotations

from typing import Any


def p_worse(b: Any, c: Any) -> Any:
    """Return the one-sided p-value of "the candidate is worse".

    :param b: documents that went from right to wrong, a number or an array.
    :param c: documents that went from wrong to right.
    """
    import numpy as np
    from scipy.special import betainc

    b, c = np.asarray(b, dtype=np.float64), np.asarray(c, dtype=np.float64)
    return np.where(b > 0, betainc(np.maximum(b, 1), c + 1, 0.5), 1.0)  # P(X >= b) of b + c coins, as an integral


def p_different(b: Any, c: Any) -> Any:
    """Return the two-sided p-value of "the models differ": twice the smaller side, at most 1."""
    import numpy as np

    return np.minimum(1.0, 2 * np.minimum(p_worse(b, c), p_worse(c, b)))
