"""Features that frozen branches compute once, kept on disk for every later pass over the data."""
