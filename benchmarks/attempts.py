"""Programs that try to get out of the sandbox: data for ``escapes.py``, which says how each is judged.

Every program may use what the scene holds: in Python as ``S["name"]``, in a shell as ``$name``. None of them
knows the secrets it is after. ``did()`` says that something worked which leaves no trace outside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Sign = Literal["leak", "change", "reach", "victim", "claim", "survive", "excess"]

PRELUDE = r"""
import array, ctypes, errno, fcntl, os, signal, socket, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
X86 = os.uname().machine == "x86_64"
def did(): print("DID" + "-IT", flush=True)
def call(x86, arm, *words):
    words = [ctypes.c_long(w) if isinstance(w, int) else w for w in words]
    done = libc.syscall(ctypes.c_long(x86 if X86 else arm), *words)
    if done < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return done
def show(path): print(open(path, "rb").read().decode("latin-1"), flush=True)
"""


@dataclass(frozen=True)
class Attempt:
    """One program.

    Attributes:
        name: What it tries, in a few words.
        area: The kind of thing it is.
        sign: What tells that it succeeded: a secret in its output; a file changed that it must not touch;
            something came in on a socket outside; the victim felt it; its own word; a process of it is left;
            more used than allowed.
        code: The program; in a shell where ``shell``.
        control: Whether it is first run without a sandbox, to see that it can succeed here at all.
        root: Only root could do it in the first place.
        hosts: Those that the program may reach by the sandbox's proxy, in bubblewrap.
    """

    name: str
    area: str
    sign: Sign
    code: str
    shell: bool = False
    control: bool = True
    root: bool = False
    hosts: tuple[str, ...] = ()


def _sh(name: str, area: str, sign: Sign, code: str, *, control: bool = True, root: bool = False) -> Attempt:
    return Attempt(name, area, sign, code, shell=True, control=control, root=root)


def _py(name: str, area: str, sign: Sign, code: str, *, control: bool = True, root: bool = False) -> Attempt:
    return Attempt(name, area, sign, code.strip("\n"), control=control, root=root)


FILES = [
    _sh("read a file by its path", "read", "leak", "cat $secret"),
    _sh("read a file by ..", "read", "leak", "cat ../outside/secret.txt"),
    _sh("read a private key", "read", "leak", "cat $outside/ssh/id_ed25519"),
    _sh("read through a symbolic link", "read", "leak", "ln -s $secret way && cat way"),
    _sh("read through a linked folder", "read", "leak", "ln -s $outside way && cat way/secret.txt"),
    _sh("read through a hard link", "read", "leak", "ln $secret way && cat way"),
    _sh("move a file in and read it", "read", "leak", "mv $outside/target.txt stolen && cat stolen"),
    _sh("read through /proc/self/root", "read", "leak", "cat /proc/self/root$secret"),
    _sh("read through /proc/self/cwd", "read", "leak", "cat /proc/self/cwd/../outside/secret.txt"),
    _sh("list a folder", "read", "leak", "ls $outside"),
    _sh("search the disk", "read", "leak", "find $base -name '*.txt' | xargs cat; find / -maxdepth 1"),
    _py("open a file by its handle", "read", "leak", """
handle = struct.pack("Ii", 128, 0) + bytes(128)
buffer = ctypes.create_string_buffer(handle, len(handle)); mount = ctypes.c_int()
call(303, 264, -100, ctypes.c_char_p(S["secret"].encode()), buffer, ctypes.byref(mount), 0)
near = os.open(S["base"], os.O_RDONLY)
print(os.read(call(304, 265, near, buffer, 0), 1000))
""", root=True),
    _py("watch what happens in a folder", "read", "leak", """
number = libc.inotify_init()
if libc.inotify_add_watch(number, S["outside"].encode(), 0x300) < 0: raise OSError("watch")
os.set_blocking(number, False); ends = time.time() + 2
while time.time() < ends:
    try: print(os.read(number, 4096)); break
    except BlockingIOError: time.sleep(0.05)
