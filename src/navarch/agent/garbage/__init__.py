"""What nobody uses any more on a node: images, dead containers, old pieces of logs."""
