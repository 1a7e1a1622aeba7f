"""Turn one `pytorch_model.bin` into safetensors, in a process of its own: `python -I child.py SOURCE TARGET`.

What protects is torch's `weights_only` unpickler, which knows tensors and plain containers and calls nothing else. The
rest is there in case it has a hole, as it had (CVE-2025-32434): limits on time, memory and file size; on Linux a
seccomp filter without sockets, new processes and programs; an audit hook against the same, against imports, ordinary
unpickling and files written elsewhere. An audit hook is no wall: code that runs in this process can get round it. Files
that the user may read stay readable. Imports nothing of swindex. Says what is wrong in one line of JSON; exit status 1.
"""

import ctypes
import json
import os
import platform
import re
import struct
import sys
from typing import Any, BinaryIO, NoReturn

ZIP = b"PK\x03\x04"
LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How torch.save began a file before its zip format: a pickled magic number."""
SPARE = 1 << 20
MEMORY = 4 << 30
"""Bytes of address space beyond what torch takes and the file itself, twice."""
DTYPES = {
    "torch.bool": "BOOL",
    "torch.uint8": "U8",
    "torch.int8": "I8",
    "torch.int16": "I16",
    "torch.int32": "I32",
    "torch.int64": "I64",
    "torch.float16": "F16",
    "torch.bfloat16": "BF16",
    "torch.float32": "F32",
    "torch.float64": "F64",
    "torch.float8_e4m3fn": "F8_E4M3",
    "torch.float8_e5m2": "F8_E5M2",
}
"""torch's name of a dtype -> safetensors'."""

# Machine -> (audit architecture, numbers of: socket socketpair connect bind listen accept sendto clone, fork and vfork
# where there are such, execve execveat ptrace process_vm_readv process_vm_writev mount unshare setns bpf userfaultfd
# kill io_uring_setup clone3 pidfd_getfd).
SYSCALLS: dict[str, tuple[int, tuple[int, ...]]] = {
    "x86_64": (
        0xC000003E,
        (41, 53, 42, 49, 50, 43, 44, 56, 57, 58, 59, 322, 101, 310, 311, 165, 272, 308, 321, 323, 62, 425, 435, 438),
    ),
    "aarch64": (
        0xC00000B7,
        (198, 199, 203, 200, 201, 202, 206, 220, 221, 281, 117, 270, 271, 40, 97, 268, 280, 282, 129, 425, 435, 438),
    ),
}
FORBIDDEN = (
    "socket.",
    "subprocess.",
    "ctypes.",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.spawn",
    "os.startfile",
    "os.system",
    "os.kill",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.chmod",
    "os.chown",
    "os.truncate",
    "os.putenv",
    "shutil.",
    "pty.spawn",
    "pickle.find_class",
    "import",
)
"""Audit events, by how they begin. What is imported already raises none."""


class ForbiddenError(BaseException):
    """Something that no weights need was tried; not an Exception, so that nothing between catches it."""


def close_kernel() -> bool:
    """Deny this process sockets, processes and programs (seccomp, Linux); whether that could be done."""
    arch, numbers = SYSCALLS.get(platform.machine(), (0, ()))
    if sys.platform != "linux" or not numbers:
        return False
    load, equal, above, give = 0x20, 0x15, 0x35, 0x06
    allow, deny, kill = 0x7FFF0000, 0x00050001, 0x80000000
    rows = [(load, 0, 0, 4), (equal, 1, 0, arch), (give, 0, 0, kill), (load, 0, 0, 0)]
    rows += [(above, 0, 1, 0x40000000), (give, 0, 0, deny)]  # the x32 twins of the numbers below
    rows += [row for n in numbers for row in ((equal, 0, 1, n), (give, 0, 0, deny))]
    rows.append((give, 0, 0, allow))
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *row) for row in rows))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(rows), ctypes.addressof(code)))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    no_new_privileges, seccomp, as_filter = 38, 22, 2
    return not prctl(no_new_privileges, 1, 0, 0, 0) and not prctl(seccomp, as_filter, program, 0, 0)


def close_python(target: str) -> None:
    """Raise ForbiddenError from now on for what weights never need, and for files written beside `target`."""

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event.startswith(FORBIDDEN):
            raise ForbiddenError(f"{event} {args[0] if args else ''!r:.80}")
        if event == "open" and _writes(args[1], args[2]) and args[0] != target:
            raise ForbiddenError(f"writing {args[0]!r:.80}")

    sys.addaudithook(hook)


def _writes(mode: Any, flags: Any) -> bool:
    if isinstance(mode, str) and any(letter in mode for letter in "wax+"):
        return True
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))


def limit(size: int) -> None:
    """Bound time, memory, files written and processes by the size of the source."""
    try:
        import resource
    except ImportError:
        return
    bounds = {"RLIMIT_CPU": 120 + size // 10_000_000, "RLIMIT_FSIZE": 2 * size + SPARE, "RLIMIT_CORE": 0}
    bounds["RLIMIT_NPROC"] = 0
    if sys.platform == "linux":
        with open("/proc/self/statm", encoding="ascii") as file:
            bounds["RLIMIT_AS"] = int(file.read().split()[0]) * resource.getpagesize() + 2 * size + MEMORY
    for name, most in bounds.items():
        hard = resource.getrlimit(getattr(resource, name))[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(getattr(resource, name), (most, most))


def load(source: str) -> dict[str, Any]:
    """The tensors of a file by name; torch's errors pass."""
    import torch

    with open(source, "rb") as file:
        head = file.read(len(LEGACY))
    if not head.startswith((ZIP, LEGACY)):
        fail("unsafe_format" if head.startswith(b"\x80") else "corrupt", "is no file that torch.save writes")
    found = torch.load(source, map_location="cpu", weights_only=True, mmap=head.startswith(ZIP))
    if not isinstance(found, dict) or not found:
        fail("corrupt", "holds no table of tensors")
    for name, tensor in found.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            fail("corrupt", f"{name!r:.200} is not a named tensor")
        if tensor.layout is not torch.strided or tensor.device.type != "cpu" or str(tensor.dtype) not in DTYPES:
            fail("corrupt", f"{name!r:.200} is {tensor.layout} {tensor.dtype} on {tensor.device}, not a plain tensor")
    return found


