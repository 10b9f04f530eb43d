"""The test lab: real daemons on this machine that stand for devices.

`android.AndroidLab` is Debian's adbd with a phone's commands around it, `board.BoardLab` is OpenSSH's sshd. Both run in
namespaces of their own, so that they can lose their link, fill their disk, run out of memory and reboot without
disturbing this machine. `make lab-deps` installs what they need, `make lab` keeps one of each up to play with.
"""
