"""A filter of system calls, as a program for the kernel (classic BPF): what the other walls do not look at.

In both sandboxes: namespaces and mounts, the kernel's keys and its other interfaces, files by their handle,
and sockets of unusual families are refused; named unix sockets, too. A program of another architecture is
ended. Calls newer than this list do not exist.

With Landlock also: sockets of every family, looking into or changing other processes, shared memory and
queues between processes, watching folders, and attributes of files, wherever these are. Modes, times and
owners of files are left to the process outside, which does what is asked where the file may be written.
"""

from __future__ import annotations

import errno
import functools
import platform
import struct
from collections.abc import Sequence

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # as the kernel names them (AUDIT_ARCH_*)
_NEWEST = 456  # calls above it are answered as an old kernel would: they do not exist
_X32 = 0x40000000  # another way to call the same kernel, on x86_64

Calls = dict[str, tuple[int | None, int | None]]  # name: x86_64, aarch64 (None: it has no such call)

_SOCKETS: Calls = {  # network, and sockets with a name
    "socket": (41, 198), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201), "accept": (43, 202),
    "accept4": (288, 242),
}  # fmt: skip
_OTHERS: Calls = {  # other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "process_madvise": (440, 440), "process_mrelease": (448, 448), "kcmp": (312, 272),
    "pidfd_getfd": (438, 438), "migrate_pages": (256, 238), "move_pages": (279, 239),
}  # fmt: skip
_MOUNTS: Calls = {  # namespaces and mounts
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "unshare": (272, 97), "setns": (308, 268), "move_mount": (429, 429), "open_tree": (428, 428),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442),
}  # fmt: skip
_KERNEL: Calls = {  # the kernel: keys, modules, clock, switches, and interfaces that have been holes before
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225),
    "sethostname": (170, 161), "setdomainname": (171, 162), "settimeofday": (164, 170),
    "clock_settime": (227, 112), "clock_adjtime": (305, 266), "adjtimex": (159, 171), "iopl": (172, None),
    "ioperm": (173, None), "modify_ldt": (154, None), "quotactl": (179, 60), "quotactl_fd": (443, 443),
    "acct": (163, 89), "syslog": (103, 116), "vhangup": (153, 58), "uselib": (134, None),
    "ustat": (136, None), "sysfs": (139, None), "nfsservctl": (180, 42), "lookup_dcookie": (212, 18),
}  # fmt: skip
_HANDLES: Calls = {"open_by_handle_at": (304, 265)}  # files without their path
_WATCHING: Calls = {  # what others do with files
    "fanotify_init": (300, 262), "fanotify_mark": (301, 263), "inotify_init": (253, None),
    "inotify_init1": (294, 26), "inotify_add_watch": (254, 27),
}  # fmt: skip
_SHARED: Calls = {  # memory and queues that processes of the whole machine share
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "semget": (64, 190), "semctl": (66, 191),
    "semop": (65, 193), "semtimedop": (220, 192), "msgget": (68, 186), "msgsnd": (69, 189),
    "msgrcv": (70, 188), "msgctl": (71, 187), "mq_open": (240, 180), "mq_unlink": (241, 181),
    "mq_notify": (244, 184),
}  # fmt: skip
_TIMES: Calls = {
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
}  # older than utimensat
ASKED: Calls = {  # modes, times, owners: for the process outside, if the file may be written (confined.py)
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "utimensat": (280, 88), "chown": (92, None), "fchown": (93, 55), "lchown": (94, None),
    "fchownat": (260, 54),
}  # fmt: skip
_ATTRIBUTES: Calls = {  # as above; answered as by a disk that has none, which programs are used to
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "getxattr": (191, 8),
    "lgetxattr": (192, 9), "listxattr": (194, 11), "llistxattr": (195, 12), "removexattr": (197, 14),
    "lremovexattr": (198, 15), "fremovexattr": (199, 16),
}  # fmt: skip
_EVERYWHERE = _MOUNTS | _KERNEL | _HANDLES
_MORE = _SOCKETS | _OTHERS | _WATCHING | _SHARED | _TIMES  # where there are no names of one's own
# Allowed only about oneself: the numbers of the arguments that must be these values.
_OWN: dict[tuple[int | None, int | None], dict[int, int]] = {
    (302, 261): {0: 0},  # prlimit64
    (203, 122): {0: 0},  # sched_setaffinity
    (144, 119): {0: 0},  # sched_setscheduler
    (142, 118): {0: 0},  # sched_setparam
    (314, 274): {0: 0},  # sched_setattr
    (141, 140): {0: 0, 1: 0},  # setpriority
    (251, 30): {0: 1, 1: 0},  # ioprio_set
}
_CLONE, _CLONE3 = (56, 220), 435
_NAMESPACES = 0x7E020000  # flags of clone that make namespaces
_SOCKET, _FAMILIES = (41, 198), (2, 10, 16)  # IPv4, IPv6, and asking the kernel which addresses there are
_SOCKETPAIR, _UNIX, _CONNECTED = (53, 199), 1, (1, 5)  # streams and packets; datagrams could be sent anywhere
_IOCTL = (16, 29)
_COMMANDS = (0x5412, 0x541C, 0x40086602, 0x401C5820)  # type into a terminal (two), attributes of files (two)

