"""The kinds of the Gateway API, described here, since no package that can be installed carries their definitions.

What they are is said by `gateways`, `routes` and `policies` in the words of `notation`; `definitions` makes
CustomResourceDefinitions of them.

Source: https://gateway-api.sigs.k8s.io/reference/spec/
"""

from navarch.app.addons.gatewayapi.definitions import DEFINITIONS
from navarch.app.addons.gatewayapi.shapes import GROUP

__all__ = ["DEFINITIONS", "GROUP"]
