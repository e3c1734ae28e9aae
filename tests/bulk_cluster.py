"""Run a bulk job on Ray: `python -m bulk_cluster IN OUT [leave]`; `leave` removes a node."""

import sys
import threading
from pathlib import Path

from bulk_jobs import run_job
from lineament.serving.bulk.plan import PARTS

NODE = {"num_cpus": 2, "object_store_memory": 80_000_000}


def main():
    folder, out, *leave = sys.argv[1:]
    if not leave:
        print("parts", len(run_job([folder], out, address="local", delay_s=0.02)))
        return
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args=NODE)
    node = cluster.add_node(**NODE)
    gone = threading.Thread(target=leave_after, args=(cluster, node, Path(out, PARTS)))
    gone.start()
    counts = run_job([folder], out, address=cluster.address, delay_s=0.1)
    gone.join()
    print("parts", len(counts))
    ray.shutdown()
    cluster.shutdown()


def leave_after(cluster, node, parts, count=6):
    """Remove a node once `count` parts are written."""
    while len(list(parts.glob("*.parquet"))) < count:
        threading.Event().wait(0.05)
    cluster.remove_node(node, allow_graceful=False)


if __name__ == "__main__":
    main()
