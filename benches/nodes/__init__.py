"""The parts of `benches/growth`: nodes over one bucket, their clients, the figures, and the page that tells them."""
