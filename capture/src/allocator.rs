//! What the C library's allocator is told: large pieces of memory go back to the system when they are given up.
//!
//! A batch is a few dozen large pieces, made by a collector and given up by the encoder. The allocator takes the first one
//! given up for a sign that pieces of that size come and go, and keeps the next ones among the small ones, where what lies
//! behind them holds their memory: a process that once wrote a lot stays as large as it ever was.

/// Pieces of this many bytes or more are mapped and unmapped by themselves: what the C library begins with. Most columns of a
/// batch take less than a megabyte, and what is kept for as long as connections are would lie between them.
#[cfg(any(target_env = "gnu", test))]
const LARGE_BYTES: usize = 128 << 10;

/// Has large pieces mapped by themselves from now on, whatever their size; where the C library is another one, it decides.
pub fn map_large_pieces() {
    #[cfg(target_env = "gnu")]
    {
        let bytes = LARGE_BYTES as libc::c_int;
        // SAFETY: sets a threshold of the allocator, which locks itself.
        let is_set = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, bytes) };
        debug_assert!(is_set == 1, "the allocator takes any threshold up to its largest");
    }
}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use super::*;

    const PIECE_BYTES: usize = 16 * LARGE_BYTES;

    /// Bytes in memory of the mapping around an address, where there is one.
    fn resident_bytes(address: usize) -> usize {
        let maps = std::fs::read_to_string("/proc/self/smaps").expect("a process");
        let mut is_around = false;
        for line in maps.lines() {
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            let number = |text| usize::from_str_radix(text, 16).ok();
            if let Some((start, end)) = range.and_then(|(start, end)| number(start).zip(number(end))) {
                is_around = (start..end).contains(&address);
            } else if is_around && let Some(kib) = line.strip_prefix("Rss:") {
                let kib: usize = kib.trim().trim_end_matches(" kB").parse().expect("a number");
                return kib << 10;
            }
        }
        0
    }

    #[test]
    fn a_large_piece_goes_back_when_it_is_given_up() {
        map_large_pieces();
        let mut behind = Vec::new();
        for _ in 0..3 {
            let piece = vec![1_u8; PIECE_BYTES];
            behind.push(vec![2_u8; 1 << 10]);
            let middle = piece.as_ptr().addr() + PIECE_BYTES / 2;
            assert!(resident_bytes(middle) >= PIECE_BYTES, "it is there");
            drop(piece);
            // Others may have mapped something there since, but hardly so much.
            assert!(resident_bytes(middle) < PIECE_BYTES / 2, "it is gone");
        }
    }
}
