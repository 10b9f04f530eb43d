"""What edgekit runs in a device's POSIX shell: dash or bash, and Android's mksh with toybox."""

from __future__ import annotations

from edgekit.devices.cpus import SPEED_FILES
from edgekit.errors import NO_SPACE

FULL = f"{NO_SPACE} on the device"
# A shell that ends sends SIGHUP to its children, unless they have left its session. So START ignores SIGHUP, and waits until
# the program's shell has written `pid`. If the link breaks, START is sent again: it starts the program only if it makes the
# folder. INNER starts nothing if it cannot write `boot` and `pid`, because edgekit could not identify and stop the program.
START = """[ -z "{owner}" ] || [ "$(cat {root}/owner 2> /dev/null)" = "{owner}" ] || {{ echo taken; exit 0; }}
mkdir -p {root}/work && cd {root}/work || exit 1
if mkdir {name} 2> /dev/null; then cd {name} || exit 1
echo room > room; [ -s room ] || {{ echo '{full}' >&2; exit 1; }}
trap '' HUP && {{ {detach}sh -c {inner} < /dev/null > /dev/null 2>&1 & }}
else cd {name} || {{ echo '{full}' >&2; exit 1; }}; fi
tries=0; while [ ! -f pid ] && [ -d {root}/work/{name} ] && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
if [ -f pid ]; then {boot_id}; else [ ! -d {root}/work/{name} ] && echo taken; fi"""
INNER = r"""{boot_id} > boot; {born} > born 2> /dev/null; echo $$ > pid.part
[ -s boot ] && [ -s pid.part ] && mv pid.part pid || exit 1
{watch}
{program} > out 2> err; echo $? > status.part; [ -z "$watcher" ] || kill "$watcher"; mv status.part status"""
POLL = """{boot_id}; cd {work} 2> /dev/null || {{ echo taken; exit 0; }}
report() {{ if [ -s status ]; then cat status; else echo full; fi; }}
if [ -f status ]; then report; elif kill -0 "$(cat pid)" 2> /dev/null; then echo running
elif [ -f status ]; then report; else echo gone; fi"""
"""Prints the boot id, then the program's status or one word.

``running``, ``gone``, ``full`` (no room for its status) or ``taken`` (its folder is gone).
"""
WRITE = """cd {root} && printf %s {text} > {name}.part && mv {name}.part {name} && exit 0
[ -e {name}.part ] && [ ! -s {name}.part ] && echo '{full}' >&2; exit 1"""
"""Writes a file completely or not at all. Some shells do not report why a write failed."""
BORN = "cut -d ' ' -f 22 /proc/{pid}/stat"
"""Prints when a process was started. Prints nothing on a system without /proc."""
END = """cd {root}/work 2> /dev/null || exit 0
for folder in {which}; do if [ -f "$folder/pid" ] && [ "$({boot_id})" = "$(cat "$folder/boot" 2> /dev/null)" ]; then
pid=$(cat "$folder/pid"); now=$({born} 2> /dev/null)
[ -n "$now" ] && [ "$now" != "$(cat "$folder/born" 2> /dev/null)" ] || ! kill -9 -"$pid" 2> /dev/null || echo ended
fi; rm -rf "$folder"; done; true"""
"""Stops programs. A process that reuses a program's number, after its end or a reboot, is not stopped."""
UNDO = r"""cd {root} 2> /dev/null && [ -f restore.sh ] || exit 0
failed=; while IFS= read -r line || [ -n "$line" ]; do
said=$(sh -c "$line" 2>&1 < /dev/null) || {{ failed=1; echo "\`$line\` failed: $said"; }}; done < restore.sh
[ -z "$failed" ] && rm restore.sh && echo undone"""
"""Undoes a preparation command by command. If one fails, the others run, and ``restore.sh`` stays."""
SPEEDS = f"""cd /sys/devices/system/cpu 2> /dev/null && for cpu in cpu[0-9]*; do
for file in {" ".join(SPEED_FILES)}; do
[ -r $cpu/$file ] && echo $file ${{cpu#cpu}} $(cat $cpu/$file 2> /dev/null); done; done; true"""
# `read` is part of the shell. A phone has a hundred zones, and two processes for each zone take seconds.
TEMPERATURES = r"""cd /sys/class/thermal 2> /dev/null && for zone in thermal_zone*; do temp=; type=
{ read -r temp < $zone/temp; read -r type < $zone/type; } 2> /dev/null
printf '%s\t%s\t%s\n' "$zone" "$temp" "$type"; done; true"""
"""Prints zone, reading and type of every thermal zone. If a file cannot be read, its value is empty."""
TRIPS = r"""cd /sys/class/thermal 2> /dev/null && for file in thermal_zone*/trip_point_*_type; do kind=; temp=; type=
{ read -r kind < $file; read -r temp < ${file%_type}_temp; read -r type < ${file%/*}/type; } 2> /dev/null
[ "$kind" = passive ] && printf '%s\t%s\t%s\n' "${file%/*}" "$temp" "$type"; done; true"""
"""Prints zone, temperature and type of every passive trip point: from there on the kernel slows the device down."""
FREE_GOVERNORS = """for file in /sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor; do
[ -w $file ] && grep -qw performance ${file%/*}/scaling_available_governors && read -r held < $file &&
[ "$held" != performance ] && echo "$file $held"; done 2> /dev/null; true"""
"""Prints file and governor of each CPU whose clock is free, if this account may hold it."""
SIBLINGS = "cd /sys/devices/system/cpu && grep . /dev/null cpu[0-9]*/topology/thread_siblings_list 2> /dev/null; true"
"""Prints for each CPU the list of the CPUs of its core."""
ALLOWED = """grep Cpus_allowed_list /proc/self/status && { cat /sys/devices/system/cpu/online 2> /dev/null || true; }"""
"""Prints the CPUs that a program may use, and below them those that are on. The kernel allows those that are off too."""
GOVERNORS = "cat /sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor 2> /dev/null | sort -u; true"
