"""A shop of two pods on two nodes: one that asks, and one that is asked through a Service, by a node port as well."""

from __future__ import annotations

SHOP = """
apiVersion: v1
kind: Pod
metadata: {name: front, labels: {app: front}}
spec: {nodeName: node-0, containers: [{name: main, image: x}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec: {nodeName: node-1, containers: [{name: main, image: x, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: 8080, nodePort: 30080}]}
"""
