"""Where records are shown besides the files that hold them."""