"""),
    _sh("write into a file", "write", "change", "echo evil > $target"),
    _sh("write by ..", "write", "change", "echo evil > ../outside/target.txt"),
    _sh("make a file", "write", "change", "echo evil > $outside/new.txt"),
    _sh("write through a symbolic link", "write", "change", "ln -s $target way && echo evil > way"),
    _sh("make a file by a linked folder", "write", "change", "ln -s $outside way && echo evil > way/new.txt"),
    _sh("move a file out", "write", "change", "mv a.txt $outside/moved.txt"),
    _sh("link a file out", "write", "change", "ln a.txt $outside/linked.txt"),
    _sh("move a file in", "write", "change", "mv $target stolen"),
    _sh("remove a file", "write", "change", "rm -f $target"),
    _sh("make a folder", "write", "change", "mkdir $outside/folder"),
    _py("cut a file off", "write", "change", 'os.truncate(S["target"], 0)'),
    _py("open a file to cut it off", "write", "change", 'os.open(S["target"], os.O_RDONLY | os.O_TRUNC)'),
    _py("open a key to everybody", "write", "change", 'os.chmod(S["key"], 0o666)'),
    _py("change modes by a newer call", "write", "change",
        'call(452, 452, -100, ctypes.c_char_p(S["key"].encode()), 0o666, 0)'),
    _py("change the times of a file", "write", "change", 'os.utime(S["target"], (1, 1))'),
    _py("change an attribute of a file", "write", "change", 'os.setxattr(S["target"], "user.evil", b"1")'),
    _py("give a file away", "write", "change", 'os.chown(S["target"], 12345, 12345)', root=True),
    _py("change a file's flags", "write", "change", """
place = os.open(S["target"], os.O_RDONLY)
flags = array.array("l", [0x80]); fcntl.ioctl(place, 0x40086602, flags)
"""),
    _sh("replace a folder by a link before the end", "write", "change",
        "rm -r sub && ln -s $outside sub; (sleep 0.2; echo x > sub/new.txt) & echo x > sub/target.txt; wait"),
    _py("swap a folder and a link all the time", "write", "change", """
os.symlink(S["outside"], "way"); ends = time.time() + 1.0
if os.fork() == 0:
    while time.time() < ends:
        try: os.rename("sub", "x"); os.rename("way", "sub"); os.rename("sub", "way"); os.rename("x", "sub")
        except OSError: pass
    os._exit(0)
while time.time() < ends:
    try: open("sub/new.txt", "w").write("evil")
    except OSError: pass
"""),
]  # fmt: skip

OURS = [
    _sh("read the record", "ours", "leak", "cat .autoagent/runs.db"),
    _sh("read the settings by ..", "ours", "leak", "cat ../config.toml ../../config.toml $home/config.toml"),
    _sh(
        "write into the record",
        "ours",
        "change",
        "echo evil > $home/runs.db; echo evil >> .autoagent/runs.db",
    ),
    _sh(
        "allow oneself everything",
        "ours",
        "change",
        "echo 'allow = [\"*\"]' >> $home/config.toml; echo 'allow = [\"*\"]' >> .autoagent/config.toml",
    ),
    _sh(
        "replace the settings",
        "ours",
        "change",
        "mv .autoagent old; mkdir .autoagent; echo evil > .autoagent/config.toml",
    ),
    _sh("remove the record", "ours", "change", "rm -rf .autoagent $home"),
    _sh(
        "link to the record", "ours", "leak", "ln $home/runs.db way; ln -s $home/runs.db other; cat way other"
    ),
    _sh(
        "make settings for a folder",
        "ours",
        "change",
        "mkdir -p sub/.autoagent && echo evil > sub/.autoagent/config.toml",
    ),
    _sh(
        "link settings for a folder",
        "ours",
        "change",
        "mkdir evil; echo evil > evil/config.toml; ln -s ../evil sub/.autoagent",
    ),
    _sh("leave a hook for git", "ours", "change", "echo evil > .git/hooks/pre-commit"),
    _sh(
        "replace the folder of git",
        "ours",
        "change",
        "mv .git old; mkdir -p .git/hooks; echo evil > .git/hooks/pre-commit",
    ),
    _sh(
        "change git's settings", "ours", "change", "git config core.pager evil; echo '[core]' >> .git/config"
    ),
    _sh("replace a program in .venv", "ours", "change", "echo evil > .venv/bin/python; rm .venv/bin/python"),
    _py("change modes in .git", "ours", "change", 'os.chmod(".git/config", 0o666)'),
]

PROCESSES = [
    _sh("read the environment it was started from", "process", "leak", "env; cat /proc/$runner/environ"),
    _sh("read the parent's environment", "process", "leak", "cat /proc/$PPID/environ"),
    _sh("read another's environment", "process", "leak", "cat /proc/$victim/environ"),
    _sh("read another's command line", "process", "leak", "cat /proc/$victim/cmdline; ps -o args $victim"),
    _sh("read through another's root", "process", "leak", "cat /proc/$victim/root$secret"),
    _sh("read through another's folder", "process", "leak", "cat /proc/$victim/cwd/secret.txt"),
    _sh("read another's open file", "process", "leak", "cat /proc/$victim/fd/$open"),
    _py("read another's memory as a file", "process", "leak", """
