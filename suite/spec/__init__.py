"""The specification: the contract, and the mathematics in float64 NumPy. NumPy and the standard library only."""
