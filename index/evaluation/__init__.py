"""How well a catalogue answers and categorises."""
