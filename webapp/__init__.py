"""Where findalike talks to people: the terminal and, in time, the browser."""
