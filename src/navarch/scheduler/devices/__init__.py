"""Which devices a claim gets: what is asked for (`shapes`), what there is (`pools`) and what is taken (`use`), the
search (`search`) and what it comes to (`allocation`); `stock` holds all of it for the table.

The room is pure. What it decides is written by `scheduler.reserve`.
"""
