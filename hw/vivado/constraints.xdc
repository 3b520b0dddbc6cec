# No pin leaves the logic and every clock is described by its IP: nothing is left to say but how the bitstream is written.
set_property BITSTREAM.GENERAL.COMPRESS TRUE [current_design]
