"""How a catalogue changes: products added and edited, encoders exchanged, damage repaired."""