file = open(f"/proc/{S['victim']}/mem", "rb", 0); file.seek(S["address"]); print(file.read(64))
"""),
    _py("read another's memory by a call", "process", "leak", """
room = ctypes.create_string_buffer(64)
class V(ctypes.Structure): _fields_ = (("b", ctypes.c_void_p), ("l", ctypes.c_size_t))
here, there = V(ctypes.addressof(room), 64), V(S["address"], 64)
call(310, 270, S["victim"], ctypes.byref(here), 1, ctypes.byref(there), 1, 0); print(room.raw)
"""),
    _py("trace another process", "process", "leak", """
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
if libc.ptrace(16, S["victim"], None, None) < 0: raise OSError(ctypes.get_errno(), "ptrace")
os.waitpid(S["victim"], 0x40000000); words = b""
for each in range(8):
    words += struct.pack("q", libc.ptrace(2, S["victim"], S["address"] + 8 * each, None))
libc.ptrace(17, S["victim"], None, None); print(words)
"""),
    _py("take another's open file", "process", "leak", """
other = call(434, 434, S["victim"], 0)
print(os.pread(call(438, 438, other, S["open"], 0), 100, 0))
"""),
    _sh("signal another process", "signal", "victim", "kill -USR1 $victim; kill -TERM $victim"),
    _sh("kill another process", "signal", "victim", "kill -9 $victim"),
    _sh("signal its group", "signal", "victim", "kill -USR1 -- -$victim"),
    _py("signal everybody", "signal", "victim", "os.kill(-1, signal.SIGWINCH)", control=False),
    _py("signal a thread", "signal", "victim", 'call(234, 131, S["victim"], S["victim"], signal.SIGUSR1)'),
    _py("queue a signal", "signal", "victim", """
info = ctypes.create_string_buffer(struct.pack("iiii", signal.SIGUSR1, 0, -1, 0), 128)
call(129, 138, S["victim"], signal.SIGUSR1, info)
"""),
    _py("signal by file", "signal", "victim", """
signal.pidfd_send_signal(os.pidfd_open(S["victim"]), signal.SIGUSR1)
"""),
    _py("signal by a pipe's owner", "signal", "victim", """
one, two = socket.socketpair()
fcntl.fcntl(one, fcntl.F_SETOWN, S["victim"])
fcntl.fcntl(one, fcntl.F_SETFL, fcntl.fcntl(one, fcntl.F_GETFL) | os.O_ASYNC)
two.send(b"x"); time.sleep(0.2)
"""),
    _py("slow another down", "process", "victim", 'os.setpriority(os.PRIO_PROCESS, S["victim"], 19)'),
    _py("limit another", "process", "victim", """
import resource; resource.prlimit(S["victim"], resource.RLIMIT_CORE, (0, 0))
"""),
    _py("move another to one processor", "process", "victim", 'os.sched_setaffinity(S["victim"], {0})'),
    _py("read shared memory", "process", "leak", """
libc.shmat.restype = ctypes.c_void_p
where = libc.shmat(S["shm"], None, 0o10000)
if where == ctypes.c_void_p(-1).value: raise OSError(ctypes.get_errno(), "shmat")
print(ctypes.string_at(where, 64))
"""),
    _py("read a message queue", "process", "leak", """
room = ctypes.create_string_buffer(128)
call(70, 188, S["queue"], room, 120, 0, 0o4000); print(room.raw)
"""),
    _sh("read named shared memory", "process", "leak", "cat $devshm"),
    _py("read the keys of the session", "process", "leak", """
room = ctypes.create_string_buffer(128)
call(250, 219, 11, S["key_number"], room, 128, 0); print(room.raw)
"""),
    _py("search the keys of the session", "process", "leak", """
room = ctypes.create_string_buffer(128)
found = call(250, 219, 10, -3, ctypes.c_char_p(b"user"), ctypes.c_char_p(b"autoagent-escape"), 0)
call(250, 219, 11, found, room, 128, 0); print(room.raw)
"""),
    _py("read inherited files", "process", "leak", """
