"""How a catalogue is searched: vectors ranked, matches judged, products narrowed down."""
