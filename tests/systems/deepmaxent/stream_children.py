"""What needs processes of its own, in one process that imports once and forks. Usage: stream_children.py FOLDER.

First two processes that share batches (`shared_script`), then trainings that are killed (`stream_kills`); prints the kills.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

import shared_script
import stream_kills
import torch


def rank(folder: Path, number: str) -> int:
    """The process number of one of two."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.environ |= {"LOCAL_RANK": number, "NODE_RANK": "0"}
        shared_script.main(folder)
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def main(folder: Path) -> None:
    shared_script.make_store(folder)
    running = [rank(folder, number) for number in "01"]
    ended = [os.waitpid(pid, 0)[1] for pid in running]
    if any(ended):
        raise SystemExit("a process that shares batches failed")
    kills = folder / "kills"
    kills.mkdir()
    stream_kills.main(kills, int(os.environ.get("ECOTONE_KILL_SEED", "1")), (2,))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
