"""Play one seed again: `python -m tests.unit.crisis.simulation --seed N [-v]`; or many: `--seeds FROM TO`."""

import argparse
import sys
import time

from tests.unit.crisis.simulation.judge import judged
from tests.unit.crisis.simulation.run import played
from tests.unit.crisis.simulation.world import Spinning


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seeds", type=int, nargs=2)
    parser.add_argument("-v", "--verbose", action="store_true", help="print the timeline")
    asked = parser.parse_args()
    seeds = range(*asked.seeds) if asked.seeds else [asked.seed or 0]
    failed = 0
    begun = time.perf_counter()
    for seed in seeds:
        try:
            run = played(seed, detailed=asked.verbose)
            wrong = judged(run)
        except Spinning as spinning:
            wrong = [str(spinning)]
        else:
            if asked.verbose:
                print(f"replicas {run.scene.replicas} faults {sorted(run.scene.kinds) or 'none'}")
                print("\n".join(run.lines))
        if wrong or not asked.seeds:
            print(f"seed {seed}: {'; '.join(wrong) or 'all is well'}")
        failed += bool(wrong)
    took_s = time.perf_counter() - begun
    print(f"{len(seeds)} seeds, {failed} failed, {took_s / len(seeds) * 1000:.0f} ms each")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
