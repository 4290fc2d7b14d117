"""Types of numbers that a configuration may set, with their ranges; `acclimate.config.check` reads them from signatures.

Every number must also be finite.
"""

from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt

Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
# In [0, 1], [0, 1), (0, 1] and (0, 1).
Share = Annotated[float, Ge(0), Le(1)]
ShareBelowOne = Annotated[float, Ge(0), Lt(1)]
PositiveShare = Annotated[float, Gt(0), Le(1)]
OpenShare = Annotated[float, Gt(0), Lt(1)]
Count = Annotated[int, Ge(1)]
NonNegativeInt = Annotated[int, Ge(0)]
# Processes that load data: more than any machine needs start none the faster and exhaust it.
Workers = Annotated[int, Ge(0), Le(256)]
