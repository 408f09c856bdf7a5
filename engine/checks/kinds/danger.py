"""Shell commands that destroy what they touch: known patterns, each with what it would do.

Knows commands as `script` reads them. A list of patterns is no proof: a command that passes is not
thereby harmless. Nothing is executed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from engine.checks.kinds.script import Command, read

_NAMES = "bin boot dev etc home lib lib64 opt proc root sbin srv sys usr var"
_SYSTEM = frozenset(f"/{name}" for name in _NAMES.split())
_DISK = re.compile(
    r"/dev/(?:sd|hd|vd|xvd|nvme|mmcblk|disk|rdisk|mapper/|dm-|md|loop)\w*|/dev/mem|/dev/kmem"
)
_FILES = re.compile(r"/etc/(?:passwd|shadow|group|sudoers|fstab)\b|/boot/\S*|/proc/sysrq-trigger")
_EMPTY = re.compile(r"\$\{?\w+\}?/+\*?$")
_BOMB = re.compile(
    r"(?<![\w:.])([\w:.]{1,64})\s{0,9}\(\)\s{0,9}\{\s{0,9}\1\s{0,9}\|\s{0,9}\1\s{0,9}&?\s{0,9}\}\s{0,9};?\s{0,9}\1"
)
_ASSIGNED = re.compile(r"[A-Za-z_]\w*\+?=")
_DEEP = 4
_WRAPPERS = {  # options of theirs that take a word
    "sudo": ("-u", "-g", "-C", "-h", "-p", "-r", "-t"),
    "doas": ("-u", "-C"),
    "env": ("-u", "-C", "-S"),
    "nice": ("-n",),
    "ionice": ("-c", "-n", "-p"),
    "timeout": ("-k", "-s"),
    "xargs": ("-I", "-n", "-P", "-L", "-d", "-a", "-s", "-E"),
    "stdbuf": ("-i", "-o", "-e"),
    **dict.fromkeys(("nohup", "time", "command", "builtin", "exec", "setsid", "busybox"), ()),
}
_SHELLS = frozenset({"sh", "bash", "zsh", "dash", "ksh", "fish"})
_RUNNERS = _SHELLS | {"python", "python3", "perl", "ruby", "node", "php"}
_FETCHERS = frozenset({"curl", "wget", "fetch", "base64", "xxd", "nc", "ncat"})
_FORMATTERS = ("mkfs", "mke2fs", "wipefs", "blkdiscard", "sfdisk", "sgdisk", "mkswap")
_HALTS = frozenset({"shutdown", "reboot", "halt", "poweroff", "killall5"})


def danger(text: str, forbidden: Iterable[str] = ()) -> str | None:
    """What dangerous thing a text would do as a shell script, or None where no rule finds one.

    Args:
        forbidden: names of further commands that must not be there.
    """
    return _danger(text, frozenset(forbidden), 0)


def _danger(text: str, forbidden: frozenset[str], depth: int) -> str | None:
    if _BOMB.search(text):
        return "a fork bomb"
    for command in read(text).commands:
        if said := _command(command, forbidden, depth):
            return said
    return None


def _command(command: Command, forbidden: frozenset[str], depth: int) -> str | None:
    for target in command.writes:
        if _DISK.match(target) or _FILES.match(target):
            return f"writes over {target}"
    words = _unwrapped(command.words)
    if not words:
        return None
    name, rest = words[0].rpartition("/")[2], words[1:]
    if name in forbidden or words[0] in forbidden:
        return f"the command {name}"
    options = [word for word in rest if word.startswith("-")]
    targets = [word for word in rest if not word.startswith("-")]
    said = _deletes(name, rest, options, targets) or _overwrites(name, rest, targets)
    return said or _stops(name, rest, options) or _runs(command, words, name, forbidden, depth)


def _unwrapped(words: list[str]) -> list[str]:
    """The command that is really run: behind sudo, env, xargs, assignments…"""
    at = 0
    while at < len(words):
        name = words[at].rpartition("/")[2]
        if _ASSIGNED.match(words[at]):
            at += 1
        elif name in _WRAPPERS:
            takes = _WRAPPERS[name]
            at += 1
            while at < len(words) and words[at].startswith("-"):
                at += 2 if words[at] in takes else 1
            if name == "timeout":
                at += 1
        else:
            break
    return words[at:]


def _deletes(name: str, rest: list[str], options: list[str], targets: list[str]) -> str | None:
    if name == "rm":
        if "--no-preserve-root" in options:
            return "deletes / itself"
        short = "".join(option[1:] for option in options if not option.startswith("--"))
        whole = {"*", ".", "./", "./*", "..", "../", "../*"}
        if "r" in short.lower() or "--recursive" in options:
            hit = next((t for t in targets if _system(t) or t in whole or _EMPTY.match(t)), None)
            return f"deletes {hit} and all below" if hit else None
        hit = next((t for t in targets if _FILES.match(t)), None)
        return f"deletes {hit}" if hit else None
    if name == "find" and ("-delete" in rest or "rm" in rest or "shred" in rest):
        roots = rest[: next((i for i, word in enumerate(rest) if word[0:1] in "-(!"), len(rest))]
        hit = next((root for root in roots if _system(root)), None)
        return f"deletes below {hit}" if hit else None
    if name == "mv" and targets and (targets[-1] == "/dev/null" or any(map(_system, targets[:-1]))):
        return "moves away what the system or its user needs"
    if name == "crontab" and "-r" in options:
        return "deletes every scheduled job"
    if name in ("userdel", "deluser") and targets:
        return f"deletes the user {targets[-1]}"
    return None


def _overwrites(name: str, rest: list[str], targets: list[str]) -> str | None:
    if name == "dd":
        hit = next((w[3:] for w in rest if w.startswith("of=") and _written(w[3:])), None)
        return f"writes over {hit}" if hit else None
    if name.partition(".")[0] in _FORMATTERS:
        return "formats a disk"
    if name in ("fdisk", "parted", "cfdisk", "gdisk") and not {"-l", "--list", "print"} & {*rest}:
        return "changes partitions" if any(map(_DISK.match, targets)) else None
    if name in ("tee", "cp", "mv", "truncate", "shred", "cat", "ln"):
        written = targets if name in ("tee", "truncate", "shred") else targets[-1:]
        hit = next((t for t in written if _written(t)), None) if name != "cat" else None
        return f"writes over {hit}" if hit else None
    if name in ("chmod", "chown", "chgrp"):
        deep = "--recursive" in rest or any(re.match("-[A-Za-z]*R", word) for word in rest)
        hit = next((t for t in targets[1:] if _system(t)), None) if deep else None
        return f"changes the rights of {hit} and all below" if hit else None
    return None


def _stops(name: str, rest: list[str], options: list[str]) -> str | None:
    if name in _HALTS and not {"--help", "--version", "-c"} & {*options}:
        return "stops the machine"
    if name in ("init", "telinit") and rest[:1] in (["0"], ["6"]):
        return "stops the machine"
    if name == "systemctl" and {"poweroff", "reboot", "halt", "emergency"} & {*rest}:
        return "stops the machine"
    if name == "kill" and rest[-1:] == ["-1"] and len(rest) > 1:
        return "ends every process"
    if name in ("iptables", "ip6tables", "nft") and {"-F", "--flush", "flush"} & {*rest}:
        return "opens the firewall"
    return None


def _runs(
    command: Command, words: list[str], name: str, forbidden: frozenset[str], depth: int
) -> str | None:
    """Text that is run as commands: what was fetched, or what stands there."""
    rest = words[1:]
    fetched = any(part.rpartition("/")[2] in _FETCHERS for part in command.before)
    script = [word for word in rest if not word.startswith("-")]
    if name in _RUNNERS and fetched and not script:
        return "runs what was fetched, unseen"
    if name in (*_RUNNERS, "eval", "source", ".") and any(
        inner.words and inner.words[0] in _FETCHERS
        for word in rest
        if word.startswith(("$(", "`", "<("))
        for inner in read(word).commands
    ):
        return "runs what was fetched, unseen"
    text = ""
    if name == "eval":
        text = " ".join(rest)
    elif name in _SHELLS and "-c" in rest:
        text = "".join(rest[rest.index("-c") + 1 :][:1])
    return _danger(text, forbidden, depth + 1) if text and depth < _DEEP else None


def _written(target: str) -> bool:
    return bool(_DISK.match(target) or _FILES.match(target))


def _system(target: str) -> bool:
    """Whether a path is the root, a home, or a folder of the system, with or without `/*`."""
    bare = re.sub(r"/{2,}", "/", target.removesuffix("*"))
    bare = bare.rstrip("/") or ("/" if target.startswith("/") else bare)
    home = bare in ("~", "$HOME", "${HOME}") or re.fullmatch(r"~\w*|/home/[^/]+|/Users/[^/]+", bare)
    return bare == "/" or bare in _SYSTEM or bool(home)
