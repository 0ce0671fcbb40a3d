"""`navarch net trace`: a packet's way through the cluster, told hop by hop from the objects that the nodes have."""
