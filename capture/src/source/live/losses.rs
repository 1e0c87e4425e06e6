//! What was lost before any program saw it: by the card, and by the kernel's own queues.
//!
//! Names of a driver's counters are its own, so they are told by what they have in common. Of counters that tell of the
//! same, the largest is taken: nothing is counted twice. Invariant: what was read never shrinks, whatever a driver resets.

use super::{ethtool, netlink, netlink::LinkErrors};
use crate::source::live::nic::Nic;

/// Frames the card lost, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CardLosses {
    /// Came faster than the card could hand them over: its own memory was full, or no descriptor was free.
    pub missed: u64,
    /// The driver had no memory to put them in.
    pub no_buffer: u64,
    /// Came damaged.
    pub crc: u64,
    /// Dropped for another reason.
    pub other: u64,
}

/// What the kernel's queue of one CPU lost (`/proc/net/softnet_stat`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Softnet {
    /// Frames dropped because the backlog was full; of any interface.
    pub dropped: u64,
    /// Times it stopped with work left, its budget or time used up.
    pub squeezed: u64,
}

impl CardLosses {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.missed + self.no_buffer + self.crc + self.other
    }

    fn grow(&mut self, before: &Self, now: &Self) {
        self.missed += now.missed.saturating_sub(before.missed);
        self.no_buffer += now.no_buffer.saturating_sub(before.no_buffer);
        self.crc += now.crc.saturating_sub(before.crc);
        self.other += now.other.saturating_sub(before.other);
    }
}

impl Softnet {
    /// Names of its counters, in order.
    pub const NAMES: [&str; 2] = ["softnet_dropped", "softnet_squeezed"];

    /// Its counters, by name.
    pub fn named(&self) -> [(&'static str, u64); 2] {
        let [dropped, squeezed] = Self::NAMES;
        [(dropped, self.dropped), (squeezed, self.squeezed)]
    }

    /// Adds what another CPU counted.
    pub fn add(&mut self, other: &Self) {
        self.dropped += other.dropped;
        self.squeezed += other.squeezed;
    }
}

/// Reads the losses since it was made.
#[derive(Debug, Default)]
pub struct LossReader {
    cards: Vec<Card>,
    cores: Vec<Core>,
}

#[derive(Debug)]
struct Card {
    name: String,
    ifindex: u32,
    last: CardLosses,
    grown: CardLosses,
}

#[derive(Debug, Default)]
struct Core {
    last: Softnet,
    grown: Softnet,
}

impl LossReader {
    /// A reader for these interfaces that counts from now on.
    pub fn begin(nics: &[Nic]) -> Self {
        let none = CardLosses::default();
        let card = |nic: &Nic| Card {
            name: nic.link.name.clone(),
            ifindex: nic.link.ifindex,
            last: none,
            grown: none,
        };
        let mut reader = LossReader { cards: nics.iter().map(card).collect(), cores: Vec::new() };
        reader.read();
        reader.cards.iter_mut().for_each(|card| card.grown = none);
        reader.cores.iter_mut().for_each(|core| core.grown = Softnet::default());
        reader
    }

    /// Looks again.
    pub fn read(&mut self) {
        if self.cards.is_empty() {
            return;
        }
        let errors = netlink::errors().unwrap_or_default();
        for card in &mut self.cards {
            let of_link = errors.iter().find(|(ifindex, _)| *ifindex == card.ifindex).map(|(_, e)| *e);
            let now = losses(&of_link.unwrap_or_default(), &ethtool::statistics(&card.name));
            card.grown.grow(&card.last, &now);
            card.last = now;
        }
        let text = std::fs::read_to_string("/proc/net/softnet_stat").unwrap_or_default();
        for (cpu, now) in softnet(&text) {
            if self.cores.len() <= cpu {
                self.cores.resize_with(cpu + 1, Core::default);
            }
            let core = &mut self.cores[cpu];
            core.grown.dropped += now.dropped.saturating_sub(core.last.dropped);
            core.grown.squeezed += now.squeezed.saturating_sub(core.last.squeezed);
            core.last = now;
        }
    }

    /// Losses of the cards, in the order of the interfaces.
    pub fn cards(&self) -> impl Iterator<Item = CardLosses> + '_ {
        self.cards.iter().map(|card| card.grown)
    }

    /// CPUs whose queues are known.
    pub fn cpu_count(&self) -> usize {
        self.cores.len()
    }

    /// Losses of a CPU's queue.
    pub fn core(&self, cpu: usize) -> Softnet {
        self.cores.get(cpu).map(|core| core.grown).unwrap_or_default()
    }
}

