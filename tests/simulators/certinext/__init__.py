"""emSign CERTInext: one account and its orders, reached by two generations of interface."""
