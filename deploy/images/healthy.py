"""`python -I -S healthy.py`: exit 0 while `HEALTH_URL` answers 200; the health check of every image.

Runs every few seconds in each container: standard library only, so that a look costs a tenth of what an import of the product does.
"""

import http.client
import os
import sys
from urllib.parse import urlsplit

_TIMEOUT_S = 2.0


def status(url: str) -> int:
    """The HTTP status of a URL; 0 when nobody answers in time."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", where.path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(status(os.environ["HEALTH_URL"]) != 200)