/// Dropped and squeezed by CPU; kernels since 5.10 name the CPU, older ones leave offline ones out.
fn softnet(text: &str) -> impl Iterator<Item = (usize, Softnet)> + '_ {
    let line = |(nth, line): (usize, &str)| {
        let hex = |field: &str| u64::from_str_radix(field, 16).ok();
        let fields: Vec<u64> = line.split_ascii_whitespace().map_while(hex).collect();
        let cpu = fields.get(12).map_or(nth, |cpu| *cpu as usize);
        Some((cpu, Softnet { dropped: *fields.get(1)?, squeezed: *fields.get(2)? }))
    };
    text.lines().enumerate().filter_map(line)
}

/// Why a card's counter says that frames were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Missed,
    NoBuffer,
    Crc,
    Other,
}

/// Parts of names, the more telling first.
const PARTS: [(&str, Reason); 27] = [
    ("crc", Reason::Crc),
    ("fcs", Reason::Crc),
    ("align", Reason::Crc),
    ("symbol", Reason::Crc),
    ("no_buf", Reason::NoBuffer),
    ("nobuf", Reason::NoBuffer),
    ("out_of_buf", Reason::NoBuffer),
    ("buf_alloc", Reason::NoBuffer),
    ("buff_alloc", Reason::NoBuffer),
    ("alloc_fail", Reason::NoBuffer),
    ("alloc_rx", Reason::NoBuffer),
    ("page_alloc", Reason::NoBuffer),
    ("no_dma", Reason::Missed),
    ("no_desc", Reason::Missed),
    ("miss", Reason::Missed),
    ("fifo", Reason::Missed),
    ("over_err", Reason::Missed),
    ("overrun", Reason::Missed),
    ("overflow", Reason::Missed),
    ("discards_phy", Reason::Missed),
    ("discard", Reason::Missed),
    ("length_err", Reason::Other),
    ("frame_err", Reason::Other),
    ("bad_desc", Reason::Other),
    ("wqe_err", Reason::Other),
    ("drop", Reason::Other),
    ("rx_error", Reason::Other),
];

/// Why frames counted under this name of a driver were lost; `None` where it tells of something else.
fn reason(name: &str) -> Option<Reason> {
    let name = name.to_ascii_lowercase();
    // What XDP drops is what this program asked for, and what is sent is not received.
    let is_foreign = name.contains("xdp") || name.starts_with("tx") || name.contains("_tx");
    let is_of_receiving = name.contains("rx") || name.starts_with("port.") || name.contains("recv");
    if is_foreign || !is_of_receiving {
        return None;
    }
    PARTS.iter().find(|(part, _)| name.contains(part)).map(|(_, reason)| *reason)
}

/// The name without the number of a queue, and whether it had one.
fn without_queue(name: &str) -> (String, bool) {
    let parts: Vec<&str> = name.split('_').collect();
    let is_number = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit()) && !part.is_empty();
    // rx_queue_3_drops, rx3_drops, rx_3_drops, [3]: rx_drops
    let digits_behind = |part: &str| {
        let stem = part.trim_end_matches(|c: char| c.is_ascii_digit());
        (matches!(stem, "rx" | "queue" | "q") && stem.len() < part.len()).then(|| stem.to_owned())
    };
    let mut had_number = name.starts_with('[');
    let kept: Vec<String> = parts
        .iter()
        .filter_map(|part| {
            if is_number(part) {
                had_number = true;
                return None;
            }
            let stem = digits_behind(part);
            had_number |= stem.is_some();
            Some(stem.unwrap_or_else(|| (*part).to_owned()))
        })
        .collect();
    (kept.join("_"), had_number)
}

/// The card's losses from the kernel's counters of the link and the driver's own.
fn losses(link: &LinkErrors, statistics: &[(String, u64)]) -> CardLosses {
    let xdp_drops: u64 =
        statistics.iter().filter(|(name, _)| is_xdp_drop(name)).map(|(_, value)| *value).sum();
    let mut found = CardLosses {
        missed: link.missed.max(link.fifo).max(link.over),
        no_buffer: 0,
        crc: link.crc,
        // Some drivers count frames that XDP drops among those that they dropped themselves.
        other: link.dropped.saturating_sub(xdp_drops),
    };
    let mut sums: Vec<(String, Reason, u64)> = Vec::new();
    for (name, value) in statistics {
        let Some(reason) = reason(name) else { continue };
        let (base, is_of_queue) = without_queue(name);
        // A driver that tells a sum and its parts is taken by the sum.
        let base = if is_of_queue { format!("{base} of queues") } else { base };
        match sums.iter_mut().find(|(known, _, _)| *known == base) {
            Some((_, _, sum)) => *sum += value,
            None => sums.push((base, reason, *value)),
        }
    }
    for (_, reason, value) in sums {
        let place = match reason {
            Reason::Missed => &mut found.missed,
            Reason::NoBuffer => &mut found.no_buffer,
            Reason::Crc => &mut found.crc,
            Reason::Other => &mut found.other,
        };
        *place = (*place).max(value);
    }
    // What a driver drops in all is told by the reasons, as far as they go.
    let told = found.missed + found.no_buffer + found.crc;
    found.other = found.other.saturating_sub(told);
    found
}

