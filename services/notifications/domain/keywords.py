"""What a text from a patient's phone asks for: to stop, to start again, for help, or something nobody will read.

The words that carriers know (CTIA, Messaging Principles and Best Practices): the whole text is one of them, in any case.
"""

from typing import Literal

Asked = Literal["stop", "start", "help", "other"]
STOP = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "ALTO", "PARAR"})
START = frozenset({"START", "YES", "UNSTOP"})
HELP = frozenset({"HELP", "INFO", "AYUDA"})


def asked(body: str) -> Asked:
    """What a text asks for; whatever is no single keyword is `other`."""
    word = "".join(one for one in body.upper() if one.isalpha() or one.isspace()).strip()
    if word in STOP:
        return "stop"
    if word in START:
        return "start"
    return "help" if word in HELP else "other"
