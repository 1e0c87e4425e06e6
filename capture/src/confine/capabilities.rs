//! The capabilities of the one thread there is at start.
//!
//! Invariant: the permitted set only ever shrinks.

use std::fs;

use rustix::{
    io,
    system::uname,
    thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities},
};

use super::State;

/// First kernel that lets maps be read by descriptor without a capability where unprivileged BPF is off
/// (commit c8644cd0efe7).
const MAPS_BY_DESCRIPTOR_SINCE: (u32, u32) = (5, 19);

/// What the process is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Attach to interfaces; with a packet socket for promiscuous mode or without.
    Live {
        /// Promiscuous mode is asked for.
        promiscuous: bool,
    },
    /// Nothing that the kernel guards.
    Files,
}

impl Purpose {
    fn needed(self) -> CapabilitySet {
        let attach = CapabilitySet::BPF | CapabilitySet::NET_ADMIN | CapabilitySet::PERFMON;
        match self {
            Purpose::Live { promiscuous: true } => attach | CapabilitySet::NET_RAW,
            Purpose::Live { promiscuous: false } => attach,
            Purpose::Files => CapabilitySet::empty(),
        }
    }
}

/// Keeps, of what the process is permitted, what the purpose needs.
pub(super) fn keep(purpose: Purpose) -> io::Result<()> {
    hold(capabilities(None)?.permitted & purpose.needed())
}

fn hold(set: CapabilitySet) -> io::Result<()> {
    set_capabilities(
        None,
        CapabilitySets { effective: set, permitted: set, inheritable: CapabilitySet::empty() },
    )
}

/// Gives up every capability, but for the one without which an old kernel would not show its counters.
pub(super) fn drop_all(is_live: bool) -> State {
    let sysctl = fs::read_to_string("/proc/sys/kernel/unprivileged_bpf_disabled").unwrap_or_default();
    let keeps_bpf = is_live && needs_bpf(&uname().release().to_string_lossy(), sysctl.trim());
    let kept = if keeps_bpf { CapabilitySet::BPF } else { CapabilitySet::empty() };
    let dropped = capabilities(None).map(|held| held.permitted & kept).and_then(hold);
    match dropped.and_then(|()| capabilities(None)) {
        Ok(held) if held.permitted.is_empty() && held.effective.is_empty() => {
            State::InForce("none".to_owned())
        }
        Ok(held) => State::Missing(format!(
            "{:?} is kept, as this kernel shows the kernel half's counters to nobody else; {}.{} does",
            held.permitted, MAPS_BY_DESCRIPTOR_SINCE.0, MAPS_BY_DESCRIPTOR_SINCE.1
        )),
        Err(error) => State::Missing(format!("the kernel does not take them away ({error})")),
    }
}

fn needs_bpf(release: &str, unprivileged_bpf_disabled: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version < MAPS_BY_DESCRIPTOR_SINCE && unprivileged_bpf_disabled != "0"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_kernel_that_guards_its_maps_is_known() {
        assert!(needs_bpf("5.18.19", "2"));
        assert!(needs_bpf("5.18.19", ""), "unknown is taken for guarded");
        assert!(!needs_bpf("5.18.19", "0"));
        assert!(!needs_bpf("5.19.0-rc1", "2"));
        assert!(!needs_bpf("6.1.0-13-amd64", "1"));
    }

    #[test]
    fn files_need_nothing_and_promiscuous_mode_one_more() {
        assert!(Purpose::Files.needed().is_empty());
        let plain = Purpose::Live { promiscuous: false }.needed();
        assert_eq!(Purpose::Live { promiscuous: true }.needed() - plain, CapabilitySet::NET_RAW);
        assert_eq!(plain.bits().count_ones(), 3);
    }
}
