"""What edgekit runs in a device's POSIX shell: dash or bash, and Android's mksh with toybox."""

from __future__ import annotations

from edgekit.devices.cpus import SPEED_FILES
from edgekit.errors import NO_SPACE

FULL = f"{NO_SPACE} on the device"
# A shell that ends hangs up on what it started, unless that has left its session by then: so hanging up is ignored, and the end
# of this shell waits for the program's shell to be there. Only who makes the folder starts the program: what is sent again after
# the link broke finds it. Without what tells the program from others nothing is started: it could not be ended.
START = """[ -z "{owner}" ] || [ "$(cat {root}/owner 2> /dev/null)" = "{owner}" ] || {{ echo taken; exit 0; }}
mkdir -p {root}/work && cd {root}/work || exit 1
if mkdir {name} 2> /dev/null; then cd {name} || exit 1
echo room > room; [ -s room ] || {{ echo '{full}' >&2; exit 1; }}
trap '' HUP && {{ {detach}sh -c {inner} < /dev/null > /dev/null 2>&1 & }}
else cd {name} || {{ echo '{full}' >&2; exit 1; }}; fi
tries=0; while [ ! -f pid ] && [ -d {root}/work/{name} ] && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
if [ -f pid ]; then {boot_id}; else [ ! -d {root}/work/{name} ] && echo taken; fi"""
INNER = """{boot_id} > boot; {born} > born 2> /dev/null; echo $$ > pid.part
[ -s boot ] && [ -s pid.part ] && mv pid.part pid || exit 1
{program} > out 2> err; echo $? > status.part; mv status.part status"""
POLL = """{boot_id}; cd {work} 2> /dev/null || {{ echo taken; exit 0; }}
told() {{ if [ -s status ]; then cat status; else echo full; fi; }}
if [ -f status ]; then told; elif kill -0 "$(cat pid)" 2> /dev/null; then echo running
elif [ -f status ]; then told; else echo gone; fi"""
"""Says the boot id, then the program's status, or: running, gone, full (no room for its status), taken (its folder is gone)."""
WRITE = """cd {root} && printf %s {text} > {name}.part && mv {name}.part {name} && exit 0
[ -e {name}.part ] && [ ! -s {name}.part ] && echo '{full}' >&2; exit 1"""
"""Writes a file whole or not at all; shells do not all say why they could not."""
BORN = "cut -d ' ' -f 22 /proc/{pid}/stat"
"""When a process was started; nothing where the system has no /proc."""
END = """cd {root}/work 2> /dev/null || exit 0
for folder in {which}; do if [ -f "$folder/pid" ] && [ "$({boot_id})" = "$(cat "$folder/boot" 2> /dev/null)" ]; then
pid=$(cat "$folder/pid"); now=$({born} 2> /dev/null)
[ -n "$now" ] && [ "$now" != "$(cat "$folder/born" 2> /dev/null)" ] || ! kill -9 -"$pid" 2> /dev/null || echo ended
fi; rm -rf "$folder"; done; true"""
"""Ends programs, but none that got the number of one of ours after a reboot or when ours had ended."""
UNDO = r"""cd {root} 2> /dev/null && [ -f restore.sh ] || exit 0
failed=; while IFS= read -r line || [ -n "$line" ]; do
said=$(sh -c "$line" 2>&1 < /dev/null) || {{ failed=1; echo "\`$line\` failed: $said"; }}; done < restore.sh
[ -z "$failed" ] && rm restore.sh && echo undone"""
"""Undoes a preparation command by command, all of them where one fails; what is not all undone stays written down."""
SPEEDS = f"""cd /sys/devices/system/cpu 2> /dev/null && for cpu in cpu[0-9]*; do
for file in {" ".join(SPEED_FILES)}; do
[ -r $cpu/$file ] && echo $file ${{cpu#cpu}} $(cat $cpu/$file 2> /dev/null); done; done; true"""
# `read` is part of the shell. A phone has a hundred zones, and two programs for each take seconds.
TEMPERATURES = r"""cd /sys/class/thermal 2> /dev/null && for zone in thermal_zone*; do temp=; type=
{ read -r temp < $zone/temp; read -r type < $zone/type; } 2> /dev/null
printf '%s\t%s\t%s\n' "$zone" "$temp" "$type"; done; true"""
"""Prints zone, reading and type of every thermal zone; a file that gives an error is empty."""
GOVERNORS = "cat /sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor 2> /dev/null | sort -u; true"
