"""expplat takes a technique from a paper to production with evidence.

What the author of a POC imports:

    from expplat import Call, Output, Request

and, where it applies, `SetupContext`, `RateLimitedError`, `ProviderError`.
"""

from expplat.domain.call import Call, ProviderError, RateLimitedError, SetupContext
from expplat.domain.request import Output, Request

__version__ = "0.1.0"

__all__ = [
    "Call",
    "Output",
    "ProviderError",
    "RateLimitedError",
    "Request",
    "SetupContext",
    "__version__",
]
