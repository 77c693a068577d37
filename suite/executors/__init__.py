"""Where cells run. An executor runs one cell in another process and says how that process ended."""
