"""What a lab phone says of itself: the one file that its commands read, and what they change."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, field
from pathlib import Path

# What a Pixel 3 on Android 12 answers; AndroidLab adds ro.product.cpu.abi, after what it can really run.
PIXEL_3 = {
    "ro.serialno": "LAB0000001",
    "ro.product.name": "blueline",
    "ro.product.model": "Pixel 3",
    "ro.product.device": "blueline",
    "ro.product.manufacturer": "Google",
    "ro.product.brand": "google",
    "ro.board.platform": "sdm845",
    "ro.hardware": "blueline",
    "ro.soc.manufacturer": "Qualcomm",
    "ro.soc.model": "SDM845",
    "ro.build.fingerprint": "google/blueline/blueline:12/SP1A.210812.016.C2/8618562:user/release-keys",
    "ro.build.version.release": "12",
    "ro.build.version.sdk": "31",
    "ro.build.version.incremental": "8618562",
    "ro.build.type": "user",
    "sys.boot_completed": "1",
}

# Degrees of the skin from which Android calls a phone lightly, moderately, severely ... hot (thermal status 1 to 6).
SKIN_LIMITS = (37.0, 39.0, 41.0, 43.0, 45.0, 56.0)

# What a phone remembers, and what a reboot forgets.
LASTING = {"settings.global.stay_on_while_plugged_in": "0"}
FORGOTTEN = {"fixed_performance": "0", "thermal_override": ""}


@dataclass(frozen=True)
class Cluster:
    """CPUs of one kind, as /sys/devices/system/cpu shows them."""

    cpus: tuple[int, ...]
    max_khz: int
    min_khz: int = 300000
    governor: str = "schedutil"
    current_khz: int | None = None


PIXEL_3_CPUS = (Cluster((0, 1, 2, 3), 1766400), Cluster((4, 5, 6, 7), 2803200))


@dataclass(frozen=True)
class Scenario:
    """A phone's state. With `cpus` it shows these instead of this machine's, so nothing can be pinned to them."""

    skin_celsius: float = 31.9
    cpu_celsius: float = 38.2
    battery_celsius: float = 28.4
    battery_level: int = 87
    plugged: str = "usb"  # usb, ac, none
    fixed_performance_offered: bool = True
    awake: bool = True
    memory_kb: int = 3649208
    free_memory_kb: int = 1872344
    properties: dict[str, str] = field(default_factory=lambda: dict(PIXEL_3))
    cpus: tuple[Cluster, ...] = ()

    @property
    def thermal_status(self) -> int:
        """Android's 0 (none) to 6 (shutdown)."""
        return sum(self.skin_celsius >= limit for limit in SKIN_LIMITS)

    def write(self, folder: Path, daemon_port: int) -> None:
        """Write `scenario`, which the commands source, and `properties`, which getprop and the daemon read."""
        values = {name: value for name, value in asdict(self).items() if name not in ("properties", "cpus")}
        values["thermal_status"] = self.thermal_status
        _replace(folder / "scenario", (f"{name}={_shell(value)}" for name, value in values.items()))
        # Without an address the daemon would listen on a vsock port too, and vsock knows no namespaces.
        properties = {**self.properties, "service.adb.listen_addrs": f"tcp:{daemon_port}"}
        _replace(folder / "properties", (f"{name}={value}" for name, value in properties.items()))


def write_cpus(folder: Path, clusters: tuple[Cluster, ...]) -> None:
    """Write what Linux shows under /sys/devices/system/cpu for these clusters."""
    count = sum(len(cluster.cpus) for cluster in clusters)
    for name in ("possible", "present", "online"):
        _replace(folder / name, [f"0-{count - 1}"])
    for cluster in clusters:
        for cpu in cluster.cpus:
            frequency = {
                "cpuinfo_max_freq": cluster.max_khz,
                "cpuinfo_min_freq": cluster.min_khz,
                "scaling_max_freq": cluster.max_khz,
                "scaling_min_freq": cluster.min_khz,
                "scaling_cur_freq": cluster.current_khz or cluster.max_khz,
                "scaling_governor": cluster.governor,
                "scaling_available_governors": "schedutil performance powersave",
                "related_cpus": " ".join(map(str, cluster.cpus)),
                "affected_cpus": " ".join(map(str, cluster.cpus)),
            }
            for name, value in frequency.items():
                _replace(folder / f"cpu{cpu}" / "cpufreq" / name, [str(value)])
            topology = folder / f"cpu{cpu}" / "topology"
            _replace(topology / "physical_package_id", ["0"])
            _replace(topology / "core_id", [str(cpu)])


def _shell(value: object) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float):
        return f"{value:.1f}"
    return shlex.quote(str(value))


def _replace(file: Path, lines) -> None:
    """Write a file in one step: a command on the device reads the old one or the new one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f".{file.name}.new")
    new.write_text("".join(f"{line}\n" for line in lines))
    new.chmod(0o644)
    new.replace(file)
