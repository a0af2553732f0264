#!/usr/bin/env python3
"""Simulated power loss on the outbox.

Runs `store_writer write` under strace, replays its file operations, cuts the power at random moments and lets
`store_writer verify` open what a disk could hold then. A write is durable only where an fsync or fdatasync of that
file began after it and completed; sync_file_range gives nothing. Directory operations are an ordered journal that an
fsync commits. What is not durable is lost, kept, reordered or torn, by mode:

  drop    all of it is lost
  prefix  it is kept in order up to some point, the last write torn
  subset  whole writes are lost at random
  rand4k  pages of 4 KiB are lost at random
  rand    sectors of 512 bytes are lost at random
  keep    all of it is kept, as after a kill

Linux with strace. Prints the seed, each failure, and `N passed, M failed`; exits with 1 where something failed.
"""

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

MODES = ["drop", "prefix", "subset", "rand4k", "rand", "keep"]
CALLS = (
    "openat,open,creat,close,write,pwrite64,writev,pwritev,pwritev2,fsync,fdatasync,ftruncate,truncate,rename,renameat,"
    "renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir,lseek,fallocate,dup,dup2,dup3,fcntl,sync_file_range,link,linkat,symlink,symlinkat"
)
WORD = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')


def text(raw):
    return bytes.fromhex(raw.replace("\\x", ""))


class Call:
    """One system call: when it began and ended (numbers of lines), its name, arguments and result."""

    def __init__(self, start, end, name, args, result):
        self.start, self.end, self.name, self.args, self.result = start, end, name, args, result


def parse(path):
    calls, begun = [], {}
    head = re.compile(r"^(\d+) +(.*)$")
    with open(path, encoding="ascii", errors="replace") as trace:
        for number, line in enumerate(trace):
            match = head.match(line.rstrip("\n"))
            if not match:
                continue
            pid, rest = match.groups()
            start = number
            if rest.endswith("<unfinished ...>"):
                begun[pid] = (number, rest[: -len("<unfinished ...>")])
                continue
            resumed = re.match(r"^<\.\.\. \w+ resumed>(.*)$", rest)
            if resumed:
                if pid not in begun:
                    continue
                start, first = begun.pop(pid)
                rest = first + resumed.group(1)
            match = re.match(r"^(\w+)\((.*)\) += +(-?\d+)(.*)$", rest)
            if match:
                calls.append(Call(start, number, match.group(1), match.group(2), int(match.group(3))))
    calls.sort(key=lambda call: call.end)
    return calls


class Inode:
    def __init__(self, is_dir):
        self.is_dir = is_dir
        self.base = bytearray()  # durable
        self.pending = []  # (when, order, kind, offset, data)


def apply(content, kind, offset, data):
    if kind == "truncate":
        if len(content) > offset:
            del content[offset:]
        else:
            content.extend(bytes(offset - len(content)))
        return
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


