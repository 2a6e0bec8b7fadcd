"""The proofs that are copied along: a boot, every order of the stages, and the accident, for any stack."""
