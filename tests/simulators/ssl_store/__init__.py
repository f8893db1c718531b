"""The SSL Store: one partner, who orders certificates of several CAs through one interface."""
