"""The chat panel of `rxlapce chat`: a terminal program on the bridge that editors use."""
