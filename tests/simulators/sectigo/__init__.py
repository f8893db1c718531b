"""Sectigo Certificate Manager: one customer, its administrators, organisations, domains and certificates."""
