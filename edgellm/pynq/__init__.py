"""What PYNQ finds of edgellm by its entry points: `lib` (drivers and devices) and `overlays`. Needs PYNQ."""
