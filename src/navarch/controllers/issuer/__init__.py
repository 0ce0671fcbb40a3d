"""Certificates for the way in, from an authority of the cluster's own: kept (`authority`), issued into the Secrets that
Ingresses and Gateways name (`issued`), and given to requests that a person approved (`requested`).

It is another authority than the one by which the API server and its clients know each other: whoever may make an
Ingress gets certificates of it, for nearly any name.
"""
