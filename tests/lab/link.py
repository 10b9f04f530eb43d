"""The cable between a test and a lab device: a port of 127.0.0.1 that leads to the device and can be counted and cut.

The carrying is done by a process of its own, this file run in the device's network: in the tests' own process it would
wait for the interpreter's lock while a client works, and slow that client down threefold.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import sys
import threading
import time

CHUNK = 1 << 18
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Link:
    """Leads connections to 127.0.0.1:`port` to the device's own 127.0.0.1:`device_port`.

    A cut link swallows nothing and says nothing: as after a pulled cable, both ends wait, and go on after `restore`. `drop`
    ends the connections as a reset does.
    """

    def __init__(self, pid: int, device_port: int) -> None:
        # Listening begins in this network and accepting happens in the device's: a socket stays where it was made.
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.port: int = listening.getsockname()[1]
            entering = ["nsenter", f"--target={pid}", "--net", sys.executable, "-IS", __file__]
            self._carrier = subprocess.Popen(
                [*entering, str(listening.fileno()), str(device_port)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=(listening.fileno(),),
                start_new_session=True,
                text=True,
                bufsize=1,
            )
        self._lock = threading.Lock()

    @property
    def sent(self) -> int:
        """Bytes that went to the device."""
        return int(self._ask("count").split()[0])

    @property
    def received(self) -> int:
        """Bytes that came from the device."""
        return int(self._ask("count").split()[1])

    def cut(self) -> None:
        """Let nothing through until `restore`."""
        self._ask("cut")

    def restore(self) -> None:
        """Mend the link and end its slowness."""
        self._ask("restore")

    def cut_after(self, count: int) -> None:
        """Cut the link after `count` more bytes towards the device."""
        self._ask("cut_after", count)

    def throttle(self, bytes_per_second: float) -> None:
        """Let through at most so much each way, until `restore`; 0: all."""
        self._ask("throttle", bytes_per_second)

    def drop(self) -> None:
        """Reset all connections; new ones are taken."""
        self._ask("drop")

    def close(self) -> None:
        """End all connections and give the port back."""
        self._carrier.stdin.close()
        self._carrier.wait()
        self._carrier.stdout.close()

    def _ask(self, verb: str, *values: float) -> str:
        with self._lock:
            print(verb, *values, file=self._carrier.stdin, flush=True)
            return self._carrier.stdout.readline().strip()


class Carrier:
    """The process behind a link: does what it is told on standard input, and ends when that is closed."""

    def __init__(self, listening: socket.socket, device_port: int) -> None:
        self.sent = self.received = 0
        self._listening = listening
        self._device = ("127.0.0.1", device_port)
        self._whole = threading.Event()
        self._whole.set()
        self._rate = 0.0
        self._until_cut: int | None = None
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def obey(self) -> None:
        threading.Thread(target=self._accept, daemon=True).start()
        for line in sys.stdin:
            verb, *values = line.split()
            answer = getattr(self, verb)(*map(float, values))
            print(answer or "", flush=True)

    def count(self) -> str:
        return f"{self.sent} {self.received}"

    def cut(self) -> None:
        self._whole.clear()

    def restore(self) -> None:
        self._until_cut, self._rate = None, 0.0
        self._whole.set()

    def cut_after(self, count: float) -> None:
        self._until_cut = int(count)

    def throttle(self, bytes_per_second: float) -> None:
        self._rate = bytes_per_second

    def drop(self) -> None:
        with self._lock:
            ends, self._open = self._open, set()
        for end in ends:
            _reset(end)

    def _accept(self) -> None:
        while True:
            near, _ = self._listening.accept()
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with near:
            self._whole.wait()
            try:
                far = socket.create_connection(self._device)
            except OSError:  # nobody listens on the device
                _reset(near)
                return
            with far:
                for end in (near, far):  # a cable does not gather small packets
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self._lock:
                    self._open |= {near, far}
                back = threading.Thread(target=self._pump, args=(far, near, False), daemon=True)
                back.start()
                self._pump(near, far, True)
                back.join()
                with self._lock:
                    self._open -= {near, far}

    def _pump(self, source: socket.socket, target: socket.socket, outward: bool) -> None:
        """Carry bytes one way until an end is closed; then close the other for writing."""
        try:
            while data := source.recv(CHUNK):
                self._carry(data, target, outward)
            if target in self._open:
                target.shutdown(socket.SHUT_WR)
        except OSError:  # reset by an end, or by `drop`: neither end can go on
            _reset(source)
            _reset(target)

    def _carry(self, data: bytes, target: socket.socket, outward: bool) -> None:
        while data:
            self._whole.wait()
            if target not in self._open:
                raise ConnectionResetError
            now = data
            if rate := self._rate:
                now = now[: max(1, int(rate / 20))]
                time.sleep(len(now) / rate)
            if outward and (left := self._until_cut) is not None:
                now = now[:left]
                self._until_cut = left - len(now)
            target.sendall(now)
            data = data[len(now) :]
            with self._lock:
                if outward:
                    self.sent += len(now)
                else:
                    self.received += len(now)
            if outward and self._until_cut == 0:
                self._until_cut = None
                self.cut()


def _reset(end: socket.socket) -> None:
    """Let closing the connection send a reset, and wake the thread that reads from it, which closes it."""
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        end.shutdown(socket.SHUT_RD)


if __name__ == "__main__":
    Carrier(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])).obey()
