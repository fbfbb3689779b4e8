"""Cases in MongoDB: one document per case, compare-and-set on `version`, two unique indexes.

`(patient_id)` is unique where open; `(patient_id, flags.flag_id)` over all documents, closed ones too, so that a replayed
flag cannot reopen anything. Outbox entries ride in the same document write; clearing them does not bump the version. The
timeline is a collection of its own.
"""
