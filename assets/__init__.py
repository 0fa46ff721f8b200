"""What ships with findalike."""