class Disk:
    """What a disk holds for sure, and what it may hold, at each moment of the trace."""

    def __init__(self, root):
        self.root = root
        self.now = {}  # path -> Inode, as the process sees it
        self.durable = {}
        self.journal = []  # (when, operation) not yet committed
        self.fds = {}  # number -> [Inode, position, append]
        self.lines = []  # what the writer printed
        self.order = 0
        self.unknown = set()

    def inside(self, path):
        return path == self.root or path.startswith(self.root + "/")

    def name(self, args, directory, word):
        """The path of an argument, whose directory descriptor strace has annotated."""
        path = text(word).decode()
        if path.startswith("/"):
            return os.path.normpath(path)
        annotated = re.match(r"^\s*(?:-?\d+|AT_FDCWD)<((?:\\x[0-9a-f]{2})+|[^>]*)>", directory)
        base = ""
        if annotated:
            base = annotated.group(1)
            base = text(base).decode() if base.startswith("\\x") else base
        return os.path.normpath(os.path.join(base, path))

    def link(self, when, operation):
        self.journal.append((when, operation))
        self.perform(self.now, operation)

    @staticmethod
    def perform(names, operation):
        kind, first, second = operation
        if kind == "make":
            names[first] = second
        elif kind == "remove":
            names.pop(first, None)
        elif kind == "rename":
            for path in [path for path in names if path == second or path.startswith(second + "/")]:
                del names[path]
            for path in [path for path in names if path == first or path.startswith(first + "/")]:
                names[second + path[len(first) :]] = names.pop(path)

    def write(self, call, inode, kind, offset, data):
        self.order += 1
        inode.pending.append((call.end, self.order, kind, offset, data))

    def step(self, call):
        """Takes a call that has completed. Returns whether it changed what is on the disk or may be."""
        if call.result < 0:
            return False
        name, args, end = call.name, call.args, call.end
        number = re.match(r"^\s*(\d+)", args)
        fd = int(number.group(1)) if number else None
        known = self.fds.get(fd)
        words = [match.group(1) for match in WORD.finditer(args)]
        if name in ("write", "writev") and fd == 1 and known is None:
            self.lines.extend(b"".join(text(word) for word in words).decode().splitlines())
            return False
        if name in ("openat", "open", "creat"):
            path = self.name(args, args if name == "openat" else "", words[0])
            if not self.inside(path):
                self.fds.pop(call.result, None)
                return False
            inode, changed = self.now.get(path), False
            if inode is None:
                if "O_CREAT" not in args and name != "creat":
                    raise SystemExit(f"opened but never made: {path}")
                inode, changed = Inode(False), True
                self.link(end, ("make", path, inode))
            elif "O_TRUNC" in args:
                self.write(call, inode, "truncate", 0, b"")
                changed = True
            self.fds[call.result] = [inode, 0, "O_APPEND" in args]
            return changed
        if name == "close":
            self.fds.pop(fd, None)
            return False
        if name in ("mkdir", "mkdirat", "rmdir", "unlink", "unlinkat", "truncate"):
            path = self.name(args, args if name.endswith("at") else "", words[0])
            if not self.inside(path):
                return False
            if name.startswith("mkdir"):
                self.link(end, ("make", path, Inode(True)))
            elif name == "truncate":
                self.write(call, self.now[path], "truncate", int(args.rsplit(",", 1)[1]), b"")
            else:
                self.link(end, ("remove", path, None))
            return True
        if name.startswith("rename"):
            directories = ["", ""]
            if name != "rename":
                parts = args.split(",")
                directories = [parts[0], parts[2]]
            old, new = (self.name(args, directories[i], words[i]) for i in (0, 1))
            if self.inside(old) or self.inside(new):
                self.link(end, ("rename", old, new))
                return True
            return False
        if name in ("dup", "dup2", "dup3", "fcntl"):
            if name != "fcntl" or "F_DUPFD" in args:
                if known is None:
                    self.fds.pop(call.result, None)
                else:
                    self.fds[call.result] = known
            return False
        if known is None:
            return False
        inode = known[0]
        if name in ("write", "pwrite64"):
            if "..." in args.split('"')[-1]:
                raise SystemExit("strace cut a write short")
            data = text(words[0])[: call.result]
            if name == "pwrite64":
                offset = int(args.rsplit(",", 1)[1])
            else:
                offset = self.size(inode) if known[2] else known[1]
                known[1] = offset + len(data)
            self.write(call, inode, "write", offset, data)
            return True
        if name == "lseek":
            known[1] = call.result
            return False
        if name == "ftruncate":
            self.write(call, inode, "truncate", int(args.rsplit(",", 1)[1]), b"")
            return True
        if name in ("fsync", "fdatasync"):
            late = []
            for pending in sorted(inode.pending, key=lambda one: one[1]):
                if pending[0] < call.start:
                    apply(inode.base, *pending[2:])
                else:
                    late.append(pending)
            inode.pending = late
            if name == "fsync":
                while self.journal and self.journal[0][0] < call.start:
                    self.perform(self.durable, self.journal.pop(0)[1])
            return True
        if name == "sync_file_range":
            return False
        self.unknown.add(name)
        return False

    def size(self, inode):
        content = bytearray(inode.base)
        for pending in inode.pending:
            apply(content, *pending[2:])
        return len(content)

    def image(self, mode, rng, where):
        """Writes one of the states that the disk may be in to the directory `where`."""
        names = dict(self.durable)
        count = {"drop": 0, "keep": len(self.journal)}.get(mode, rng.randint(0, len(self.journal)))
        for _, operation in self.journal[:count]:
            self.perform(names, operation)
        orders = sorted(one[1] for inode in set(names.values()) for one in inode.pending)
        cut = rng.randint(0, len(orders)) if mode == "prefix" else 0
        limit = orders[cut] if cut < len(orders) else None
        os.makedirs(where)
        for path in sorted(names):
            inode = names[path]
            target = where + path[len(self.root) :]
            if inode.is_dir:
                os.makedirs(target, exist_ok=True)
                continue
            content = bytearray(inode.base)
            for _, order, kind, offset, data in sorted(inode.pending, key=lambda one: one[1]):
                for piece in self.survive(mode, rng, order, limit, kind, offset, data):
                    apply(content, *piece)
            if os.path.isdir(os.path.dirname(target)):
                with open(target, "wb") as file:
                    file.write(content)

    @staticmethod
    def survive(mode, rng, order, limit, kind, offset, data):
        whole = (kind, offset, data)
        if mode == "keep":
            return [whole]
        if mode == "drop":
            return []
        if mode == "prefix":
            if limit is None or order < limit:
                return [whole]
            if order > limit or kind == "truncate":
                return []
            return [(kind, offset, data[: rng.randint(0, len(data) // 512) * 512])]
        if mode == "subset" or kind == "truncate":
            return [whole] if rng.random() < 0.5 else []
        unit = 4096 if mode == "rand4k" else 512
        pieces, at = [], 0
        while at < len(data):
            end = (offset + at) // unit * unit + unit - offset
            if rng.random() < 0.5:
                pieces.append((kind, offset + at, data[at:end]))
            at = end
        return pieces


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=50, help="moments at which the power is cut, modes in turn")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--commits", type=int, default=250, help="group commits of the traced run")
    parser.add_argument("--binary", required=True, help="the built example store_writer")
    parser.add_argument("--without-sync", action="store_true", help="counter-check: take fdatasync for nothing; must fail")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"power loss: seed {seed}, {options.cuts} cuts", flush=True)
    rng = random.Random(seed)
    binary = os.path.realpath(options.binary)
    with tempfile.TemporaryDirectory(prefix="power-loss-") as work:
        work = os.path.realpath(work)
        root, trace = os.path.join(work, "live"), os.path.join(work, "trace")
        command = ["strace", "-f", "-xx", "-y", "-s", "100000000", "-e", "trace=" + CALLS, "-o", trace]
        command += [binary, "write", root, str(options.commits), str(seed)]
        written = subprocess.run(command, stdout=subprocess.PIPE, check=False)
        if written.returncode != 0:
            print(f"the writer failed with {written.returncode}")
            return 1
        calls = parse(trace)
        os.unlink(trace)
        # A dry run finds the moments at which the disk's state can differ.
        disk = Disk(root)
        moments = [index for index, call in enumerate(calls) if disk.step(call)]
        if disk.unknown:
            print(f"calls that this replay does not know: {sorted(disk.unknown)}")
            return 1
        rotations = [line for line in disk.lines if line.startswith("rotations")]
        print(f"{len(moments)} moments, {len(disk.lines)} lines, {rotations}", flush=True)
        if options.without_sync:
            calls = [call for call in calls if call.name != "fdatasync"]
            moments = range(len(calls))
        # One cut in eight where the store is made, and the others anywhere.
        chosen = [rng.choice(moments[: max(1, len(moments) // 20)] if n % 8 == 0 else moments) for n in range(options.cuts)]
        cuts = sorted((moment, MODES[n % len(MODES)]) for n, moment in enumerate(chosen))
        disk, at, passed, failed = Disk(root), 0, 0, 0
        tally = {mode: [0, 0] for mode in MODES}
        for number, (moment, mode) in enumerate(cuts):
            while at <= moment:
                disk.step(calls[at])
                at += 1
            image = os.path.join(work, "image")
            disk.image(mode, rng, image)
            told = "".join(line + "\n" for line in disk.lines)
            checked = subprocess.run(
                [binary, "verify", image], input=told.encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False
            )
            good = checked.returncode == 0
            passed, failed = passed + good, failed + (not good)
            tally[mode][not good] += 1
            if not good:
                reason = checked.stderr.decode(errors="replace").strip().splitlines()
                print(f"cut {number} ({mode}, at {moment} of {len(calls)}): {reason[-1] if reason else checked.returncode}")
            shutil.rmtree(image)
        print(", ".join(f"{mode} {good}/{good + bad}" for mode, (good, bad) in tally.items()))
        print(f"{passed} passed, {failed} failed", flush=True)
        return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
