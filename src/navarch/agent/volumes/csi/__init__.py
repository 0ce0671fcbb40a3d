"""Volumes of storage drivers (CSI): drivers register, and are asked to stage, publish and grow volumes for pods."""