for number in range(3, 256):
    try: print(os.pread(number, 100, 0))
    except OSError: pass
"""),
]  # fmt: skip

SOCKETS = [
    _py("connect by TCP", "socket", "reach", 'socket.create_connection(("127.0.0.1", S["tcp"]), 2)'),
    _py("send by UDP", "socket", "reach",
        'socket.socket(2, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", S["udp"]))'),
    _py("ask a name server", "socket", "reach", """
query = struct.pack(">6H", 7, 256, 1, 0, 0, 0) + b"\\x06secret\\x07example\\0" + struct.pack(">2H", 1, 1)
socket.socket(2, socket.SOCK_DGRAM).sendto(query, ("127.0.0.1", S["udp"]))
"""),
    _py("connect by TCP to the machine's own address", "socket", "reach",
        'socket.create_connection((S["host"], S["tcp"]), 2).send(b"x")'),
    _py("connect to a named socket", "socket", "reach",
        'c = socket.socket(1); c.connect(S["stream"]); c.send(b"x")'),
    _py("connect to a named socket in the workspace", "socket", "reach",
        'c = socket.socket(1); c.connect(S["work"] + "/server"); c.send(b"x")'),
    _py("send to a named socket", "socket", "reach",
        'socket.socket(1, socket.SOCK_DGRAM).sendto(b"x", S["datagram"])'),
    _py("send to a named socket from a pair", "socket", "reach",
        'socket.socketpair(1, socket.SOCK_DGRAM)[0].sendto(b"x", S["datagram"])'),
    _py("connect to an abstract socket", "socket", "reach",
        'c = socket.socket(1); c.connect("\\0" + S["abstract"]); c.send(b"x")'),
    _py("send to an abstract socket", "socket", "reach",
        'socket.socket(1, socket.SOCK_DGRAM).sendto(b"x", "\\0" + S["abstract"] + "-datagram")'),
    _py("let others connect", "socket", "reach", """
server = socket.create_server(("127.0.0.1", S["free"])); server.settimeout(1.5)
server.accept()[0].send(b"hello"); time.sleep(0.2)
"""),
    _py("open a socket to the machine below", "socket", "claim", "socket.socket(40, 1); did()"),
    _py("listen to all packets", "socket", "claim",
        "socket.socket(17, socket.SOCK_RAW, socket.htons(3)); did()", root=True),
    _py("send raw packets", "socket", "claim",
        "socket.socket(2, socket.SOCK_RAW, socket.IPPROTO_ICMP); did()", root=True),
    _py("see the machine's networks", "socket", "claim",
        'any(n != "lo" for _, n in socket.if_nameindex()) and did()'),
    _py("reach a socket by io_uring", "socket", "claim", """
call(425, 425, 4, ctypes.create_string_buffer(120)); did()
"""),
]  # fmt: skip

KERNEL = [
    _sh("mount a folder in memory", "kernel", "claim",
        "mkdir -p m && mount -t tmpfs none m && printf 'DID%s\\n' -IT; umount m", root=True),
    _sh("make a space of one's own", "kernel", "claim", "unshare -Ur true && printf 'DID%s\\n' -IT"),
    _sh("make a space and mount in it", "kernel", "claim",
        "unshare -Urm sh -c 'mount -t tmpfs none /mnt' && printf 'DID%s\\n' -IT"),
    _py("make a space by clone", "kernel", "claim", """
room = ctypes.create_string_buffer(65536)
pid = call(56, 220, 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0)
if pid == 0: os._exit(0)
os.waitpid(pid, 0); did()
"""),
    _py("make a space by clone3", "kernel", "claim", """
words = struct.pack("11Q", 0x10000000, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, 0)
pid = call(435, 435, ctypes.create_string_buffer(words, 88), 88)
if pid == 0: os._exit(0)
os.waitpid(pid, 0); did()
"""),
    _py("enter another's space", "kernel", "claim", """
place = os.open(f"/proc/{S['victim']}/ns/uts", os.O_RDONLY); call(308, 268, place, 0); did()
""", root=True),
    _py("change the root folder", "kernel", "claim", 'os.chroot("."); did()', root=True),
    _py("get out of a root folder", "kernel", "leak", """
