//! Attaches the program to an interface by a bpf_link, which the kernel takes away with the process.
//!
//! Native mode first: it sees frames before any buffer is made for them. The generic mode is a fallback the caller is
//! told about, with what to do for the native one.

use super::netlink;
use super::nic::Nic;
use aya::programs::links::{FdLink, LinkError};
use aya::programs::xdp::XdpMode;
use aya::programs::{ProgramError, Xdp, loaded_programs};
use std::fmt;
use std::io;

/// What the operator asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ModeChoice {
    /// Native, and generic where the driver refuses.
    #[default]
    Auto,
    /// Native or nothing.
    Native,
    /// Generic.
    Generic,
}

/// How the program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In the driver.
    Native,
    /// Behind the driver, in the kernel's stack.
    Generic,
}

/// Why the program could not be attached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// Another program is there.
    #[error(
        "{iface} already runs an XDP program, id {id} ({program}): stop what attached it, or detach it with: \
         ip link set dev {iface} xdp off"
    )]
    Occupied {
        /// Interface.
        iface: String,
        /// Program id.
        id: u32,
        /// Program name.
        program: String,
    },
    /// No privilege.
    #[error("no privilege to attach to {iface}: run as root, or with cap_bpf, cap_net_admin and cap_perfmon")]
    Privilege {
        /// Interface.
        iface: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The driver refuses, and nothing else was allowed.
    #[error("{0}")]
    Refused(Refusal),
    /// The link is not one that ends with the process.
    #[error(
        "{iface} could be attached to by netlink only, which would survive a kill: not done; try --xdp-mode generic"
    )]
    NoLink {
        /// Interface.
        iface: String,
        /// What it is instead.
        #[source]
        source: LinkError,
    },
}

/// A driver's refusal, and what to do about it.
#[derive(Debug)]
pub struct Refusal {
    /// Interface.
    pub iface: String,
    /// Bytes of its packets.
    pub mtu: u32,
    /// Mode that was refused.
    pub mode: Mode,
    /// The kernel's answer.
    pub source: io::Error,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { iface, mtu, mode, source } = self;
        let mode = match mode {
            Mode::Native => "native",
            Mode::Generic => "generic",
        };
        write!(f, "{iface} refuses {mode} XDP ({source}): ")?;
        match source.raw_os_error() {
            Some(libc::EOPNOTSUPP) => {
                write!(
                    f,
                    "its driver has none, or not for frames of several buffers; generic mode works on any"
                )
            }
            Some(libc::EINVAL | libc::ERANGE | libc::E2BIG) if *mtu > 1500 => write!(
                f,
                "its MTU of {mtu} is probably too large for the driver; try: ip link set dev {iface} mtu 1500 (or 3498, \
                 what fits a page); the kernel log (dmesg) says the driver's limit"
            ),
            Some(libc::EINVAL | libc::ERANGE) => write!(
                f,
                "its driver wants other settings, often LRO off (ethtool -K {iface} lro off) or fewer queues (ethtool -L \
                 {iface} combined N); the kernel log (dmesg) says which"
            ),
            Some(libc::ENOMEM | libc::ENOSPC) => {
                write!(f, "no room for its XDP queues; try fewer: ethtool -L {iface} combined N")
            }
            _ => write!(f, "the kernel log (dmesg) may say why"),
        }
    }
}

/// One attachment; dropping it detaches.
#[derive(Debug)]
pub struct Attachment {
    /// Interface.
    pub iface: String,
    /// Mode in force.
    pub mode: Mode,
    /// Why it is not native, where native was tried.
    pub fallback: Option<Refusal>,
    _link: FdLink,
}

/// Attaches the loaded program to one interface.
pub fn attach(program: &mut Xdp, nic: &Nic, choice: ModeChoice) -> Result<Attachment, AttachError> {
    let attached =
        |link, mode, fallback| Attachment { iface: nic.link.name.clone(), mode, fallback, _link: link };
    let generic = |program: &mut Xdp, fallback| {
        let link = attach_as(program, nic, Mode::Generic)?.map_err(AttachError::Refused)?;
        Ok(attached(link, Mode::Generic, fallback))
    };
    match choice {
        ModeChoice::Generic => generic(program, None),
        ModeChoice::Auto | ModeChoice::Native => match attach_as(program, nic, Mode::Native)? {
            Ok(link) => Ok(attached(link, Mode::Native, None)),
            Err(refusal) if choice == ModeChoice::Auto => generic(program, Some(refusal)),
            Err(refusal) => Err(AttachError::Refused(refusal)),
        },
    }
}

/// One attempt: a link, a refusal that another mode may not meet, or an error that ends the attempt.
fn attach_as(program: &mut Xdp, nic: &Nic, mode: Mode) -> Result<Result<FdLink, Refusal>, AttachError> {
    let iface = || nic.link.name.clone();
    let flags = match mode {
        Mode::Native => XdpMode::Driver,
        Mode::Generic => XdpMode::Skb,
    };
    match program.attach_to_if_index(nic.link.ifindex, flags) {
        Ok(id) => {
            let link = program.take_link(id).expect("the link just made");
            FdLink::try_from(link)
                .map(Ok)
                .map_err(|source: LinkError| AttachError::NoLink { iface: iface(), source })
        }
        Err(error) => {
            if let Some(id) = occupant(nic.link.ifindex) {
                return Err(AttachError::Occupied { iface: iface(), id, program: program_name(id) });
            }
            let source = io_error(error);
            match source.raw_os_error() {
                Some(libc::EPERM | libc::EACCES) => Err(AttachError::Privilege { iface: iface(), source }),
                _ => Ok(Err(Refusal { iface: iface(), mtu: nic.link.mtu, mode, source })),
            }
        }
    }
}

/// The program that is attached to an interface, as of now.
fn occupant(ifindex: u32) -> Option<u32> {
    let links = netlink::links().ok()?;
    links.into_iter().find(|link| link.ifindex == ifindex)?.xdp_program.filter(|id| *id != 0)
}

fn program_name(id: u32) -> String {
    let mut programs = loaded_programs().filter_map(Result::ok);
    let named = programs
        .find(|program| program.id() == id)
        .and_then(|program| program.name_as_str().map(str::to_owned));
    named.filter(|name| !name.is_empty()).unwrap_or_else(|| "without a name".to_owned())
}

/// The kernel's answer inside aya's error, or its text.
fn io_error(error: ProgramError) -> io::Error {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(cause) = source {
        if let Some(errno) = cause.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return io::Error::from_raw_os_error(errno);
        }
        source = cause.source();
    }
    io::Error::other(error)
}
