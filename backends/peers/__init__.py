"""Peers: the layers that people would pick instead of ours, as backends that offer `stock` alone.

They are held against the oracle like every other backend, timed in the same session, and stand in no coverage table.
"""
