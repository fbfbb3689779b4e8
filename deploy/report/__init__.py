"""Reports for people: what outcomes tells, as plots, tables and one page to print. Only this room imports matplotlib and jinja2.

Small cells are kept back by the service; nothing here knows a number that the page may not show.
"""
