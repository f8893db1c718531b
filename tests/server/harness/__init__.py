"""What the tests against real servers stand on: real programs on loopback, started and ended by process id, and waits that
end with a condition or with a failure that says what was seen instead."""
