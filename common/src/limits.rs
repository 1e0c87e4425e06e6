//! Every limit of the frame path: its name, its reason, and what must hold between limits.
//!
//! Unit last, most significant word first. User-space limits stand beside the tables they bound.

/// Payload bytes one ring record carries at the most; a longer head region takes several records.
/// Covers a full segment of a 1500-byte MTU, and is the largest reservation class but its header.
pub const RECORD_COPY_BYTES_MAX: usize = 2048;

/// Upper bound of `--head-limit`: bytes of one head, over as many segments as it takes.
pub const HEAD_BYTES_MAX: u32 = 64 * 1024;

/// Default of `--head-limit`.
pub const HEAD_BYTES_DEFAULT: u32 = 16 * 1024;

/// 802.1Q/802.1ad tags followed in one frame.
pub const VLAN_COUNT_MAX: usize = 4;

/// Encapsulations followed inside each other.
pub const TUNNEL_DEPTH_MAX: usize = 4;

/// Network filters (`--net`) that fit the configuration map.
pub const NET_COUNT_MAX: usize = 16;

/// Interfaces one process captures from.
pub const IFACE_COUNT_MAX: usize = 16;

const _: () = assert!(RECORD_COPY_BYTES_MAX <= u16::MAX as usize);
const _: () = assert!(HEAD_BYTES_DEFAULT <= HEAD_BYTES_MAX);
