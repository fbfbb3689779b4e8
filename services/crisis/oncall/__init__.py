"""Who is on call: in memory (`duty`), changed (`rostering`), foreseen (`foresight`), tried (`reach`), shown (`views`).

Nothing here stands in the way of a page: what the engine asks of it is a value that was made before.
"""
