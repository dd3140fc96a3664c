"""The network, and every other way to talk to somebody."""

import array
import os
import socket

from tools import Scene, reached


def _own_socket() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, os.dup(3))


def connect_by_tcp(scene: Scene) -> str:
    with socket.create_connection(("127.0.0.1", scene.tcp), timeout=2) as peer:
        return str(peer.getpeername())


def listen_by_tcp(_: Scene) -> str:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen()
        return str(door.getsockname())


def connect_by_tcp6(_: Scene) -> str:
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as made:
        return str(made.family)


def connect_by_multipath_tcp(_: Scene) -> str:
    return reached("socket", socket.AF_INET, socket.SOCK_STREAM, 262)


def send_by_udp(scene: Scene) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        return f"{door.sendto(b'secret', ('127.0.0.1', scene.udp))} bytes sent"


def ask_a_name_server(_: Scene) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        door.connect(("127.0.0.1", 53))
        return "connected"


def connect_to_a_path(scene: Scene) -> str:
    with socket.socket(socket.AF_UNIX) as door:
        door.connect(scene.unix)
        return "connected"


def listen_at_a_path(scene: Scene) -> str:
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(scene.new)
        return "bound"


def connect_to_an_abstract_name(scene: Scene) -> str:
    with socket.socket(socket.AF_UNIX) as door:
        door.connect(f"\0{scene.abstract}")
        return "connected"


def make_a_pair(_: Scene) -> str:
    one, other = socket.socketpair()
    with one, other:
        return str(one.fileno())


def ask_by_netlink(_: Scene) -> str:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as door:
        door.bind((0, 0))
        return str(door.getsockname())


def ask_the_kernels_crypto(_: Scene) -> str:
    return reached("socket", 38, socket.SOCK_SEQPACKET, 0)


def talk_to_the_hypervisor(_: Scene) -> str:
    return reached("socket", 40, socket.SOCK_STREAM, 0)


def send_raw(_: Scene) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as door:
        return str(door.fileno())


def listen_to_the_wire(_: Scene) -> str:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as door:
        return str(door.fileno())


def hand_over_a_descriptor(_: Scene) -> str:
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0]))
    with _own_socket() as door:
        sent = door.sendmsg([b""], [rights])  # no byte of its own: the engine's stream stays whole
        return f"{sent} bytes sent"


def take_over_a_descriptor(_: Scene) -> str:
    with _own_socket() as door:
        try:
            door.recvmsg(1, 64, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return "none has come, but it may"
        return "read"


def ask_who_is_there(_: Scene) -> str:
    with _own_socket() as door:
        return str(door.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))


def tune_the_socket(_: Scene) -> str:
    return reached("setsockopt", 3, socket.SOL_SOCKET, socket.SO_PASSCRED, bytes(4), 4)


def half_close_the_socket(_: Scene) -> str:
    return reached("shutdown", 99, socket.SHUT_RD)


def reconnect_the_socket(scene: Scene) -> str:
    path = (socket.AF_UNIX).to_bytes(2, "little") + scene.unix.encode() + b"\0"
    return reached("connect", 3, path, len(path))


def send_to_an_address(scene: Scene) -> str:
    path = (socket.AF_UNIX).to_bytes(2, "little") + scene.unix.encode() + b"\0"
    return reached("sendto", 99, b"x", 1, 0, path, len(path))


def find_an_inherited_socket(_: Scene) -> str:
    return reached("getsockname", 3, bytes(128), (128).to_bytes(4, "little"))


def wait_on_many_descriptors(_: Scene) -> str:
    return reached("epoll_create1", 0)
