"""What a catalogue keeps: its database, the rows in it, and what tells of damage."""
