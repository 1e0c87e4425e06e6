//! Loads the kernel half: maps, rings in the size asked for, configuration, verifier.
//!
//! Invariant: after `load` everything is in place but the attachment, so that the first frame finds it complete.

use super::counters::CountersValue;
use super::ring::{Ring, page_bytes};
use aya::maps::{Array, ArrayOfMaps, MapData, MapError, PerCpuArray, ProgramArray};
use aya::programs::{ProgramError, Xdp};
use aya::util::KernelVersion;
use aya::{Ebpf, EbpfError, EbpfLoader, Pod, VerifierLogLevel};
use common::config::Config;
use common::limits::RING_COUNT_MAX;
use std::io;
use std::os::fd::AsFd as _;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/hdrcap-xdp"));

const PROGRAM: &str = "hdrcap";

/// The programs that others go on with, by their place in `PROGRAMS`.
const PROGRAMS: [&str; 2] = ["hdrcap_copy", "hdrcap_descend"];
const BPF_MAP_TYPE_RINGBUF: u32 = 27;

/// The oldest kernel with all that is used: `bpf_xdp_load_bytes` and frames of several buffers.
const KERNEL_MIN: (u8, u8) = (5, 18);

/// Smallest ring: room for a few of the largest records.
pub const RING_BYTES_MIN: u32 = 64 * 1024;

/// Largest ring: the kernel's positions within an entry's header have no more.
pub const RING_BYTES_MAX: u32 = 512 * 1024 * 1024;

/// Bytes of each ring unless `--ring-bytes` says otherwise: two thirds of a second of records at 95 MB/s per core.
pub const RING_BYTES_DEFAULT: u32 = 64 * 1024 * 1024;

const _: () = assert!(RING_BYTES_DEFAULT.is_power_of_two());

