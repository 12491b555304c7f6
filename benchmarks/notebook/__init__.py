"""What a live diagram costs: the kernel, the browser, and whoever waits for either."""
