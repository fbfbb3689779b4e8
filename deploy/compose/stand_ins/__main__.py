"""`python -m deploy.compose.stand_ins`: make what the engine lacks; needs root, mmdebstrap, and the network once."""

import sys

from deploy.compose.stand_ins.images import make
from deploy.local.lacks import MachineLacks

if __name__ == "__main__":
    try:
        make(print)
    except MachineLacks as lack:
        sys.exit(f"{lack}")
