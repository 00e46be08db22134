"""Files that survive a crash: atomic writes, content hashes, model folders, run folders."""