fn is_xdp_drop(name: &str) -> bool {
    name.contains("xdp") && name.contains("drop") && !name.contains("tx")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics(of: &[(&str, u64)]) -> Vec<(String, u64)> {
        of.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    /// A driver, its counters, and the frames missed, without a buffer, damaged and dropped otherwise.
    type Driver<'a> = (&'a str, &'a [(&'a str, u64)], [u64; 4]);

    /// Counters of drivers as they name them, and what each set means.
    const CARDS: &[Driver] = &[
        (
            "ixgbe",
            &[
                ("rx_packets", 9),
                ("rx_missed_errors", 7),
                ("rx_no_buffer_count", 3),
                ("rx_no_dma_resources", 2),
                ("rx_crc_errors", 1),
                ("tx_fifo_errors", 50),
                ("alloc_rx_page_failed", 4),
                ("rx_queue_0_packets", 9),
            ],
            [7, 4, 1, 0],
        ),
        (
            "i40e",
            &[
                ("rx_dropped", 5),
                ("port.rx_crc_errors", 2),
                ("port.rx_dropped", 6),
                ("rx_alloc_fail", 1),
                ("port.tx_errors", 9),
            ],
            [0, 1, 2, 3],
        ),
        (
            "mlx5",
            &[
                ("rx_out_of_buffer", 11),
                ("rx_discards_phy", 13),
                ("rx_crc_errors_phy", 4),
                ("rx0_xdp_drop", 900),
                ("rx_xdp_drop", 900),
                ("rx0_buff_alloc_err", 1),
                ("rx1_buff_alloc_err", 2),
            ],
            [13, 11, 4, 0],
        ),
        (
            "ena",
            &[("rx_drops", 8), ("queue_0_rx_bad_desc_num", 1), ("queue_1_rx_page_alloc_fail", 5)],
            [0, 5, 0, 3],
        ),
        (
            "virtio_net",
            &[("rx_queue_0_drops", 2), ("rx_queue_1_drops", 3), ("rx_queue_0_xdp_drops", 70)],
            [0, 0, 0, 5],
        ),
        ("veth", &[("rx_queue_0_drops", 4), ("rx_queue_0_xdp_drops", 99), ("peer_ifindex", 5)], [0, 0, 0, 4]),
        ("nothing", &[], [0, 0, 0, 0]),
    ];

    #[test]
    fn drivers_are_understood_by_their_names() {
        for (driver, counters, [missed, no_buffer, crc, other]) in CARDS {
            let found = losses(&LinkErrors::default(), &statistics(counters));
            let expected = CardLosses { missed: *missed, no_buffer: *no_buffer, crc: *crc, other: *other };
            assert_eq!(found, expected, "{driver}");
        }
    }

    #[test]
    fn what_the_kernel_and_the_driver_both_count_is_counted_once() {
        let link = LinkErrors { missed: 7, crc: 2, dropped: 30, ..LinkErrors::default() };
        let own = statistics(&[("rx_missed_errors", 7), ("rx_crc_errors", 2), ("rx_queue_0_xdp_drops", 18)]);
        let expected = CardLosses { missed: 7, no_buffer: 0, crc: 2, other: 3 };
        assert_eq!(
            losses(&link, &own),
            expected,
            "of 30 dropped, 18 were dropped by XDP and 9 have a reason"
        );
    }

    #[test]
    fn a_driver_that_resets_its_counters_loses_nothing() {
        let mut grown = CardLosses::default();
        let at = |missed| CardLosses { missed, ..CardLosses::default() };
        for (before, now) in [(at(10), at(15)), (at(15), at(2)), (at(2), at(4))] {
            grown.grow(&before, &now);
        }
        assert_eq!(grown.total(), 7);
    }

    #[test]
    fn softnet_lines_name_their_cpu_where_the_kernel_does() {
        let new = "000a 0000000b 0000000c 0 0 0 0 0 0 0 0 0 00000003 0 0\n";
        let old = "0001 00000002 00000003 0 0\n0001 00000004 00000005 0 0\n";
        let read = |text: &str| -> Vec<(usize, u64, u64)> {
            softnet(text).map(|(cpu, of)| (cpu, of.dropped, of.squeezed)).collect()
        };
        assert_eq!(read(new), [(3, 11, 12)]);
        assert_eq!(read(old), [(0, 2, 3), (1, 4, 5)]);
        assert_eq!(read("no numbers\n"), []);
    }
}
