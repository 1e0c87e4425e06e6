"""A cable between two network namespaces: the traffic generator at one end, a program that captures at the other."""

import json
import os
import signal
import subprocess
import time

import measure

NAME = f"hdrcap-bench{os.getpid()}"


class Cable:
    """Two network namespaces and a cable between them, removed at the end."""

    def __enter__(self):
        self.near, self.far = f"{NAME}-near", f"{NAME}-far"
        for name in (self.near, self.far):
            ip("netns", "add", name)
            ip("netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", self.near, "link", "add", "near0", "type", "veth", "peer", "name", "far0", "netns", self.far)
        ip("-n", self.near, "link", "set", "near0", "up")
        ip("-n", self.far, "link", "set", "far0", "up")
        return self

    def __exit__(self, *_):
        for name in (self.near, self.far):
            subprocess.run(["ip", "netns", "del", name], check=False)

    def has_xdp(self):
        told = subprocess.run(["ip", "-n", self.far, "-j", "link", "show", "dev", "far0"], check=True, capture_output=True)
        return "xdp" in json.loads(told.stdout)[0]

    def capture(self, command):
        """Starts a program at the far end (interface `far0`), and returns when its XDP program is attached."""
        child = subprocess.Popen(list(map(str, ["ip", "netns", "exec", self.far, *command])), stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE)
        while not self.has_xdp():
            if child.poll() is not None:
                raise SystemExit(child.stderr.read().decode(errors="replace"))
            time.sleep(0.05)
        return child

    def send(self, profile, rate, seconds, core):
        """Sends a workload from a core, and returns what was sent."""
        command = ["ip", "netns", "exec", self.near, "taskset", "-c", core, measure.helper("traffic"), "--iface", "near0",
                   "--profile", profile, "--rate", int(rate), "--seconds", seconds]
        return json.loads(subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE).stdout)

    def stop(self, child):
        """Ends a capture as a person would; returns what it printed, and its use of the machine."""
        child.send_signal(signal.SIGINT)
        printed = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise SystemExit(child.stderr.read().decode(errors="replace"))
        return printed, usage


def ip(*words):
    subprocess.run(["ip", *words], check=True)
