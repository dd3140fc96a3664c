"""Files: read what is not a strategy's, and change anything at all."""

import ctypes
import os
import struct
from pathlib import Path

from tools import AT_FDCWD, Scene, call, found, reached


def _names(folder: str) -> str:
    return ", ".join(each.name for each in Path(folder).iterdir())


def read_passwd(_: Scene) -> str:
    return found(Path("/etc/passwd").read_text()[:20], "/etc/passwd")


def read_shadow(_: Scene) -> str:
    return found(Path("/etc/shadow").read_text()[:4], "/etc/shadow")


def read_data_dir(scene: Scene) -> str:
    return found(Path(scene.secret).read_text(), scene.secret)


def list_data_dir(scene: Scene) -> str:
    return _names(scene.data_dir)


def list_root(_: Scene) -> str:
    return _names("/")


def list_processes(_: Scene) -> str:
    return _names("/proc")


def read_through_a_link(scene: Scene) -> str:
    return found(Path(f"{scene.data_dir}/link").read_text(), "link")


def read_by_dot_dot(_: Scene) -> str:
    return found(Path("/usr/lib/../../etc/passwd").read_text()[:20], "/usr/lib/../..")


def read_relative_to_another_folder(_: Scene) -> str:
    os.chdir("/etc")
    try:
        return found(Path("passwd").read_text()[:20], "/etc, by chdir")
    finally:
        os.chdir("/")


def read_by_a_folders_descriptor(_: Scene) -> str:
    folder = os.open("/usr/lib", os.O_RDONLY)
    try:
        fd = os.open("../../etc/passwd", os.O_RDONLY, dir_fd=folder)
    finally:
        os.close(folder)
    with os.fdopen(fd) as file:
        return found(file.read(20), "/etc/passwd")


def read_by_raw_openat(scene: Scene) -> str:
    fd = call("openat", AT_FDCWD, scene.secret, 0, 0)
    with os.fdopen(fd) as file:
        return found(file.read(), scene.secret)


def read_by_openat2(scene: Scene) -> str:
    how = struct.pack("=QQQ", os.O_RDONLY, 0, 0)
    fd = call("openat2", AT_FDCWD, scene.secret, how, len(how))
    with os.fdopen(fd) as file:
        return found(file.read(), scene.secret)


def read_by_old_open(scene: Scene) -> str:
    with os.fdopen(call("open", scene.secret, 0, 0)) as file:
        return found(file.read(), scene.secret)


def hold_a_path(scene: Scene) -> str:
    fd = os.open(scene.secret, os.O_PATH)
    size = os.fstat(fd).st_size
    os.close(fd)
    return f"a handle of {size} bytes"


def reopen_a_path_by_proc(scene: Scene) -> str:
    fd = os.open(scene.secret, os.O_PATH)
    try:
        return found(Path(f"/proc/self/fd/{fd}").read_text(), scene.secret)
    finally:
        os.close(fd)


def read_own_environment(_: Scene) -> str:
    return found(Path("/proc/self/environ").read_text(), "/proc/self/environ")


def read_own_maps(_: Scene) -> str:
    return found(Path("/proc/self/maps").read_text()[:40], "/proc/self/maps")


def list_own_descriptors(_: Scene) -> str:
    return _names("/proc/self/fd")


def read_the_kernels_command_line(_: Scene) -> str:
    return found(Path("/proc/cmdline").read_text()[:10], "/proc/cmdline")


def open_a_device(_: Scene) -> str:
    with Path("/dev/zero").open("rb", buffering=0) as file:
        return str(file.read(4))


def write_to_a_device(_: Scene) -> str:
    fd = os.open("/dev/null", os.O_WRONLY)
    os.close(fd)
    return "opened for writing"


def create_a_file(scene: Scene) -> str:
    os.close(os.open(scene.new, os.O_CREAT | os.O_WRONLY | os.O_EXCL))
    return "created"


def create_by_old_creat(scene: Scene) -> str:
    os.close(call("creat", scene.new, 0o600))
    return "created"


def create_a_nameless_file(scene: Scene) -> str:
    os.close(os.open(scene.data_dir, os.O_TMPFILE | os.O_RDWR))
    return "created"


def create_in_shared_memory(_: Scene) -> str:
    path = f"/dev/shm/strategy-{os.getpid()}"
    os.close(os.open(path, os.O_CREAT | os.O_RDWR))
    Path(path).unlink()
    return path


def open_for_writing(scene: Scene) -> str:
    os.close(os.open(scene.victim, os.O_RDWR))
    return "opened for writing"


def empty_by_opening(scene: Scene) -> str:
    os.close(os.open(scene.victim, os.O_RDONLY | os.O_TRUNC))
    return f"{Path(scene.victim).stat().st_size} bytes are left"


def truncate_by_path(scene: Scene) -> str:
    os.truncate(scene.victim, 0)
    return "emptied"


def make_a_folder(scene: Scene) -> str:
    Path(scene.new).mkdir()
    return "made"


def remove_a_file(scene: Scene) -> str:
    Path(scene.victim).unlink()
    return "removed"


def rename_a_file(scene: Scene) -> str:
    Path(scene.victim).rename(scene.new)
    return "renamed"


def swap_two_files(scene: Scene) -> str:
    exchange = 2
    call("renameat2", AT_FDCWD, scene.victim, AT_FDCWD, f"{scene.data_dir}/other", exchange)
    return "swapped"


def link_a_file(scene: Scene) -> str:
    os.link(scene.victim, scene.new)
    return "linked"


def leave_a_link(scene: Scene) -> str:
    Path(scene.new).symlink_to("/etc/passwd")
    return "linked"


def make_a_fifo(scene: Scene) -> str:
    os.mkfifo(scene.new)
    return "made"


def change_rights(scene: Scene) -> str:
    Path(scene.victim).chmod(0o777)
    return "changed"


def change_owner(scene: Scene) -> str:
    os.chown(scene.victim, os.getuid(), os.getgid())
    return "changed"


def change_times(scene: Scene) -> str:
    os.utime(scene.victim, (1, 1))
    return "changed"


def mark_with_an_attribute(scene: Scene) -> str:
    return reached("setxattr", scene.victim, "user.mark", b"x", 1, 0)


def read_an_attribute(scene: Scene) -> str:
    return reached("getxattr", scene.victim, "user.mark", None, 0)


def measure_the_disk(_: Scene) -> str:
    return f"{os.statvfs('/').f_bfree} blocks are free"


def read_where_a_link_leads(_: Scene) -> str:
    return str(Path("/proc/self/exe").readlink())


def watch_a_folder(scene: Scene) -> str:
    fd = call("inotify_init1", 0)
    return f"watch {call('inotify_add_watch', fd, scene.data_dir, 2)}"


def name_a_file_by_handle(scene: Scene) -> str:
    handle = struct.pack("=Ii", 128, 0) + bytes(128)
    mount_id = bytes(4)
    return reached("name_to_handle_at", AT_FDCWD, scene.secret, handle, mount_id, 0)


def open_a_file_by_handle(_: Scene) -> str:
    return reached("open_by_handle_at", AT_FDCWD, struct.pack("=Ii", 8, 1) + bytes(8), 0)


def lock_a_file(_: Scene) -> str:
    return reached("flock", 0, 1)


def load_a_library_from_outside(scene: Scene) -> str:
    return str(ctypes.CDLL(f"{scene.data_dir}/lib.so"))


def change_the_root(_: Scene) -> str:
    os.chroot("/")
    return "changed"


def flush_the_disks(_: Scene) -> str:
    return reached("syncfs", 0)