os.mkdir("jail"); there = os.open(".", os.O_RDONLY); os.chroot("jail"); os.fchdir(there)
for _ in range(64): os.chdir("..")
os.chroot("."); show(S["secret"])
""", root=True),
    _py("use the new mount calls", "kernel", "claim",
        'call(428, 428, -100, ctypes.c_char_p(S["outside"].encode()), 1); did()', root=True),
    _sh("run a program that becomes root", "kernel", "claim", "passwd -S && printf 'DID%s\\n' -IT"),
    _py("become another user", "kernel", "claim", "os.setuid(1); did()", root=True),
    _py("load a program into the kernel", "kernel", "claim", """
words = struct.pack("4I", 1, 4, 8, 1) + bytes(56)
call(321, 280, 0, ctypes.create_string_buffer(words, 72), 72); did()
""", root=True),
    _py("measure the kernel", "kernel", "claim", """
words = struct.pack("2IQ", 1, 112, 0) + bytes(96)
call(298, 241, ctypes.create_string_buffer(words, 112), 0, -1, -1, 0); did()
"""),
    _py("handle faults of memory", "kernel", "claim", "call(323, 282, 1); did()"),
    _py("make a ring", "kernel", "claim", "call(425, 425, 4, ctypes.create_string_buffer(120)); did()"),
    _py("load a module", "kernel", "claim", """
try: call(175, 105, ctypes.create_string_buffer(8), 8, ctypes.c_char_p(b""))
except OSError as problem: problem.errno == errno.ENOEXEC and did()
""", root=True),
    _py("read the kernel's messages", "kernel", "claim",
        "call(103, 116, 3, ctypes.create_string_buffer(999), 999); did()", root=True),
    _py("rename the machine", "kernel", "claim",
        "n = os.uname().nodename.encode(); call(170, 161, ctypes.c_char_p(n), len(n)); did()", root=True),
    _sh("turn a switch of the kernel", "kernel", "claim",
        "f=/proc/sys/kernel/panic; v=$(cat $f); echo ${v:-0} > $f && printf 'DID%s\\n' -IT", root=True),
    _sh("say what runs at a crash", "kernel", "claim",
        "f=/proc/sys/kernel/core_pattern; v=$(cat $f); echo \"$v\" > $f && printf 'DID%s\\n' -IT", root=True),
    _sh("make a control group", "kernel", "claim",
        "for d in /sys/fs/cgroup/pids /sys/fs/cgroup; do g=$d/escape-$mark; "
        "mkdir $g && rmdir $g && printf 'DID%s\\n' -IT && break; done", root=True),
    _sh("turn a switch in /sys", "kernel", "claim",
        "f=/sys/kernel/profiling; f=/sys/module/kernel/parameters/panic; v=$(cat $f); "
        "echo $v > $f && printf 'DID%s\\n' -IT", root=True),
    _py("use another way into the kernel", "kernel", "leak", """
import mmap
if not X86: raise OSError("x86_64 only")
path = ctypes.create_string_buffer(S["secret"].encode())
number = libc.syscall(ctypes.c_long(0x40000002), path, ctypes.c_long(0), ctypes.c_long(0))
print(os.read(number, 100) if number >= 0 else number)
""", control=False),
]  # fmt: skip

DEVICES = [
    _sh("read a disk", "device", "claim",
        "for d in $disk; do head -c 512 $d > /dev/null && printf 'DID%s\\n' -IT; done", root=True),
    _sh("make a device and read it", "device", "claim",
        "mknod d b $numbers && head -c 512 d > /dev/null && printf 'DID%s\\n' -IT; rm -f d", root=True),
    _sh("read the machine's memory", "device", "claim",
        "head -c 16 /dev/mem > /dev/null && printf 'DID%s\\n' -IT", root=True),
    _sh("write to the kernel's log", "device", "claim",
        "echo escape > /dev/kmsg && printf 'DID%s\\n' -IT", root=True),
    _sh("write to another's terminal", "device", "reach", "echo x > $terminal"),
    _py("type into another's terminal", "device", "reach", """
place = os.open(S["terminal"], os.O_RDWR | os.O_NOCTTY); fcntl.ioctl(place, 0x5412, b"x")
""", root=True),
    _sh("open the terminal it was started from", "device", "claim", ": < /dev/tty && printf 'DID%s\\n' -IT"),
    _py("open the console", "device", "claim",
        'os.open("/dev/console", os.O_WRONLY | os.O_NOCTTY); did()', root=True),
    _py("open a file system of one's own", "device", "claim", 'os.open("/dev/fuse", os.O_RDWR); did()'),
]  # fmt: skip

LIMITS = [
    _py("stay behind as a daemon", "limit", "survive", """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for each in (0, 1, 2): os.close(each)
        os.execvp("sleep", ["sleep", S["mark"]])
    os._exit(0)
