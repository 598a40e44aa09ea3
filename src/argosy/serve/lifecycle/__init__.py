"""What keeps services alive, as a pure function of what happens."""
