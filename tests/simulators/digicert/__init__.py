"""DigiCert CertCentral: one account, its keys, products, organisations, domains and orders."""