_LOAD, _AND, _EQUAL, _GREATER, _SET, _RETURN = 0x20, 0x54, 0x15, 0x25, 0x45, 0x06
_NUMBER, _ARCHITECTURE = 0, 4  # offsets in what the kernel gives the filter
_ALLOW, _ASK, _KILL, _ERROR = 0x7FFF0000, 0x7FC00000, 0x80000000, 0x00050000
_REFUSAL, _UNKNOWN, _NO_ATTRIBUTES = (_ERROR | each for each in (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP))

Instruction = tuple[int, int, int, int]  # operation, jump when true, jump when false, value


@functools.cache
def program(machine: str | None = None, *, alone: bool = True) -> bytes:
    """The filter for an architecture (by default this one); ValueError where there is none.

    Args:
        machine: As ``platform.machine()`` names it.
        alone: There are no namespaces around the program, so nothing but this keeps it from other processes.
    """
    machine = machine or platform.machine()
    if machine not in ARCHITECTURES:
        raise ValueError(f"no filter of system calls for {machine}")
    which = list(ARCHITECTURES).index(machine)
    steps = [(_LOAD, 0, 0, _ARCHITECTURE), *_unless(ARCHITECTURES[machine], _KILL), (_LOAD, 0, 0, _NUMBER)]
    if machine == "x86_64":
        steps += [(_GREATER, 0, 1, _X32 - 1), _give(_KILL)]
    steps += [(_GREATER, 0, 1, _NEWEST), _give(_UNKNOWN)]
    steps += _call(_CLONE3, [_give(_UNKNOWN)])  # its flags cannot be looked at; libraries use clone
    steps += _call(_CLONE[which], [_argument(0), (_SET, 0, 1, _NAMESPACES), _give(_REFUSAL), _give(_ALLOW)])
    steps += _call(_SOCKETPAIR[which], _pair())
    steps += _call(_IOCTL[which], [_argument(1), *_when(_COMMANDS, _REFUSAL), _give(_ALLOW)])
    for numbers in (_EVERYWHERE | _MORE if alone else _EVERYWHERE).values():
        steps += _call(numbers[which], [_give(_REFUSAL)])
    if alone:
        steps += _about_others(which)
    else:
        steps += _call(_SOCKET[which], [_argument(0), *_when(_FAMILIES, _ALLOW), _give(_REFUSAL)])
    steps.append(_give(_ALLOW))
    return b"".join(struct.pack("HBBI", *each) for each in steps)


def asked(machine: str | None = None) -> dict[str, int]:
    """The numbers of the calls that the process outside is asked to do."""
    which = list(ARCHITECTURES).index(machine or platform.machine())
    return {name: found for name, numbers in ASKED.items() if (found := numbers[which]) is not None}


def _about_others(which: int) -> list[Instruction]:
    steps: list[Instruction] = []
    for numbers in _ATTRIBUTES.values():
        steps += _call(numbers[which], [_give(_NO_ATTRIBUTES)])
    for numbers in ASKED.values():
        steps += _call(numbers[which], [_give(_ASK)])
    for numbers, wanted in _OWN.items():
        tests = [
            step for each in wanted.items() for step in (_argument(each[0]), *_unless(each[1], _REFUSAL))
        ]
        steps += _call(numbers[which], [*tests, _give(_ALLOW)])
    return steps


def _pair() -> list[Instruction]:
    kinds = _when(_CONNECTED, _ALLOW)
    return [_argument(0), *_unless(_UNIX, _REFUSAL), _argument(1), (_AND, 0, 0, 0xF), *kinds, _give(_REFUSAL)]


def _call(number: int | None, then: Sequence[Instruction]) -> list[Instruction]:
    """Do ``then``, which must end with an answer, when the call has this number."""
    return [] if number is None else [(_EQUAL, 0, len(then), number), *then]


def _when(values: Sequence[int], answer: int) -> list[Instruction]:
    return [step for each in values for step in ((_EQUAL, 0, 1, each), _give(answer))]


def _unless(value: int, answer: int) -> list[Instruction]:
    return [(_EQUAL, 1, 0, value), _give(answer)]


def _argument(number: int) -> Instruction:
    """Its lower half; both architectures are little-endian."""
    return (_LOAD, 0, 0, 16 + 8 * number)


def _give(answer: int) -> Instruction:
    return (_RETURN, 0, 0, answer)
