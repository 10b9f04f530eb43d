#!/bin/sh
# Times the artifacts of this pack on the device that runs it, and writes results.jsonl.
#   sh run.sh [FILE]     FILE: where to write; default: results.jsonl beside this script
# For any POSIX shell: Android's mksh with toybox, dash, busybox. It changes no setting of the device.
export LC_ALL=C
tab=$(printf '\t')

fail() { echo "run.sh: $1" >&2; exit 1; }

cd "$(dirname "$0")" || fail "its folder cannot be entered"
out=${1:-$PWD/results.jsonl}
part=$out.part
for tool in sha256sum sed cat date uname tr; do
    command -v $tool > /dev/null || fail "this device has no $tool"
done
mkdir -p "$(dirname "$out")" && : > "$part" || fail "$part cannot be written"
sha256sum -c files.sha256 > check.txt 2>&1 || fail "a file of the pack is missing or changed: $(grep -v ': OK$' check.txt | tr '\n' ' ')"
chmod 755 runners/lib/@LOADER@ runners/bin/* || fail "the runners cannot be made executable"

hash_of() { sha256sum "$1" | sed 's/ .*//'; }
now() { date -u +%Y-%m-%dT%H:%M:%SZ; }
# Write each line of standard input as an event: $1 its name, $2 its other fields.
events() {
    tr -d '\0\r' | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e "s/$tab/\\\\t/g" -e 's/[[:cntrl:]]/ /g' \
        -e "s/^/{\"event\": \"$1\", $2, \"line\": \"/" -e 's/$/"}/' >> "$part"
}
# Run a command, and write what it prints as facts: $1 the moment, $2 the fact, then the command.
fact() {
    moment=$1 name=$2
    shift 2
    "$@" 2> /dev/null | events fact "\"moment\": \"$moment\", \"of\": \"$name\""
}

identity() {
@IDENTITY@
}
speeds() (
@SPEEDS@
)
temperatures() (
@TEMPERATURES@
)
governors() {
@GOVERNORS@
}
state() {
    fact "$1" loadavg cat /proc/loadavg
    fact "$1" meminfo grep MemAvailable /proc/meminfo
    fact "$1" temperatures temperatures
    fact "$1" governors governors
    if command -v dumpsys > /dev/null; then
        fact "$1" thermalservice dumpsys thermalservice
        fact "$1" battery dumpsys battery
    fi
}

# The CPUs of a kernel's list: 0-2,5 gives 0 1 2 5.
expand() {
    for range in $(echo "$1" | tr ',' ' '); do
        first=${range%-*} last=${range#*-}
        while [ "$first" -le "$last" ]; do
            echo "$first"
            first=$((first + 1))
        done
    done
}
# The last allowed CPU of the fastest cluster, as edgekit chooses it: by capacity, then by clock.
large_core() {
    candidates=$(expand "$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status)")
    for file in @SPEED_FILES@; do
        top=0 kept=
        for cpu in $(expand "$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status)"); do
            value=$(cat /sys/devices/system/cpu/cpu"$cpu"/$file 2> /dev/null)
            case $value in '' | *[!0-9]* | 0) continue 2 ;; esac
        done
        for cpu in $candidates; do
            value=$(cat /sys/devices/system/cpu/cpu"$cpu"/$file)
            if [ "$value" -gt "$top" ]; then
                top=$value kept=$cpu
            elif [ "$value" -eq "$top" ]; then
                kept="$kept $cpu"
            fi
        done
        candidates=$kept
    done
    for cpu in $candidates; do last_core=$cpu; done
    echo "$last_core"
}

limited() {
    if command -v timeout > /dev/null; then timeout @SESSION_TIMEOUT@ "$@"; else "$@"; fi
}

# One session: $1 its block, $2 the artifact's number, $3 its runner.
session() {
    if [ "$1" -eq 0 ]; then set -- "$1" "$2" "$3" --output output.bin; fi
    block=$1 artifact=$2 runner=$3
    shift 3
    where="\"block\": $block, \"artifact\": $artifact"
    echo "{\"event\": \"session\", $where, \"cpu\": ${cpu:-null}, \"started_at\": \"$(now)\"}" >> "$part"
    limited runners/lib/@LOADER@ --library-path runners/lib runners/bin/"$runner" --model artifacts/"$artifact" \
        --input inputs/"$artifact" "$@" --threads @THREADS@ --iterations @ITERATIONS@ --min-seconds @MIN_SECONDS@ \
        --warmup-seconds @WARMUP_SECONDS@ ${cpu:+--cpus $cpu} < /dev/null > said.txt 2> errors.txt
    status=$?
    grep '^{"event": ' said.txt >> "$part"
    [ $status -eq 0 ] || tail -n 5 errors.txt | events stderr "$where"
    if [ "$block" -eq 0 ] && [ $status -eq 0 ]; then
        if command -v base64 > /dev/null; then base64 output.bin | events output "$where, \"as\": \"base64\""
        else od -An -v -tx1 output.bin | events output "$where, \"as\": \"hex\""; fi
        rm -f output.bin
    fi
    echo "{\"event\": \"session_end\", $where, \"status\": $status}" >> "$part"
    echo "session $block of artifact $artifact: status $status" >&2
}

echo "{\"event\": \"pack\", \"format\": 1, \"nonce\": \"@NONCE@\", \"pack_sha256\": \"$(hash_of pack.json)\", \"started_at\": \"$(now)\"}" >> "$part"
fact identity uname uname -m
fact identity linux identity
if command -v getprop > /dev/null; then fact identity getprop getprop; fi
fact identity speeds speeds
fact identity allowed sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status
fact identity user id
state before
cpu=$(large_core)
while read -r block artifact runner; do
    session "$block" "$artifact" "$runner"
done < plan.txt
state after
lines=$(wc -l < "$part")
echo "{\"event\": \"end\", \"lines\": $((lines)), \"sha256\": \"$(hash_of "$part")\", \"ended_at\": \"$(now)\"}" >> "$part"
mv "$part" "$out" || fail "$out cannot be written"
rm -f check.txt said.txt errors.txt
echo "run.sh: done. Bring back $out" >&2
