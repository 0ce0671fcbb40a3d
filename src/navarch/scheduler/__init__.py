"""Which node a pod runs on: observe into `table`, plan in `cycle`, act in `bind`.

The room is pure but for `bind` and `scheduler`.
"""
