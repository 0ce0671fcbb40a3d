"""What a cluster can be given beside what it is: programs of others, run as pods, from packages that pip installs.

An add-on is a pure list of objects (`addon`, `gateway`, `ingress`); `image` makes its image, `cluster` carries it out.
"""

from navarch.app.addons.addon import Addon
from navarch.app.addons.gateway import GATEWAY
from navarch.app.addons.ingress import INGRESS

ALL: tuple[Addon, ...] = (GATEWAY, INGRESS)
