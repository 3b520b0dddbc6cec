"""Entry point `pynq.overlays`: the folder where PYNQ looks for edgellm's overlays, a folder each. None are shipped."""
