"""Types of numbers with ranges for signatures; `acclimate.config.check` enforces them for configurations.

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
# Processes that load data; more would not be faster on any machine and would exhaust it.
Workers = Annotated[int, Ge(0), Le(256)]
