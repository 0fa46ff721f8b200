"""The subcommands of ``findalike``, and what they show in a terminal."""
