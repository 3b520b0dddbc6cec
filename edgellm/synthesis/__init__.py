"""What a design takes of an FPGA, counted by an open synthesis tool instead of estimated."""
