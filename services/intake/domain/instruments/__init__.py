"""One data file per instrument, facts and codes without item wording; `definition.py` says what stands where."""
