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

/// Layers one frame is dissected through: tags, extension headers, and `TUNNEL_DEPTH_MAX` encapsulations of up to
/// five layers each.
pub const LAYER_COUNT_MAX: usize = 40;

/// Steps one frame may take: to look for a head, to copy it and to read its length are three, and the shortest head has
/// 16 bytes, so that a GSO frame of 64 KiB filled with the shortest heads still fits; so does one in which every block
/// the search looks at may hold the empty line, and none does.
pub const STEP_COUNT_MAX: u32 = 4 * 4096;

/// Steps of 16 bytes along the sizes of chunks that one frame may take: a GSO frame of 64 KiB with chunks of 512 bytes
/// fits. Of smaller ones the end is not found; they would cost more than a head does.
pub const CHUNK_STEP_COUNT_MAX: u32 = 128;

/// Bytes of one direction that are handed over unasked while the order of its segments is broken: some ten full segments,
/// more than a switch or a path puts out of order, little beside what a transfer that loses segments goes on with.
pub const DISORDER_BYTES_MAX: u16 = 16 * 1024;

/// Sets of a flow memory, four connections each. 576 bytes a set: 4.5 MiB per CPU.
pub const FLOW_SET_COUNT: usize = 8 * 1024;

/// Fragmented datagrams one CPU remembers; 192 bytes each.
pub const DATAGRAM_COUNT: usize = 256;

/// The time in which the fragments of a datagram come, at the most: later, another may have the same identification.
pub const DATAGRAM_NS_MAX: u64 = 1_000_000_000;

/// Ring buffers one process reads from, one per CPU.
pub const RING_COUNT_MAX: usize = 1024;

const _: () = assert!(DATAGRAM_COUNT.is_power_of_two(), "a place is picked by the highest bits of a product");
const _: () = assert!(FLOW_SET_COUNT.is_power_of_two(), "a set is picked by the highest bits of a product");
const _: () = assert!(HEAD_BYTES_MAX as u64 <= STEP_COUNT_MAX as u64 * RECORD_COPY_BYTES_MAX as u64);
const _: () = assert!(RECORD_COPY_BYTES_MAX <= u16::MAX as usize);
const _: () = assert!(HEAD_BYTES_DEFAULT <= HEAD_BYTES_MAX);
