"""One folder a framework, the same file names in each. Found by name through ``suite.registry``, never imported by it."""
