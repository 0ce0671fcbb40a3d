"""Real containers through the real kubectl: one cluster for all tests of this folder."""