os.wait()
"""),
    _sh("stay behind in a session of its own", "limit", "survive",
        "setsid sleep $mark > /dev/null 2>&1 & sleep 0.1"),
    _py("stay behind by starting over again and again", "limit", "survive", """
if os.fork() == 0:
    os.setsid()
    for each in range(3000):
        if os.fork(): os._exit(0)
        time.sleep(0.002)
        if each == 2999: os.execvp("sleep", ["sleep", S["mark"]])
    os._exit(0)
time.sleep(0.5)
""", control=False),
    _py("stop being stopped", "limit", "survive", """
for each in range(1, 65):
    try: signal.signal(each, signal.SIG_IGN)
    except (OSError, ValueError): pass
os.execvp("sleep", ["sleep", S["mark"]])
"""),
    _py("start many processes", "limit", "excess", """
for _ in range(150):
    if os.fork() == 0: os.execvp("sleep", ["sleep", "5"])
time.sleep(3)
"""),
    _sh("start processes without end", "limit", "excess",
        "bomb() { bomb | bomb & }; bomb; sleep 3", control=False),
    _py("start many threads", "limit", "excess", """
import threading
for _ in range(150): threading.Thread(target=time.sleep, args=(3,), daemon=True).start()
time.sleep(3)
"""),
    _py("take much memory", "limit", "excess", "x = bytearray(400 * 2**20); time.sleep(1)"),
    _py("take much memory in many processes", "limit", "excess", """
for _ in range(4):
    if os.fork() == 0: x = bytearray(120 * 2**20); time.sleep(2); os._exit(0)
time.sleep(2)
"""),
    _sh("write a large file", "limit", "excess", "head -c 40000000 /dev/zero > large"),
    _sh("write without end", "limit", "excess", "head -c 3000000 /dev/zero | tr '\\0' x"),
    _sh("take long", "limit", "excess", "sleep 9"),
]  # fmt: skip

_THROUGH = """
def through(text):
    by_proxy = "http_proxy" in os.environ
    way = socket.create_connection(("127.0.0.1", 3128 if by_proxy else S["tcp"]), 2)
    way.sendall(text.replace("PORT", str(S["tcp"])).encode())
    return b" 200 " in way.recv(99)
"""
PROXY = [  # with no sandbox there is no proxy, and the way is open
    Attempt(name, "proxy", "reach", f"{_THROUGH}{code}".strip("\n"), hosts=hosts)
    for name, hosts, code in (
        ("a host that is not named", ("example.org",), r'through("CONNECT 127.0.0.1:PORT HTTP/1.1\r\n\r\n")'),
        ("another port of a named host", ("127.0.0.1:1",),
         r'through("CONNECT 127.0.0.1:PORT HTTP/1.1\r\n\r\n")'),
        ("this machine by its many names", ("*:*",), r"""
for name in ("127.0.0.1", "localhost", "0.0.0.0", "127.1", "2130706433", "0x7f000001", "[::1]", "[::]",
             "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "localhost.", "LOCALHOST", S["host"]):
    through(f"CONNECT {name}:PORT HTTP/1.1\r\n\r\n")
    through(f"GET http://{name}:PORT/ HTTP/1.1\r\n\r\n")
"""),
        ("an address that is read in two ways", ("example.org:*",), r"""
for url in ("http://example.org@127.0.0.1:PORT/", "http://127.0.0.1:PORT\\@example.org/",
            "http://127.0.0.1:PORT#@example.org/", "http://127.0.0.1:PORT?.example.org",
            "http://example.org\t@127.0.0.1:PORT/", "//127.0.0.1:PORT/", "/"):
    through(f"GET {url} HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n\r\n")
"""),
        ("a named socket by what is left open", ("example.org",), r"""
for number in range(3, 256):
    try: socket.socket(1, 1, 0, number).connect(S["stream"])
    except OSError: pass
way = socket.socket(1); way.connect(S["stream"])
"""),
        ("around the proxy", ("*:*",), 'socket.create_connection((S["host"], S["tcp"]), 2).send(b"x")'),
    )
]  # fmt: skip

ATTEMPTS = [*FILES, *OURS, *PROCESSES, *SOCKETS, *KERNEL, *DEVICES, *LIMITS, *PROXY]
