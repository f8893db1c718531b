"""What any CA does, whatever its interface: HTTP, a clock, faults, counts, an issuing CA, domain control over the network."""
