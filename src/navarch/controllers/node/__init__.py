"""What the control plane does about nodes: their health, their taints, their pod ranges, the pods of dead ones."""