def save(tensors: dict[str, Any], file: BinaryIO, most: int) -> None:
    """Write safetensors, one tensor in memory at a time."""
    import torch

    header, at = {}, 0
    for name, tensor in tensors.items():
        size = tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": DTYPES[str(tensor.dtype)],
            "shape": list(tensor.shape),
            "data_offsets": [at, at + size],
        }
        at += size
    if at > most:
        fail("corrupt", f"its tensors take {at} bytes, more than a file of its size can hold")
    text = json.dumps(header).encode()
    file.write(len(text).to_bytes(8, "little") + text)
    for tensor in tensors.values():
        file.write(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)


def fail(outcome: str, reason: str) -> NoReturn:
    """Say what is wrong and end."""
    print(json.dumps({"outcome": outcome, "reason": reason}), flush=True)
    os._exit(1)


def warm() -> None:
    """Make torch import what it imports late, while imports are still allowed."""
    import io

    import torch

    torch.set_num_threads(1)
    for late in (True, False):
        buffer = io.BytesIO()
        torch.save({"a": torch.zeros(2, dtype=torch.bfloat16)}, buffer, _use_new_zipfile_serialization=late)
        buffer.seek(0)
        torch.load(buffer, map_location="cpu", weights_only=True)


def main(source: str, target: str) -> None:
    """Convert one file."""
    import pickle

    warm()
    size = os.path.getsize(source)
    limit(size)
    close_kernel()
    close_python(target)
    try:
        tensors = load(source)
        with open(target, "xb") as file:
            save(tensors, file, 2 * size)
    except ForbiddenError as error:
        fail("unsafe_format", f"got past the unpickler and was stopped at {error}; please report it")
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S{1,100})", str(error))
        fail(
            "unsafe_format",
            f"asks for {named[1]}, which is no tensor; it was not called"
            if named
            else "is damaged, or holds more than tensors",
        )
    except MemoryError:
        fail("too_large", "does not fit in memory")
    except Exception as error:
        fail("corrupt", f"cannot be read: {type(error).__name__}: {' '.join(str(error).split())[:400]}")


if __name__ == "__main__":
    main(*sys.argv[1:])
