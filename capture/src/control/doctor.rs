//! `hdrcap doctor`: what this machine and these interfaces need for capturing, each finding with the remedy.
//!
//! Asks only; changes nothing. Invariant: a finding that stops a capture makes the exit code a failure.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use anyhow::Context as _;
use rustix::system::uname;
use storage::file::{Files, IoMode};

use crate::{
    confine::{self, Needs, attempts},
    source::live::nic::{self, Nic},
};

/// Kernel that first has everything the kernel half calls (`bpf_xdp_load_bytes`, multi-buffer XDP).
const KERNEL_MIN: (u32, u32) = (5, 18);

/// Capabilities a live capture needs at start, and their bits (linux/capability.h).
const CAPABILITIES: [(&str, u32, &str); 4] = [
    ("CAP_BPF", 39, "load the program"),
    ("CAP_NET_ADMIN", 12, "attach it to an interface"),
    ("CAP_PERFMON", 38, "let its verifier follow packet pointers"),
    ("CAP_NET_RAW", 13, "ask for promiscuous mode (or use --no-promisc)"),
];

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grade {
    Good,
    Warning,
    Bad,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    grade: Grade,
    text: String,
}

fn good(text: impl Into<String>) -> Finding {
    Finding { grade: Grade::Good, text: text.into() }
}

fn warning(text: impl Into<String>) -> Finding {
    Finding { grade: Grade::Warning, text: text.into() }
}

fn bad(text: impl Into<String>) -> Finding {
    Finding { grade: Grade::Bad, text: text.into() }
}

/// Checks the machine, then each interface, with `security` also what holds an intruder, and prints what it finds.
pub fn doctor(ifaces: &[String], security: bool) -> anyhow::Result<ExitCode> {
    let mut findings = vec![kernel(&uname().release().to_string_lossy())];
    findings.push(btf(Path::new("/sys/kernel/btf/vmlinux")));
    findings.extend(capabilities(&fs::read_to_string("/proc/self/status").unwrap_or_default()));
    findings.push(match Files::new(IoMode::Auto).uses_ring() {
        true => good("files are written through io_uring"),
        false => warning(
            "io_uring is not available, so files are written by plain writes; see sysctl kernel.io_uring_disabled",
        ),
    });
    for iface in ifaces {
        match nic::find(std::slice::from_ref(iface)) {
            Ok(nics) => nics.iter().for_each(|nic| findings.extend(interface(nic))),
            Err(error) => findings.push(bad(error.to_string())),
        }
    }
    if security {
        // Last: it cannot be undone.
        findings.extend(confinement());
    }
    let mut report = String::new();
    for finding in &findings {
        let grade = match finding.grade {
            Grade::Good => "ok     ",
            Grade::Warning => "warning",
            Grade::Bad => "FAIL   ",
        };
        report.push_str(&format!("{grade}  {}\n", finding.text));
    }
    io::stdout().write_all(report.as_bytes()).context("the report could not be printed")?;
    let is_fit = findings.iter().all(|finding| finding.grade != Grade::Bad);
    Ok(if is_fit { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Confines this process as a live capture is, and tries what an intruder would.
fn confinement() -> Vec<Finding> {
    let needs = Needs { is_live: true, ..Needs::default() };
    let safeguards = confine::confine(&needs).into_iter().map(|found| {
        let grade = if found.holds() { Grade::Good } else { Grade::Warning };
        Finding { grade, text: found.to_string() }
    });
    let mut findings: Vec<Finding> = safeguards.collect();
    findings.extend(attempts::all().into_iter().map(|attempt| {
        match (attempt.is_refused(), &attempt.outcome) {
            (true, _) => good(format!("refused: {}", attempt.act)),
            (false, Ok(())) => bad(format!("NOT refused: {}", attempt.act)),
            (false, Err(error)) => bad(format!("NOT refused, only failed: {} ({error})", attempt.act)),
        }
    }));
    findings
}

fn kernel(release: &str) -> Finding {
    let mut numbers =
        release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let (major, minor) = KERNEL_MIN;
    if version >= KERNEL_MIN {
        good(format!("kernel {release}"))
    } else {
        bad(format!("kernel {release} is too old for live capture: {major}.{minor} is the first that works"))
    }
}

fn btf(path: &Path) -> Finding {
    if path.exists() {
        good("the kernel describes its types (BTF)")
    } else {
        warning(
            "the kernel has no BTF (CONFIG_DEBUG_INFO_BTF), which some distributions leave out; try all the same",
        )
    }
}

/// Compares the effective capabilities of `/proc/self/status` with those needed.
fn capabilities(status: &str) -> Vec<Finding> {
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or(0);
    let check = |(name, bit, why): (&str, u32, &str)| {
        if effective >> bit & 1 == 1 {
            good(format!("{name} is held"))
        } else {
            bad(format!(
                "{name} is missing, needed to {why}: run as root, or `setcap {}+ep` on the program",
                name.to_lowercase()
            ))
        }
    };
    CAPABILITIES.into_iter().map(check).collect()
}

fn interface(nic: &Nic) -> Vec<Finding> {
    let link = &nic.link;
    let name = &link.name;
    let mut findings =
        vec![good(format!("{name} is up, MTU {}, {} receive queues", link.mtu, link.rx_queue_count))];
    findings.push(if nic.is_mirror_port() {
        good(format!(
            "{name} has no address and no route: --action auto will drop its frames behind the capture"
        ))
    } else {
        warning(format!("{name} carries this machine's own traffic: --action auto will pass its frames on"))
    });
    if let Some(program) = link.xdp_program {
        findings.push(bad(format!(
            "{name} has XDP program {program} attached already: see `bpftool prog show id {program}`"
        )));
    }
    if !nic.keeps_flows_together() {
        findings.push(good(format!(
            "{name} may spread the directions of a connection over queues: --steer auto will choose rings by hash"
        )));
    }
    findings.extend(nic.warnings().into_iter().map(|found| warning(found.to_string())));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_kernels_are_told_apart() {
        for (release, grade) in [
            ("5.17.9-generic", Grade::Bad),
            ("5.18.0", Grade::Good),
            ("6.1.0-13-amd64", Grade::Good),
            ("?", Grade::Bad),
        ] {
            assert_eq!(kernel(release).grade, grade, "{release}");
        }
    }

    #[test]
    fn each_missing_capability_is_named() {
        let held = 1u64 << 39 | 1 << 12 | 1 << 38;
        let findings = capabilities(&format!("Name:\thdrcap\nCapEff:\t{held:016x}\n"));
        let missing: Vec<&Finding> = findings.iter().filter(|finding| finding.grade == Grade::Bad).collect();
        assert_eq!(missing.len(), 1);
        assert!(missing[0].text.contains("CAP_NET_RAW") && missing[0].text.contains("setcap"), "{missing:?}");
        assert_eq!(capabilities("").iter().filter(|finding| finding.grade == Grade::Bad).count(), 4);
    }
}
