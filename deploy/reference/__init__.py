"""The reference pages under docs/reference/, generated from what the code declares; `python -m deploy.reference [--check]`."""
