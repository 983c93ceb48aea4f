"""The array type of the core's signatures; jaxtyping adds element type and shape, as in `Float[Array, "n 4"]`.

`numpy.ndarray` alone is a generic class without its parameters, which mypy's strict mode refuses.
"""

from typing import Any, TypeAlias

from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
