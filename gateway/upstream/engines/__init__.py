"""HTTP clients behind one Protocol, chosen by name."""
