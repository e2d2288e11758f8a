"""Which file system a path is on: SQLite's locks and shared memory don't hold across machines."""

from __future__ import annotations

from pathlib import PurePath

# Types whose files another machine may write too. fuse.* is named one by one: most FUSE file systems are local.
NETWORK_TYPES = frozenset(
    (
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "9p", "ceph", "lustre", "gpfs", "beegfs", "pvfs2"),
        *("glusterfs", "fuse.glusterfs", "fuse.sshfs", "fuse.ceph", "fuse.ceph-fuse", "fuse.juicefs", "fuse.s3fs"),
        *("fuse.rclone", "orangefs", "ocfs2", "gfs2", "coda", "wekafs", "panfs", "fuse.davfs", "davfs", "fhgfs"),
    )
)


def network_type(mounts: str, path: str) -> str | None:
    """The type of the network file system that `path` is on, None if it is on a local one.

    `mounts` is the text of /proc/mounts; `path` is absolute, without symbolic links.
    """
    found, best = "", -1
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = PurePath(_unescaped(fields[1]))
        if PurePath(path).is_relative_to(point) and len(point.parts) >= best:  # the last of equal ones is on top
            found, best = fields[2], len(point.parts)
    return found if found in NETWORK_TYPES else None


def _unescaped(field: str) -> str:
    """The kernel writes blank, tab, newline and backslash as three octal digits."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, character)
    return field
