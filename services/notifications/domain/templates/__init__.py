"""The words of every message, one file per locale; `template_lint.py` says what may stand in them."""
