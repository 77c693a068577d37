"""One folder a framework, the same file names in each; found by name through ``suite.registry``."""
