"""Manifests in, object stores out, and the ledger between them. See ``storage/README.md``."""