/// Why the kernel half could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A feature of the floor is missing.
    #[error("kernel {found} is too old: capturing needs {}.{} or newer; offline input (--pcap) works on any", KERNEL_MIN.0, KERNEL_MIN.1)]
    KernelTooOld {
        /// The running kernel.
        found: String,
    },
    /// The kernel refused for lack of privilege.
    #[error(
        "no privilege to {action}: run as root, or give the binary its capabilities: \
         setcap cap_bpf,cap_net_admin,cap_perfmon,cap_net_raw+ep $(command -v hdrcap)"
    )]
    Privilege {
        /// What was attempted.
        action: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// No memory for a map.
    #[error(
        "the kernel has no memory for the {what}: lower --ring-bytes ({ring_count} rings of {ring_bytes} bytes are asked \
         for), or raise the memory limit of the service (MemoryMax, or ulimit -l on kernels before 5.11)"
    )]
    Memory {
        /// The map.
        what: String,
        /// Rings asked for.
        ring_count: u32,
        /// Bytes of each.
        ring_bytes: u32,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A ring of this size cannot be.
    #[error("--ring-bytes {bytes} is not a power of two between {RING_BYTES_MIN} and {RING_BYTES_MAX}")]
    RingBytes {
        /// The size asked for.
        bytes: u32,
    },
    /// The verifier did not accept the program.
    #[error(
        "the kernel's verifier refused the program, which is a defect of hdrcap on this kernel ({kernel}): please report \
         it with this log\n{log}"
    )]
    Verifier {
        /// The running kernel.
        kernel: String,
        /// The verifier's log.
        log: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The object file is not the one this version was built with.
    #[error("the embedded kernel half is damaged or of another version: rebuild hdrcap")]
    Object(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Anything else the kernel said.
    #[error("could not {action}")]
    Kernel {
        /// What was attempted.
        action: &'static str,
        /// The kernel's answer.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// `Config` as a map value.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct ConfigValue(Config);

// SAFETY: `Config` is `repr(C)`, made of integers, without padding.
unsafe impl Pod for ConfigValue {}

/// The loaded program and its maps.
#[derive(Debug)]
pub struct Loaded {
    ebpf: Ebpf,
}

/// What the rings are to be.
#[derive(Clone, Copy, Debug)]
pub struct RingPlan {
    /// Rings.
    pub count: u32,
    /// Bytes of each: a power of two.
    pub bytes: u32,
}

impl Loaded {
    /// Loads program and maps, creates the rings and sets the configuration (with the rings' count).
    pub fn load(config: &Config, plan: RingPlan) -> Result<(Self, Vec<Ring>), LoadError> {
        check_kernel()?;
        let sizes = RING_BYTES_MIN..=RING_BYTES_MAX;
        let whole_pages = (plan.bytes as usize).is_multiple_of(page_bytes());
        if !plan.bytes.is_power_of_two() || !sizes.contains(&plan.bytes) || !whole_pages {
            return Err(LoadError::RingBytes { bytes: plan.bytes });
        }
        let plan = RingPlan { count: plan.count.clamp(1, RING_COUNT_MAX as u32), ..plan };
        let ebpf = EbpfLoader::new()
            .verifier_log_level(VerifierLogLevel::STATS)
            .map_max_entries("RINGS", plan.count)
            .load(OBJECT)
            .map_err(|error| from_ebpf(error, plan))?;
        let mut loaded = Self { ebpf };
        let rings = loaded.create_rings(plan)?;
        loaded.set_config(&Config { ring_count: plan.count, ..*config })?;
        loaded.verify()?;
        Ok((loaded, rings))
    }

    fn create_rings(&mut self, plan: RingPlan) -> Result<Vec<Ring>, LoadError> {
        let mut outer: ArrayOfMaps<_, MapData> = typed(self.ebpf.map_mut("RINGS"))?;
        (0..plan.count)
            .map(|index| {
                let ring = aya_obj::Map::new_from_params(BPF_MAP_TYPE_RINGBUF, 0, 0, plan.bytes, 0);
                let map =
                    MapData::create(ring, "hdrcap_ring", None).map_err(|error| from_map(error, plan))?;
                outer.set(index, &map, 0).map_err(|error| from_map(error, plan))?;
                Ring::map(map.fd().as_fd(), index, plan.bytes)
                    .map_err(|source| memory_or("map a ring", "mapping of a ring", source, plan))
            })
            .collect()
    }

    /// Puts a configuration in force; frames that come meanwhile may see parts of both.
    pub fn set_config(&mut self, config: &Config) -> Result<(), LoadError> {
        let mut map: Array<_, ConfigValue> = typed(self.ebpf.map_mut("CONFIG"))?;
        map.set(0, ConfigValue(*config), 0)
            .map_err(|error| LoadError::Kernel { action: "set the configuration", source: error.into() })
    }

    fn verify(&mut self) -> Result<(), LoadError> {
        for (place, name) in (0..).zip(PROGRAMS) {
            self.verify_one(name)?;
            let program = self.program_named(name)?;
            let program = program.fd().and_then(|fd| Ok(fd.try_clone()?));
            let program = program
                .map_err(|error| LoadError::Kernel { action: "refer to a program", source: error.into() })?;
            let mut programs: ProgramArray<_> = typed(self.ebpf.map_mut("PROGRAMS"))?;
            programs
                .set(place, &program, 0)
                .map_err(|error| LoadError::Kernel { action: "join the programs", source: error.into() })?;
        }
        self.verify_one(PROGRAM)
    }

    fn verify_one(&mut self, name: &'static str) -> Result<(), LoadError> {
        match self.program_named(name)?.load() {
            Ok(()) => Ok(()),
            Err(ProgramError::LoadError { io_error, verifier_log }) => {
                if io_error.kind() == io::ErrorKind::PermissionDenied && verifier_log.to_string().is_empty() {
                    return Err(LoadError::Privilege { action: "load the program", source: io_error });
                }
                let kernel = kernel_release();
                Err(LoadError::Verifier { kernel, log: verifier_log.to_string(), source: io_error })
            }
            Err(error) => Err(LoadError::Kernel { action: "load the program", source: error.into() }),
        }
    }

    /// The program, to attach or to test-run.
    pub fn program(&mut self) -> Result<&mut Xdp, LoadError> {
        self.program_named(PROGRAM)
    }

    fn program_named(&mut self, name: &str) -> Result<&mut Xdp, LoadError> {
        let program = self.ebpf.program_mut(name).ok_or_else(|| LoadError::Object("no program".into()))?;
        program.try_into().map_err(|error: ProgramError| LoadError::Object(error.into()))
    }

    /// What the verifier had to follow of each program, where the kernel says so (from 5.16 on).
    pub fn verified_instructions(&mut self) -> Result<Vec<(&'static str, u32)>, LoadError> {
        let mut counts = Vec::new();
        for name in [PROGRAM].into_iter().chain(PROGRAMS) {
            let info = self.program_named(name)?.info();
            let info = info
                .map_err(|error| LoadError::Kernel { action: "ask about a program", source: error.into() })?;
            counts.extend(info.verified_instruction_count().map(|count| (name, count)));
        }
        Ok(counts)
    }

    pub(super) fn counters(&self) -> Result<PerCpuArray<&MapData, CountersValue>, LoadError> {
        typed(self.ebpf.map("COUNTERS"))
    }
}

/// A map by its type; both are the kernel half's.
fn typed<M, T: TryFrom<M, Error = MapError>>(map: Option<M>) -> Result<T, LoadError> {
    let map = map.ok_or_else(|| LoadError::Object("a map is missing".into()))?;
    T::try_from(map).map_err(|error| LoadError::Object(error.into()))
}

fn check_kernel() -> Result<(), LoadError> {
    let floor = KernelVersion::new(KERNEL_MIN.0, KERNEL_MIN.1, 0);
    match KernelVersion::current() {
        Ok(version) if version < floor => Err(LoadError::KernelTooOld { found: kernel_release() }),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn kernel_release() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease");
    release.map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

fn from_ebpf(error: EbpfError, plan: RingPlan) -> LoadError {
    if let EbpfError::MapError(error) = error {
        return from_map(error, plan);
    }
    LoadError::Object(error.into())
}

fn from_map(error: MapError, plan: RingPlan) -> LoadError {
    if let MapError::CreateError { name, io_error } = error {
        return memory_or("create the maps", &format!("map {name}"), io_error, plan);
    }
    LoadError::Kernel { action: "create the maps", source: error.into() }
}

fn memory_or(action: &'static str, what: &str, source: io::Error, plan: RingPlan) -> LoadError {
    match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => LoadError::Privilege { action, source },
        Some(libc::ENOMEM | libc::E2BIG | libc::EAGAIN) => LoadError::Memory {
            what: what.to_owned(),
            ring_count: plan.count,
            ring_bytes: plan.bytes,
            source,
        },
        _ => LoadError::Kernel { action, source: source.into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Its line information is in the program that is given away, and has to be the same whoever built it.
    #[test]
    fn the_object_names_no_folder_of_the_machine_that_built_it() {
        let tree = env!("CARGO_MANIFEST_DIR").strip_suffix("/capture").expect("this is the folder capture");
        for place in [tree, "/.cargo/registry", "/lib/rustlib"] {
            let is_named = OBJECT.windows(place.len()).any(|bytes| bytes == place.as_bytes());
            assert!(!is_named, "{place} is in the kernel half");
        }
        assert!(OBJECT.windows(16).any(|bytes| bytes == b"decide/detect.rs"), "it has line information");
    }
}
